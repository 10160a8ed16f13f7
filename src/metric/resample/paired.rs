//! Whether two systems differ: paired bootstrap and paired approximate randomisation against a baseline.

use super::super::{Arithmetic, Metric, Sums, sums};
use super::numpy::{self, Coins};
use super::{Blocks, Counted, single};
use rayon::prelude::*;

/// The p-value of the paired bootstrap: how often the absolute difference of resampled scores, less its mean, exceeds the observed
/// one: (count + 1)/(samples + 1).
///
/// `baseline` and `system` hold the scores of the same draws; `observed` is the absolute difference of the scores on all segments. Draws
/// for which one of them has no score are left out.
pub fn bootstrap_p_value(metric: &dyn Metric, baseline: &[f64], system: &[f64], observed: f64) -> f64 {
    let (a, b): (Vec<f64>, Vec<f64>) = baseline.iter().zip(system).filter(|(a, b)| !(**a - **b).is_nan()).unzip();
    let n = a.len();
    let count = match metric.score_arithmetic() {
        Arithmetic::Double => {
            let gaps: Vec<f64> = a.iter().zip(&b).map(|(a, b)| (b - a).abs()).collect();
            let mean = numpy::sum(&gaps) / n as f64;
            gaps.iter().filter(|&&gap| gap - mean > observed).count()
        }
        Arithmetic::Single => {
            let gaps: Vec<f32> = single(&a).iter().zip(&single(&b)).map(|(a, b)| (b - a).abs()).collect();
            let mean = numpy::sum(&gaps) / n as f32;
            gaps.iter().filter(|&&gap| gap - mean > observed as f32).count()
        }
    };
    p_value(count, n)
}

fn p_value(count: usize, trials: usize) -> f64 {
    (count + 1) as f64 / (trials + 1) as f64
}

/// The p-values, one a score, of paired approximate randomisation: each segment's statistics change sides by the toss of a coin,
/// and it is counted how often the absolute difference exceeds the observed one.
///
/// `baseline` and `system` are counted by the same metric on the same segments.
/// Trials in which a side has no score are left out. The coins are those of `default_rng(seed).integers(2, size=(trials, segments), dtype=bool)`.
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
    let trial = |trial: usize| -> Vec<Tally> {
        let mut coins = Coins::new(seed, trial as u64 * segments as u64);
        let coins: Vec<bool> = (0..segments).map(|_| coins.flip()).collect();
        let mut both = [vec![0.0; width], vec![0.0; width]];
        swapped_sums(&a, &b, &coins, &mut both);
        let [one, other] = both.map(|sums| values(&sums));
        one.iter().zip(&other).zip(&observed).map(|((x, y), observed)| Tally::of((x - y).abs(), observed + hair)).collect()
    };
    let none = || vec![Tally::default(); scores];
    let tallies = (0..trials).into_par_iter().with_min_len(16).map(trial).reduce(none, |mut counts, more| {
        counts.iter_mut().zip(more).for_each(|(c, m)| *c = Tally { exceeded: c.exceeded + m.exceeded, trials: c.trials + m.trials });
        counts
    });
    tallies.into_iter().map(|t| p_value(t.exceeded, t.trials)).collect()
}

/// Trials that gave a score for both sides, and those whose difference was above the observed one.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    exceeded: usize,
    trials: usize,
}

impl Tally {
    fn of(difference: f64, observed: f64) -> Self {
        Self { exceeded: usize::from(difference > observed), trials: usize::from(!difference.is_nan()) }
    }
}

/// The sums of both pseudo-systems: heads keeps a segment of `a` on the first side, tails moves it to the second. What comes from `a`
/// and from `b` is added up by itself, as the reference does: sums of fractions differ in their last bits otherwise.
fn swapped_sums(a: &Blocks<f64>, b: &Blocks<f64>, coins: &[bool], sums: &mut [Vec<f64>; 2]) {
    let [first, second] = sums;
    for (((a, b), first), second) in a.blocks.iter().zip(&b.blocks).zip(first.chunks_mut(8)).zip(second.chunks_mut(8)) {
        // [tails, heads] of each
        let (mut of_a, mut of_b) = ([[0.0; 8]; 2], [[0.0; 8]; 2]);
        for ((a, b), &heads) in a.iter().zip(b).zip(coins) {
            let side = usize::from(heads);
            for c in 0..8 {
                of_a[side][c] += a[c];
                of_b[side][c] += b[c];
            }
        }
        first.iter_mut().enumerate().for_each(|(c, sum)| *sum = of_a[1][c] + of_b[0][c]);
        second.iter_mut().enumerate().for_each(|(c, sum)| *sum = of_a[0][c] + of_b[1][c]);
    }
}
