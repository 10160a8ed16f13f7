use super::twin::{self, complete};
use super::*;
use crate::kernel::keys::numbers_mut;
use crate::kernel::precision::Precision;
use crate::kernel::testing::noise;

mod bias;
mod company;
mod distances;

/// The paths of this machine, and whether they round a product before it is added.
fn paths() -> impl Iterator<Item = (Isa, bool)> {
    Isa::ALL.into_iter().filter(|i| i.available()).map(|i| (i, i != Isa::Portable || cfg!(target_arch = "aarch64")))
}

/// The numbers of a seed.
struct Dice(u64);

impl Dice {
    /// Below `n`.
    fn roll(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

/// `n` positions, and what is stored of them.
struct Text {
    keys: Keys,
    k: Vec<f32>,
    v: Vec<f32>,
}

fn text(n: usize, (heads, width): (usize, usize), precision: Precision, seed: u64) -> Text {
    let d = heads * width;
    let (mut k, mut v) = (noise(n * d, seed), noise(n * d, seed + 1));
    let mut keys = Keys::new(heads, width, precision);
    keys.append(&k, &v);
    if precision == Precision::Bf16 {
        k.iter_mut().chain(&mut v).for_each(|x| *x = half::bf16::from_f32(*x).to_f32());
    }
    Text { keys, k, v }
}

impl Text {
    fn span<'a>(&'a self, visible: Visible, hidden: &'a [usize]) -> Span<'a> {
        Span { keys: &self.keys, visible, hidden, bias: None }
    }
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// One job against the definition, within the bound, and against its plain twin, bit for bit, on all paths; also in groups of six rows.
fn check(job: &Job, stored: &[twin::Stored], far: Option<twin::Far>, (heads, width): (usize, usize), scale: f32, what: &str) {
    let want = twin::naive(job, stored, far, (heads, width), scale);
    let table = far.map(|far| Distances::new((far.heads, width), far.rows, far.values));
    let relative: Option<Relative> = far.zip(table.as_ref()).map(|(far, table)| Relative { q: far.q, table, own: far.own });
    let relative = relative.as_slice();
    for (isa, fused) in paths() {
        let got = attend_on(isa, std::slice::from_ref(job), relative, (heads, width), scale);
        assert_eq!(got.len(), want.len());
        for (at, (got, (want, within))) in got.iter().zip(&want).enumerate() {
            assert!((f64::from(*got) - want).abs() <= *within, "{}, {what}, {at}: {got} {want}", isa.name());
        }
        let plain = twin::plain(job, stored, far, (heads, width, fused), scale);
        assert_eq!(bits(&got), bits(&plain), "{}, {what}", isa.name());
        let (d, mut six) = (heads * width, vec![0.0f32; got.len()]);
        for head in 0..heads {
            for r in (0..job.q.len() / d).step_by(tile::ROWS) {
                let rows = r..(job.q.len() / d).min(r + tile::ROWS);
                let tile = tile::Tile { spans: &job.spans, q: job.q, relative: relative.first(), rows, head, width, d, scale };
                // SAFETY: the path is available, `six` has the rows
                unsafe { tile.run_six(isa, six[r * d + head * width..].as_mut_ptr()) }
            }
        }
        assert_eq!(bits(&six), bits(&plain), "{} in sixes, {what}", isa.name());
    }
}

#[test]
fn equals_the_definition_and_its_plain_twin() {
    let mut dice = Dice(7);
    let shapes = [(1, 1), (2, 8), (3, 40), (2, 64), (1, 80), (1, 128), (2, 17)];
    let mut jobs = 0;
    for round in 0..210 {
        let (heads, width) = shapes[round % shapes.len()];
        let d = heads * width;
        let n = [1, 31, 32, 33, 127, 128, 129, 300][dice.roll(8)] + dice.roll(3);
        let t = [1, 2, 4, 7, 50][dice.roll(5)].min(n);
        let precision = [Precision::F32, Precision::Bf16][round / shapes.len() % 2];
        let (main, extra) = (text(n, (heads, width), precision, 3 * round as u64), text(1 + dice.roll(40), (heads, width), precision, 900));
        let mut hidden: Vec<usize> = (0..[0, 0, 1, 5, 60][dice.roll(5)]).map(|_| dice.roll(n)).collect();
        hidden.sort_unstable();
        hidden.dedup();
        let reach = [0, 3, 40, 150][dice.roll(4)];
        let q = noise(t * d, 5);
        for visible in [Visible::All, Visible::Causal { first: dice.roll(n - t + 1) }, Visible::Band { reach }] {
            let (mut spans, mut stored) = (vec![main.span(visible, &hidden)], vec![(&main.k[..], &main.v[..])]);
            if dice.roll(2) == 0 {
                spans.insert(0, extra.span(Visible::All, &[]));
                stored.insert(0, (&extra.k, &extra.v));
            }
            let job = Job { q: &q, spans };
            if complete(&job, d) {
                jobs += 1;
                let what = format!("{heads} x {width}, {t} rows, {n} keys, {visible:?}, {hidden:?}, {precision:?}");
                check(&job, &stored, None, (heads, width), [0.3, 4.0][dice.roll(2)], &what);
            }
        }
    }
    assert!(jobs > 400, "{jobs}");
}

/// The sets as their documentation defines them, position by position.
#[test]
fn rows_see_the_sets_that_are_named() {
    let is = |visible: Visible, row: usize, len: usize, sees: &dyn Fn(usize) -> bool| {
        let range = visible.range(row, len);
        (0..len).for_each(|j| assert_eq!(range.contains(&j), sees(j), "{visible:?}, row {row}, key {j} of {len}"));
    };
    for (row, len, a, b) in
        (0..9).flat_map(|row| [0, 1, 7, 40].into_iter().flat_map(move |len| (0..36).map(move |i| (row, len, i / 6, i % 6))))
    {
        for keys in [0, 1, 5, usize::MAX] {
            is(Visible::Window { end: a, step: b, keys }, row, len, &|j| j < a + row * b && (a + row * b).min(len) - j <= keys);
        }
        let (p, size) = (a + row, b + 1);
        is(Visible::Block { first: a, size }, row, len, &|j| j <= p && j / size == p / size);
        for each in 1..=size {
            // the position of key j
            let at = |j: usize| j / each * size + size - each + j % each;
            let columns = |own| Visible::Columns { first: a, size, each, own };
            is(columns(false), row, len, &|j| at(j) / size < p / size);
            is(columns(true), row, len, &|j| at(j) < p);
        }
    }
}

/// Windows, blocks and columns, of keys of which some were forgotten; rows of a stride's class are bit for bit those of the rows in a row.
#[test]
fn windows_and_blocks_equal_the_definition_whatever_was_forgotten() {
    let mut dice = Dice(11);
    let shapes = [(1, 1), (2, 8), (3, 40), (1, 64), (2, 17)];
    for round in 0..120 {
        let (heads, width) = shapes[round % shapes.len()];
        let d = heads * width;
        let precision = [Precision::F32, Precision::Bf16][round / shapes.len() % 2];
        let n = [1, 33, 128, 129, 300, 700][dice.roll(6)] + dice.roll(3);
        let (size, step) = (1 + dice.roll(200), 1 + dice.roll(9));
        let (mut main, extra) = (text(n, (heads, width), precision, 3 * round as u64), text(n, (heads, width), precision, 900));
        let first = dice.roll(n);
        let t = (1 + dice.roll(60)).min(n - first);
        let (visible, before) = match round % 3 {
            0 => {
                let keys = [1, 2, 30, 127, 128, 200][dice.roll(6)];
                (Visible::Window { end: first + 1, step: 1, keys }, (first + 1).saturating_sub(keys))
            }
            1 => (Visible::Block { first, size }, first / size * size),
            _ => (Visible::Window { end: first, step, keys: size }, first.saturating_sub(size)),
        };
        let t = if round % 3 == 2 { (n - first).div_ceil(step).min(t) } else { t };
        main.keys.forget(before);
        assert_eq!((main.keys.first(), main.keys.len()), (before / CHUNK * CHUNK, n));
        let q = noise(t * d, 5);
        let each = 1 + dice.roll(size);
        let columns = Visible::Columns { first, size, each, own: round % 2 == 0 };
        let mut spans = vec![main.span(visible, &[])];
        let mut stored = vec![(&main.k[..], &main.v[..])];
        if round % 3 == 1 {
            spans.insert(0, extra.span(columns, &[]));
            stored.insert(0, (&extra.k[..], &extra.v[..]));
        } else if round % 3 == 2 {
            spans.insert(0, extra.span(Visible::Causal { first: 0 }, &[]));
            stored.insert(0, (&extra.k[..], &extra.v[..]));
        }
        let job = Job { q: &q, spans };
        assert!(complete(&job, d));
        check(
            &job,
            &stored,
            None,
            (heads, width),
            0.3,
            &format!("{heads} x {width}, {t} rows from {first}, {n} keys, {visible:?}, {columns:?}, {precision:?}"),
        );
        if let Visible::Window { end, step, keys } = visible {
            let rows: Vec<u32> = (0..t)
                .flat_map(|i| {
                    let mut spans = job.spans.clone();
                    let own = spans.last_mut().unwrap();
                    own.visible = Visible::Window { end: end + i * step, step: 1, keys };
                    if spans.len() > 1 {
                        spans[0].visible = Visible::Causal { first: i };
                    }
                    bits(&attend(&[Job { q: &q[i * d..(i + 1) * d], spans }], heads, width, 0.3))
                })
                .collect();
            assert_eq!(rows, bits(&attend(std::slice::from_ref(&job), heads, width, 0.3)));
        }
    }
}

#[test]
fn extreme_scores_follow_the_definition() {
    let n = 200;
    for (isa, _) in paths() {
        let run = |k: &[f32], v: &[f32]| {
            let mut keys = Keys::new(1, 1, Precision::F32);
            keys.append(k, v);
            attend_on(
                isa,
                &[Job { q: &[1.0], spans: vec![Span { keys: &keys, visible: Visible::All, hidden: &[], bias: None }] }],
                &[],
                (1, 1),
                1.0,
            )[0]
        };
        let v = noise(n, 1);
        // one score far above all others, in any chunk: its value
        for at in [0, 1, 127, 128, 199] {
            for high in [200.0, 1e30, -100.0] {
                let mut k = vec![high - 1000.0; n];
                k[at] = high;
                if k[at] - k[(at + 1) % n] > 500.0 {
                    assert_eq!(run(&k, &v), v[at], "{}, {at}", isa.name());
                }
            }
            let mut k = vec![-1e38; n];
            k[at] = 1e38;
            assert_eq!(run(&k, &v), v[at]);
            k.fill(f32::NEG_INFINITY);
            assert!(run(&k, &v).is_nan()); // 0 / 0
            k[at] = -3.0;
            assert_eq!(run(&k, &v), v[at]);
            k[at] = f32::INFINITY;
            assert!(run(&k, &v).is_nan()); // ∞ − ∞
        }
        // equal scores: the mean
        for score in [0.0, -1e30, 1e30] {
            let mean = v.iter().map(|x| f64::from(*x)).sum::<f64>() / n as f64;
            assert!((f64::from(run(&vec![score; n], &v)) - mean).abs() < 1e-6, "{}", isa.name());
        }
        // denormal values come through: 200 additions, each off by half the least denormal
        let tiny: Vec<f32> = v.iter().map(|x| x * 1e-40).collect();
        let mean = tiny.iter().map(|x| f64::from(*x)).sum::<f64>() / n as f64;
        assert!((f64::from(run(&vec![0.5; n], &tiny)) - mean).abs() < 200.0 * 0.7e-45, "{}", isa.name());
    }
}

/// Against the powers of f64, over the whole range and where it ends; the sum in the order that is promised.
#[test]
fn powers_are_exact_to_a_unit_and_a_half() {
    for (isa, _) in paths() {
        for base in 0..1400 {
            let scores: Vec<f32> = (0..LEN).map(|i| -((base * LEN + i) as f32) * 1e-3).collect();
            let mut lines = vec![crate::kernel::keys::Line::ZERO; LEN / 16];
            let s = numbers_mut::<f32>(&mut lines);
            s.copy_from_slice(&scores);
            let (max, sum, factor) = tile::powers(isa, s, 0.0);
            assert_eq!((max, factor), (0.0, 1.0));
            let mut lanes = [0f32; 16];
            for (i, (got, x)) in s.iter().zip(&scores).enumerate() {
                let want = f64::from(*x).exp2();
                let within = if *x < -126.0 { 1.2e-38 } else { 1.5 * 2f64.powi(-24) * 2f64.powi(want.log2().floor() as i32 + 1) };
                assert!((f64::from(*got) - want).abs() <= within, "{}: 2^{x} is {got}", isa.name());
                lanes[i % 16] += got;
            }
            assert_eq!(sum, exponential::tree(lanes, |a, b| a + b));
        }
        let mut lines = [crate::kernel::keys::Line::ZERO; 2];
        let s = numbers_mut::<f32>(&mut lines);
        s.fill(f32::NEG_INFINITY);
        s[20] = 5.0;
        s[3] = 4.0;
        let (max, sum, factor) = tile::powers(isa, s, 3.0);
        assert_eq!((max, sum, factor, s[20], s[3], s[0]), (5.0, 1.5, 0.25, 1.0, 0.5, 0.0), "{}", isa.name());
    }
}

/// Scores of one look at the powers.
const LEN: usize = 96;
