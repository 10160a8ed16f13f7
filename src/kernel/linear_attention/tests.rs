use super::*;
use crate::kernel::features::{Norms, orthogonal};
use crate::kernel::linear::{Layout, Packed};
use crate::kernel::testing::noise;

fn paths() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|i| i.available() && i.lanes() == *i)
}

/// Features and their numbers.
struct Case {
    features: Features,
    projection: Vec<f32>,
}

impl Case {
    fn new(kernel: Kernel, (m, heads, width): (usize, usize, usize), epsilon: f32, constant: f32) -> Self {
        if kernel == Kernel::Exponential {
            return Self { features: Features { projection: None, kernel, epsilon, constant, heads, width }, projection: Vec::new() };
        }
        let projection = orthogonal(m as u64, (m, width), Norms::Gaussian);
        let packed = Packed::new(&projection, (m, width), Layout::OutIn, None);
        Self { features: Features { constant, ..Features::new(packed, kernel, epsilon, (heads, width)) }, projection }
    }

    fn plain(&self) -> Plain<'_> {
        let Features { kernel, epsilon, constant, heads, width, .. } = self.features;
        Plain { projection: &self.projection, kernel, epsilon: epsilon.into(), constant: constant.into(), heads, width }
    }

    fn d(&self) -> usize {
        self.features.heads * self.features.width
    }

    /// The outputs of one row, its tokens cut into calls of `cut`.
    fn run(&self, isa: Isa, [q, k, v]: [&[f32]; 3], cut: usize, sums: &mut [f32]) -> Vec<f32> {
        let n = (cut * self.d()).min(q.len()).max(1);
        let calls = q.chunks(n).zip(k.chunks(n)).zip(v.chunks(n));
        calls.flat_map(|((q, k), v)| self.features.attend_on(isa, &mut [Turn { q, k, v, sums }])).collect()
    }

    /// Queries, keys and values of n tokens; queries and keys so many times a number of −1..1.
    fn tokens(&self, n: usize, spread: f32, seed: u64) -> [Vec<f32>; 3] {
        let times = |x: Vec<f32>, by: f32| x.into_iter().map(|x| x * by).collect();
        [0, 1, 2].map(|i| times(noise(n * self.d(), seed + i), if i < 2 { spread } else { 1.0 }))
    }
}

fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (m, heads, width) in [(5, 3, 8), (16, 1, 16), (40, 2, 33), (70, 2, 64), (33, 1, 100), (1, 2, 1)] {
        let size = (m, heads, width);
        for (kernel, epsilon, constant) in [
            (Kernel::Softmax, 0.0, 0.0),
            (Kernel::Softmax, 1e-2, 0.0),
            (Kernel::Softmax, 1e-4, 1e-3),
            (Kernel::Relu, 1e-3, 0.0),
            (Kernel::Relu, 0.1, 1e-2),
            (Kernel::Exponential, 0.0, 0.0),
            (Kernel::Exponential, 0.0, 1e-2),
        ] {
            all.push(Case::new(kernel, size, epsilon, constant));
        }
    }
    all
}

fn near(got: &[f32], want: &[f64], most: f64, what: &str) {
    assert_eq!(got.len(), want.len());
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((f64::from(*got) - want).abs() <= most, "{what}: {got} {want} at {i}");
    }
}

#[test]
fn every_path_is_near_the_recurrence() {
    for isa in paths() {
        for case in cases() {
            for (n, spread) in [(1, 1.0), (3, 0.5), (37, 1.5)] {
                let tokens = case.tokens(n, spread, 3);
                let [q, k, v] = [&tokens[0][..], &tokens[1][..], &tokens[2][..]];
                let got = case.run(isa, [q, k, v], n, &mut case.features.sums(1).0[0]);
                let what = format!("{isa:?} {:?} m {} {n}", case.features.kernel, case.features.count());
                near(&got, &naive(&case.plain(), [q, k, v]), 2e-5, &what);
            }
        }
    }
}

#[test]
fn any_cut_and_any_neighbours_give_the_same_bits() {
    for case in cases() {
        let rows: Vec<[Vec<f32>; 3]> = (0..3).map(|r| case.tokens(20 + 7 * r, 1.0, 10 * r as u64)).collect();
        let alone: Vec<Vec<f32>> = rows.iter().map(|[q, k, v]| case.run(isa(), [q, k, v], 100, &mut case.features.sums(1).0[0])).collect();
        let mut sums = case.features.sums(3);
        let mut turns: Vec<Turn> = rows.iter().zip(&mut sums.0).map(|([q, k, v], sums)| Turn { q, k, v, sums }).collect();
        assert!(case.features.attend(&mut turns) == alone.concat());
        for ([q, k, v], alone) in rows.iter().zip(&alone) {
            for cut in [1, 2, 3, 5, 9] {
                assert!(case.run(isa(), [q, k, v], cut, &mut case.features.sums(1).0[0]) == *alone, "{cut}");
            }
        }
    }
}

/// Keys that are only summed, then queries that only read: the last query of the causal form sees the same.
#[test]
fn summing_and_reading_may_be_apart() {
    for case in cases() {
        let (n, d) = (23, case.d());
        let [q, k, v] = case.tokens(n, 1.0, 5);
        let causal = case.run(isa(), [&q, &k, &v], n, &mut case.features.sums(1).0[0]);
        let mut sums = case.features.sums(1);
        let none = case.features.attend(&mut [Turn { q: &[], k: &k, v: &v, sums: &mut sums.0[0] }]);
        assert!(none.is_empty());
        let read = case.features.attend(&mut [Turn { q: &q, k: &[], v: &[], sums: &mut sums.0[0] }]);
        assert!(read[(n - 1) * d..] == causal[(n - 1) * d..]);
        assert!(read[..d] != causal[..d]);
        assert_eq!(size_of_val(&sums.0[0][..]), case.features.sum_bytes());
    }
}

/// The maximum of all keys, taken first, changes nothing but ε.
#[test]
fn a_maximum_that_is_known_before_changes_only_epsilon() {
    for case in cases().into_iter().filter(|c| c.features.kernel == Kernel::Softmax && c.features.constant == 0.0) {
        let [q, k, v] = case.tokens(30, 1.5, 8);
        let running = case.run(isa(), [&q, &k, &v], 30, &mut case.features.sums(1).0[0]);
        let mut sums = case.features.sums(1);
        case.features.raise(&mut [Turn { q: &[], k: &k, v: &v, sums: &mut sums.0[0] }]);
        let known = case.run(isa(), [&q, &k, &v], 30, &mut sums.0[0]);
        let far = running.iter().zip(&known).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(
            if case.features.epsilon == 0.0 { far < 1e-5 } else { far > 1e-5 || case.features.count() == 1 },
            "{far} {}",
            case.features.epsilon
        );
    }
}

/// Prefix sums of features without any maximum, in f64.
#[test]
fn a_running_maximum_is_prefix_sums_without_one() {
    for (m, heads, width) in [(24, 2, 8), (64, 1, 16)] {
        let case = Case::new(Kernel::Softmax, (m, heads, width), 0.0, 0.0);
        let (n, d, scale) = (50, case.d(), (width as f64).powf(-0.25));
        let [q, k, v] = case.tokens(n, 2.0, 2);
        let got = case.run(isa(), [&q, &k, &v], n, &mut case.features.sums(1).0[0]);
        let feature = |x: &[f32], f: usize| {
            let pair = |(x, w): (&f32, &f32)| scale * f64::from(*x) * f64::from(*w);
            let dot: f64 = x.iter().zip(&case.projection[f * width..]).map(pair).sum();
            (dot - x.iter().map(|x| (scale * f64::from(*x)).powi(2)).sum::<f64>() / 2.0).exp()
        };
        let of = |x: &[f32], t: usize, h: usize| (0..m).map(|f| feature(&x[t * d + h * width..][..width], f)).collect::<Vec<f64>>();
        let mut want = vec![0.0; n * d];
        for (t, h) in (0..n).flat_map(|t| (0..heads).map(move |h| (t, h))) {
            let query = of(&q, t, h);
            let weights: Vec<f64> = (0..=t).map(|j| of(&k, j, h).iter().zip(&query).map(|(a, b)| a * b).sum()).collect();
            let norm: f64 = weights.iter().sum();
            for (j, weight) in weights.iter().enumerate() {
                for i in 0..width {
                    want[t * d + h * width + i] += weight / norm * f64::from(v[j * d + h * width + i]);
                }
            }
        }
        near(&got, &want, 1e-6 * 5.0, "prefix sums");
    }
}

#[test]
fn a_later_key_of_any_norm_changes_no_earlier_output_and_a_nan_is_not_hidden() {
    for case in cases() {
        let d = case.d();
        let [q, mut k, v] = case.tokens(20, 1.0, 6);
        let before = case.run(isa(), [&q, &k, &v], 20, &mut case.features.sums(1).0[0]);
        k[15 * d..16 * d].iter_mut().for_each(|x| *x *= 1e4);
        let after = case.run(isa(), [&q, &k, &v], 20, &mut case.features.sums(1).0[0]);
        assert!(before[..15 * d] == after[..15 * d]);
        assert!(after.iter().all(|x| x.is_finite()));
        k[15 * d] = f32::NAN;
        let broken = case.run(isa(), [&q, &k, &v], 20, &mut case.features.sums(1).0[0]);
        assert!(broken[15 * d].is_nan() && broken[19 * d].is_nan() && broken[..15 * d] == before[..15 * d], "{:?}", case.features.kernel);
    }
}

#[test]
fn threads_change_nothing() {
    let case = Case::new(Kernel::Softmax, (70, 4, 64), 0.0, 0.0);
    let [q, k, v] = case.tokens(300, 1.0, 1);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| case.run(isa(), [&q, &k, &v], 300, &mut case.features.sums(1).0[0]))
    };
    assert!(run(1) == run(3));
}
