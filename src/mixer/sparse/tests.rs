use super::*;
use crate::block::Linear;
use crate::kernel::attention::{Span, Visible};
use crate::kernel::linear::{Layout, Packed};
use crate::kernel::testing::noise;
use crate::mixer::sparse_fixed::Fixed;
use crate::mixer::sparse_strided::Strided;
use std::sync::Arc;

const SETS: [Sets; 3] = [Sets::First, Sets::Second, Sets::Both];
const SHAPE: Shape = Shape { heads: 2, width: 8, precision: Precision::F32 };
const D: usize = 16;
const SCALE: f32 = 0.4;

/// Whether position i sees position j, as the papers write it.
trait Dense: Scheme {
    fn first(self, i: usize, j: usize) -> bool;
    fn second(self, i: usize, j: usize) -> bool;

    fn sees(self, sets: Sets, i: usize, j: usize) -> bool {
        j <= i
            && match sets {
                Sets::First => self.first(i, j),
                Sets::Second => self.second(i, j),
                Sets::Both => self.first(i, j) || self.second(i, j),
            }
    }
}

impl Dense for Strided {
    fn first(self, i: usize, j: usize) -> bool {
        i - j <= self.stride
    }

    fn second(self, i: usize, j: usize) -> bool {
        (i - j).is_multiple_of(self.stride)
    }
}

impl Dense for Fixed {
    fn first(self, i: usize, j: usize) -> bool {
        i / self.stride == j / self.stride
    }

    fn second(self, i: usize, j: usize) -> bool {
        i == j || j % self.stride >= self.stride - self.summary
    }
}

const STRIDED: [usize; 6] = [1, 2, 3, 7, 64, 400];
const FIXED: [(usize, usize); 8] = [(1, 1), (2, 1), (2, 2), (3, 1), (7, 3), (64, 5), (400, 1), (400, 400)];

/// Calls a check with every scheme and choice of sets.
macro_rules! every {
    ($check:ident $(, $x:expr)*) => {
        for sets in SETS {
            STRIDED.iter().for_each(|&stride| $check(Strided { stride }, sets $(, $x)*));
            FIXED.iter().for_each(|&(stride, summary)| $check(Fixed { stride, summary }, sets $(, $x)*));
        }
    };
}

/// Softmax over a mask in f64: head `h` of `heads` at position i.
fn dense([q, k, v]: [&[f32]; 3], (h, width, d): (usize, usize, usize), i: usize, scale: f32, sees: impl Fn(usize) -> bool) -> Vec<f64> {
    let own = |x: &[f32], p: usize| x[p * d + h * width..p * d + (h + 1) * width].iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
    let seen: Vec<usize> = (0..=i).filter(|j| sees(*j)).collect();
    let score = |j: &usize| own(q, i).iter().zip(own(k, *j)).map(|(a, b)| a * b).sum::<f64>() * f64::from(scale);
    let powers: Vec<f64> = seen.iter().map(|j| score(j).exp()).collect();
    let total: f64 = powers.iter().sum();
    (0..width).map(|f| seen.iter().zip(&powers).map(|(j, p)| p * own(v, *j)[f]).sum::<f64>() / total).collect()
}

fn text(n: usize) -> [Vec<f32>; 3] {
    [1, 2, 3].map(|seed| noise(n * D, seed))
}

/// A text in pieces of `cut`.
fn run<S: Scheme>(scheme: S, sets: Sets, qkv: &[Vec<f32>; 3], cut: usize) -> (S::Past, Vec<f32>) {
    let mut past = scheme.past(sets, SHAPE);
    let mut out = Vec::new();
    for at in (0..qkv[0].len()).step_by(cut * D) {
        let piece = qkv.each_ref().map(|x| &x[at..x.len().min(at + cut * D)]);
        out.extend(look(std::slice::from_mut(&mut past), piece, SHAPE, SCALE));
    }
    (past, out)
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn every_position_sees_its_sets() {
    fn check<S: Dense + std::fmt::Debug>(scheme: S, sets: Sets) {
        let qkv = text(300);
        let (_, got) = run(scheme, sets, &qkv, 300);
        for i in 0..300 {
            for h in 0..SHAPE.heads {
                let want = dense(qkv.each_ref().map(|x| &x[..]), (h, 8, D), i, SCALE, |j| scheme.sees(sets, i, j));
                for (f, want) in want.iter().enumerate() {
                    let got = f64::from(got[i * D + h * 8 + f]);
                    assert!((got - want).abs() < 2e-6, "{scheme:?}, {sets:?}, position {i}: {got} {want}");
                }
            }
        }
    }
    every!(check);
}

#[test]
fn any_cut_gives_the_same_bits_and_the_bytes_that_were_forecast() {
    fn check<S: Dense + std::fmt::Debug>(scheme: S, sets: Sets) {
        let qkv = text(300);
        let (_, whole) = run(scheme, sets, &qkv, 300);
        for cut in [1, 3, 32, 129] {
            let (past, parts) = run(scheme, sets, &qkv, cut);
            assert_eq!(bits(&parts), bits(&whole), "{scheme:?}, {sets:?}, {cut}");
            assert_eq!(past.bytes(), scheme.bytes_at(sets, SHAPE, 300), "{scheme:?}, {sets:?}, {cut}");
        }
        let mut past = scheme.past(sets, SHAPE);
        past.reserve(300);
        assert_eq!(past.bytes(), 0);
        for i in 0..300 {
            let step = qkv.each_ref().map(|x| &x[i * D..(i + 1) * D]);
            let got = look(std::slice::from_mut(&mut past), step, SHAPE, SCALE);
            assert_eq!(bits(&got), bits(&whole[i * D..(i + 1) * D]));
            assert_eq!(past.bytes(), scheme.bytes_at(sets, SHAPE, i + 1), "{scheme:?}, {sets:?}, {i}");
        }
    }
    every!(check);
}

/// Keys and values that a position does not see may hold anything.
#[test]
fn what_a_position_does_not_see_does_not_matter() {
    fn check<S: Dense + std::fmt::Debug>(scheme: S, sets: Sets) {
        let n = 150;
        let qkv = text(n);
        let (_, clean) = run(scheme, sets, &qkv, n);
        for i in [0, 1, 2, 5, 6, 7, 8, 41, 63, 64, 65, 127, 128, 129, 149] {
            let mut poisoned = qkv.clone();
            for j in (0..n).filter(|j| !scheme.sees(sets, i, *j)) {
                poisoned[1][j * D..(j + 1) * D].fill(f32::NAN);
                poisoned[2][j * D..(j + 1) * D].fill(f32::INFINITY);
            }
            for cut in [1, n] {
                let (_, got) = run(scheme, sets, &poisoned, cut);
                assert_eq!(bits(&got[i * D..(i + 1) * D]), bits(&clean[i * D..(i + 1) * D]), "{scheme:?}, {sets:?}, position {i}");
            }
        }
    }
    every!(check);
}

/// Where all is in the union it is softmax attention: strides of the text's length and beyond, stride 1, every position a column.
#[test]
fn the_union_of_everything_is_softmax_attention() {
    fn check<S: Scheme + std::fmt::Debug>(scheme: S, sets: Sets, same: bool) {
        let qkv = text(300);
        let mut keys = SHAPE.keys();
        keys.append(&qkv[1], &qkv[2]);
        let spans = vec![Span { keys: &keys, visible: Visible::Causal { first: 0 }, hidden: &[], bias: None }];
        let want = attend(&[Job { q: &qkv[0], spans }], SHAPE.heads, SHAPE.width, SCALE);
        let (_, got) = run(scheme, sets, &qkv, 300);
        assert!(want.iter().zip(&got).all(|(a, b)| if same { a == b } else { (a - b).abs() < 1e-6 }), "{scheme:?}, {sets:?}");
    }
    for stride in [300, 301, 5000] {
        check(Strided { stride }, Sets::First, true);
        check(Strided { stride }, Sets::Both, false);
        check(Fixed { stride, summary: 1 }, Sets::First, true);
        check(Fixed { stride, summary: 7 }, Sets::Both, true);
    }
    check(Strided { stride: 1 }, Sets::Second, true);
    check(Strided { stride: 1 }, Sets::Both, true);
    check(Fixed { stride: 7, summary: 7 }, Sets::Both, false);
}

#[test]
fn a_step_remembers_little() {
    let of = |sets, positions| Fixed { stride: 64, summary: 2 }.bytes_at(sets, SHAPE, positions);
    let softmax = |n| SHAPE.bytes_at(n);
    // 2 columns of 100 blocks, and less than a block and a chunk
    assert!(of(Sets::Both, 6400) <= softmax(200) + softmax(64 + 128));
    assert!(of(Sets::First, 6400) <= softmax(64 + 128));
    assert!(of(Sets::Second, 6463) <= softmax(200) + softmax(128));
    assert!(Strided { stride: 64 }.bytes_at(Sets::First, SHAPE, 1 << 20) <= softmax(64 + 128));
    assert_eq!(Strided { stride: 64 }.bytes_at(Sets::Second, SHAPE, 6400), 64 * softmax(100));
    assert_eq!(Strided { stride: 64 }.bytes_at(Sets::Second, SHAPE, 3), 3 * softmax(1));
}

fn mixer<S: Scheme>(scheme: S, parts: Vec<(Range<usize>, Sets)>, heads: usize) -> Sparse<S> {
    let d = heads * 8;
    let one = |seed| Linear::from_packed(Arc::new(Packed::new(&noise(d * d, seed), (d, d), Layout::OutIn, None))).into();
    let projections = Projections { q: one(1), k: one(3), v: one(5), out: one(7) };
    Sparse { scheme, heads: Heads::new(d, heads).unwrap(), parts, cache: Precision::F32, projections }
}

/// Which heads of which layers see what, by the dense definition head by head.
#[test]
fn patterns_give_heads_their_sets() {
    fn check<S: Dense>(scheme: S) {
        type Wanted = (Pattern, usize, usize, fn(usize) -> Sets);
        let wanted: [Wanted; 7] = [
            (Pattern::Union, 0, 3, |_| Sets::Both),
            (Pattern::Union, 1, 3, |_| Sets::Both),
            (Pattern::Alternate, 0, 3, |_| Sets::First),
            (Pattern::Alternate, 1, 3, |_| Sets::Second),
            (Pattern::Alternate, 2, 3, |_| Sets::First),
            (Pattern::Heads, 1, 3, |h| if h < 2 { Sets::First } else { Sets::Second }),
            (Pattern::Heads, 0, 1, |_| Sets::First),
        ];
        for (pattern, layer, heads, sets) in wanted {
            let (mixer, d, n) = (mixer(scheme, pattern.parts(heads, layer), heads), heads * 8, 40);
            let rows: [[Vec<f32>; 3]; 2] = [0, 10].map(|r| [1, 2, 3].map(|seed| noise(n * d, seed + r)));
            let both = [0, 1, 2].map(|i| [&rows[0][i][..], &rows[1][i][..]].concat());
            let got = mixer.mix(both.each_ref().map(|x| &x[..]), &mut Mixer::memory(&mixer, 2).unwrap());
            for (row, i, h) in (0..2).flat_map(|row| (0..n).flat_map(move |i| (0..heads).map(move |h| (row, i, h)))) {
                let qkv = rows[row].each_ref().map(|x| &x[..]);
                let want = dense(qkv, (h, 8, d), i, mixer.heads.scale, |j| scheme.sees(sets(h), i, j));
                for (f, want) in want.iter().enumerate() {
                    let got = f64::from(got[(row * n + i) * d + h * 8 + f]);
                    assert!((got - want).abs() < 2e-6, "{pattern:?}, layer {layer}, head {h}, position {i}: {got} {want}");
                }
            }
        }
    }
    check(Strided { stride: 3 });
    check(Fixed { stride: 5, summary: 2 });
}

/// Rows that are repeated while others leave go on as copies of what they were, and each by itself.
#[test]
fn a_copy_into_the_room_of_another_is_a_copy() {
    fn check<S: Scheme>(scheme: S) {
        let mixer = mixer(scheme, Pattern::Heads.parts(3, 0), 3);
        let run = |memory: &mut Pasts<S::Past>, rows: usize, t: usize, seed| {
            let xs = tensor(noise(rows * t * 24, seed), (rows, t, 24)).unwrap();
            mixer.forward(&xs, memory).unwrap().to_vec3::<f32>().unwrap()
        };
        let mut memory = Mixer::memory(&mixer, 4).unwrap();
        memory.reserve(60);
        run(&mut memory, 4, 40, 2);
        assert_eq!(Memory::bytes(&memory), 4 * Mixer::bytes_at(&mixer, 40));
        let rows = [2, 0, 2, 2];
        let mut fresh = Pasts(memory.0.iter().map(|pasts| rows.iter().map(|r| pasts[*r].clone()).collect()).collect());
        memory.select(&rows).unwrap();
        assert_eq!(run(&mut memory, 4, 3, 8), run(&mut fresh, 4, 3, 8));
        assert_eq!(run(&mut memory, 4, 1, 9), run(&mut fresh, 4, 1, 9));
    }
    check(Strided { stride: 7 });
    check(Fixed { stride: 7, summary: 2 });
}
