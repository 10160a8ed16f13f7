//! Whether two systems differ: paired bootstrap and paired approximate randomisation against a baseline.

use super::super::{Arithmetic, Metric, Sums, sums};
use super::numpy::{Coins, mean_f32};
use super::{Blocks, Counted};
use rayon::prelude::*;

/// The p-value of the paired bootstrap: how often the absolute difference of resampled scores, less its mean, exceeds the observed
/// one: (count + 1)/(samples + 1).
///
/// `baseline` and `system` hold the scores of the same draws; `observed` is the absolute difference of the scores on all segments.
pub fn bootstrap_p_value(metric: &dyn Metric, baseline: &[f64], system: &[f64], observed: f64) -> f64 {
    let pairs = baseline.iter().zip(system);
    let count = match metric.score_arithmetic() {
        Arithmetic::Double => {
            let gaps: Vec<f64> = pairs.map(|(a, b)| (b - a).abs()).collect();
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            gaps.iter().filter(|&&gap| gap - mean > observed).count()
        }
        Arithmetic::Single => {
            let gaps: Vec<f32> = pairs.map(|(a, b)| (*b as f32 - *a as f32).abs()).collect();
            let mean = mean_f32(&gaps);
            gaps.iter().filter(|&&gap| gap - mean > observed as f32).count()
        }
    };
    p_value(count, baseline.len())
}

fn p_value(count: usize, trials: usize) -> f64 {
    (count + 1) as f64 / (trials + 1) as f64
}

/// The p-values, one a score, of paired approximate randomisation: each segment's statistics change sides by the toss of a coin,
/// and it is counted how often the absolute difference exceeds the observed one.
///
/// `baseline` and `system` are counted by the same metric on the same segments.
/// The coins are those of `default_rng(seed).integers(2, size=(trials, segments), dtype=bool)`.
pub fn randomisation(baseline: &Counted, system: &Counted, trials: usize, seed: u64) -> Vec<f64> {
    let (metric, segments, width) = (baseline.metric, baseline.segments(), baseline.metric.width());
    let scores = baseline.titles();
    let values = |sums: &[f64]| {
        let mut values = vec![0.0; scores];
        metric.values(Sums::Double(sums), segments, &mut values);
        values
    };
    let whole = values(&sums(baseline.rows, width)).into_iter().zip(values(&sums(system.rows, width)));
    let observed: Vec<f64> = whole.map(|(a, b)| (a - b).abs()).collect();
    let a = Blocks::new(baseline.rows, width, |x| x);
    let b = Blocks::new(system.rows, width, |x| x);
    // sums of fractions differ in their last bits with the order of addition; a difference of counts is exact
    let hair = if metric.arithmetic() == Arithmetic::Double { 1e-9 } else { 0.0 };
    let trial = |trial: usize| -> Vec<bool> {
        let mut coins = Coins::new(seed, trial as u64 * segments as u64);
        let coins: Vec<bool> = (0..segments).map(|_| coins.flip()).collect();
        let mut both = [vec![0.0; width], vec![0.0; width]];
        swapped_sums(&a, &b, &coins, &mut both);
        let [one, other] = both.map(|sums| values(&sums));
        one.iter().zip(&other).zip(&observed).map(|((x, y), observed)| (x - y).abs() > observed + hair).collect()
    };
    let none = || vec![0_usize; scores];
    let exceeded =
        (0..trials).into_par_iter().with_min_len(16).map(trial).fold(none, |counts, more| add(counts, more.into_iter().map(usize::from)));
    let counts = exceeded.reduce(none, |counts, more| add(counts, more.into_iter()));
    counts.into_iter().map(|count| p_value(count, trials)).collect()
}

fn add(mut counts: Vec<usize>, more: impl Iterator<Item = usize>) -> Vec<usize> {
    counts.iter_mut().zip(more).for_each(|(c, m)| *c += m);
    counts
}

/// The sums of both pseudo-systems: heads keeps a segment of `a` on the first side, tails moves it to the second.
fn swapped_sums(a: &Blocks<f64>, b: &Blocks<f64>, coins: &[bool], sums: &mut [Vec<f64>; 2]) {
    let [first, second] = sums;
    for (((a, b), first), second) in a.blocks.iter().zip(&b.blocks).zip(first.chunks_mut(8)).zip(second.chunks_mut(8)) {
        let mut both = [[0.0; 8]; 2];
        for ((a, b), &heads) in a.iter().zip(b).zip(coins) {
            let (x, y) = if heads { (a, b) } else { (b, a) };
            for c in 0..8 {
                both[0][c] += x[c];
                both[1][c] += y[c];
            }
        }
        first.copy_from_slice(&both[0][..first.len()]);
        second.copy_from_slice(&both[1][..second.len()]);
    }
}
