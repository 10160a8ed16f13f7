use super::*;
use crate::kernel::linear::{Layout, View, pack};
use crate::kernel::precision::Precision;
use crate::kernel::testing::noise;

const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];

fn paths() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|i| i.available())
}

/// d, N, d_1, rank.
type Shape = (usize, usize, usize, usize);
const SHAPES: [Shape; 8] =
    [(1, 1, 1, 1), (7, 5, 3, 2), (33, 7, 50, 9), (64, 32, 17, 16), (130, 64, 96, 96), (20, 16, 1, 5), (100, 3, 40, 33), (515, 24, 70, 4)];

/// The numbers of all parts.
struct Parts {
    shape: Shape,
    parts: [Vec<f32>; 6],
    weighted: bool,
}

impl Parts {
    fn new(shape: Shape, weighted: bool, number: impl Fn(f32) -> f32) -> Self {
        let (d, n, blocks, rank) = shape;
        let sizes = [rank * d, blocks * n * rank, blocks * n, blocks * n * d, blocks * n * d, d];
        let mut seed = 10;
        let parts = sizes.map(|size| {
            seed += 1;
            noise(size, seed).into_iter().map(&number).collect()
        });
        Self { shape, parts, weighted }
    }

    fn plain(&self) -> Plain<'_> {
        let [down, up, up_bias, w1, w2, bias] = &self.parts;
        Plain { n: self.shape.1, down, up, up_bias, w1, w2, bias, weighted: self.weighted }
    }

    fn held(&self, precision: Precision) -> SparseFf {
        let (d, n, blocks, rank) = self.shape;
        let [down, up, up_bias, w1, w2, bias] = &self.parts;
        let packed = |w: &[f32], sizes: (usize, usize), bias: Option<Vec<f32>>| {
            let view = View { numbers: &w, first: 0, apart: sizes.1, layout: Layout::OutIn };
            pack::pack(&view, sizes, precision, bias).0
        };
        let rows = |w: &[f32]| Rows::pack(&View { numbers: &w, first: 0, apart: d, layout: Layout::OutIn }, (blocks * n, d), precision).0;
        SparseFf {
            n,
            down: packed(down, (rank, d), None),
            up: packed(up, (blocks * n, rank), Some(up_bias.clone())),
            w1: rows(w1),
            w2: rows(w2),
            bias: bias.clone(),
            weighted: self.weighted,
        }
    }
}

/// Small integers are exact in f32 and bf16 in any order, and give ties: another unit than the first of the greatest shows, and so does another place.
#[test]
fn integers_are_exact_and_the_first_of_equals_wins() {
    for (isa, precision) in paths().flat_map(|isa| [Precision::F32, Precision::Bf16].map(|p| (isa, p))) {
        for (shape, n) in SHAPES.into_iter().flat_map(|s| [1, 2, 16, 17, 70].map(|n| (s, n))) {
            // sums stay below 2²⁴, and what is between the products is exact in bf16 too
            let small = |x: f32| if shape.0 * shape.3 > 200 { (x * 0.6).round() } else { (x * 2.0).round() };
            let parts = Parts::new(shape, false, small);
            let x: Vec<f32> = noise(n * shape.0, 1).into_iter().map(small).collect();
            let [low] = linear::apply_on(Isa::Portable, [&parts.held(Precision::F32).down], &x);
            assert!(low.iter().all(|l| l.abs() <= 256.0));
            assert!(parts.held(precision).apply_on(isa, &x) == naive(&x, parts.plain()), "{isa:?} {precision:?} {shape:?} {n}");
        }
    }
}

#[test]
fn real_numbers_are_near_the_definition() {
    for (isa, precision) in paths().flat_map(|isa| PRECISIONS.map(|p| (isa, p))) {
        for (shape, weighted) in SHAPES.into_iter().flat_map(|s| [(s, false), (s, true)]) {
            let (d, n, blocks, _) = shape;
            let parts = Parts::new(shape, weighted, |x| x);
            let held = parts.held(precision);
            let x = noise(3 * d, 1);
            // the choices are the held controller's: near ties may go either way
            let [low] = linear::apply_on(isa, [&held.down], &x);
            let [logits] = linear::apply_on(isa, [&held.up], &low);
            let row = |rows: &Rows, i| {
                let mut out = vec![0.0; d];
                rows.row(i, &mut out);
                out
            };
            for (r, got) in held.apply_on(isa, &x).chunks_exact(d).enumerate() {
                let (x, logits) = (&x[r * d..][..d], &logits[r * blocks * n..][..blocks * n]);
                let mut want: Vec<f64> = held.bias.iter().map(|b| f64::from(*b)).collect();
                let mut size = 0.0;
                for (b, l) in logits.chunks_exact(n).enumerate() {
                    let y = (0..n).fold(0, |best, y| if l[y] > l[best] { y } else { best });
                    let mut mid = crate::kernel::rows::naive_dot(&row(&held.w1, b * n + y), x).max(0.0);
                    if weighted {
                        mid /= l.iter().map(|v| (f64::from(*v) - f64::from(l[y])).exp()).sum::<f64>();
                    }
                    size += d as f64 + mid;
                    want.iter_mut().zip(row(&held.w2, y * blocks + b)).for_each(|(s, w)| *s += mid * f64::from(w));
                }
                // each mid is a sum of d numbers up to 1 with d / 16 + 20 roundings, and blocks + parts of them are added
                let bound = size * (d / 16 + 20 + blocks + PARTS) as f64 * 6e-8 + 1e-6;
                for (got, want) in got.iter().zip(&want) {
                    assert!((f64::from(*got) - want).abs() <= bound, "{isa:?} {precision:?} {shape:?}: {got} {want} ± {bound}");
                }
            }
        }
    }
}

#[test]
fn rows_and_threads_change_nothing() {
    for (isa, precision) in paths().flat_map(|isa| PRECISIONS.map(|p| (isa, p))) {
        for shape in SHAPES {
            let held = Parts::new(shape, false, |x| x).held(precision);
            for n in [1, 3, 16, 17, 70] {
                let x = noise(n * shape.0, 1);
                let of = |threads| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    pool.install(|| held.apply_on(isa, &x))
                };
                let one = of(1);
                assert!(one == of(2) && one == of(7), "{isa:?} {precision:?} {shape:?} {n}");
                let alone: Vec<f32> = x.chunks_exact(shape.0).flat_map(|x| held.apply_on(isa, x)).collect();
                assert!(one == alone, "{isa:?} {precision:?} {shape:?} {n}");
            }
        }
    }
}

/// x that is no number, a logit, a unit's weight: each reaches the output of its row, and of no other.
#[test]
fn what_is_no_number_never_vanishes() {
    let shape = (33, 7, 50, 9);
    let (d, n, blocks, _) = shape;
    for isa in paths() {
        for rows in [3, 40] {
            let parts = Parts::new(shape, false, |x| x);
            let mut x = noise(rows * d, 1);
            x[d + 5] = f32::NAN;
            for precision in PRECISIONS {
                let y = parts.held(precision).apply_on(isa, &x);
                assert!(y.iter().enumerate().all(|(at, y)| y.is_nan() == (at / d == 1)), "{isa:?} {precision:?}");
            }
            // one logit of the last block, not the first of it
            let mut bad = Parts::new(shape, false, |x| x);
            bad.parts[2][blocks * n - 2] = f32::NAN;
            assert!(bad.held(Precision::F32).apply_on(isa, &noise(rows * d, 1)).iter().all(|y| y.is_nan()), "{isa:?}");
            // a chosen unit of w₁ in a file that nobody has looked through
            let mut bad = Parts::new(shape, false, |x| x);
            bad.parts[3].fill(f32::NAN);
            assert!(bad.held(Precision::Bf16).apply_on(isa, &noise(rows * d, 1)).iter().all(|y| y.is_nan()), "{isa:?}");
        }
    }
}

#[test]
fn the_choice() {
    let inf = f32::INFINITY;
    for isa in paths() {
        let of = |x: &[f32]| on(isa, Choose(x));
        assert_eq!(of(&[1.0, 3.0, 3.0]), Some(1));
        assert_eq!(of(&[-0.0, 0.0]), Some(0));
        assert_eq!((of(&[-inf, -inf]), of(&[0.0, inf, inf]), of(&[])), (Some(0), Some(1), None));
        for n in 1..70 {
            let x = noise(n, n as u64);
            assert_eq!(of(&x), Some((0..n).fold(0, |best, y| if x[y] > x[best] { y } else { best })));
            for at in 0..n {
                let mut x = x.clone();
                x[at] = -f32::NAN;
                assert_eq!(of(&x), None);
                x[at] = 2.0;
                assert_eq!(of(&x), Some(at));
            }
        }
    }
}

#[test]
fn bytes_of_a_step() {
    let held = Parts::new((64, 32, 17, 16), false, |x| x).held(Precision::Bf16);
    assert_eq!(held.step_bytes(), held.down.bytes() + held.up.bytes() + 17 * 2 * 64 * 2 + 64 * 4);
    assert!(held.apply(&[]).is_empty());
}
