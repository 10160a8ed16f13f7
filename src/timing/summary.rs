//! What many measurements of the same thing come to.

use super::student::t_quantile;

/// How far from the median, in MADs, a sample is an outlier: ten standard deviations of a normal distribution, whose MAD is σ/1.4826.
const OUTLIER: f64 = 14.826;

/// Mean, spread and percentiles of one row of samples, in the samples' unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// How many samples.
    pub n: usize,
    /// Mean.
    pub mean: f64,
    /// Sample standard deviation (n − 1); none for one sample.
    pub stddev: Option<f64>,
    /// Half-width of the 95 % interval of the mean, t(0.975, n − 1) · stddev / √n; none for one sample.
    ///
    /// Assumes that the samples do not depend on each other and that their mean is about normal. It speaks of the noise between
    /// repetitions alone: what all of them share (the machine's clock frequency, where the buffers came to lie) is not in it.
    pub ci95: Option<f64>,
    /// Smallest.
    pub min: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile; next to the maximum for fewer than a hundred samples.
    pub p99: f64,
    /// Largest.
    pub max: f64,
}

impl Summary {
    /// Of finite samples in any order; none of no samples.
    pub fn of(samples: &[f64]) -> Option<Self> {
        let Moments { n, mean, variance } = moments(samples)?;
        let sorted = sorted(samples);
        let stddev = variance.map(f64::sqrt);
        Some(Self {
            n,
            mean,
            stddev,
            ci95: stddev.map(|s| t_quantile(0.975, (n - 1) as f64) * s / (n as f64).sqrt()),
            min: sorted[0],
            p50: percentile(&sorted, 0.5),
            p90: percentile(&sorted, 0.9),
            p99: percentile(&sorted, 0.99),
            max: sorted[n - 1],
        })
    }
}

/// Number, mean and variance of samples.
pub(super) struct Moments {
    /// How many, at least 1.
    pub n: usize,
    /// Mean.
    pub mean: f64,
    /// Sample variance (n − 1); none for one sample.
    pub variance: Option<f64>,
}

/// None of no samples.
pub(super) fn moments(samples: &[f64]) -> Option<Moments> {
    let n = samples.len();
    let count = n as f64;
    if n == 0 {
        return None;
    }
    // a second pass takes the rounding of the first sum out, so that equal samples have their own value as mean and no spread at all
    let rough = samples.iter().sum::<f64>() / count;
    let mean = rough + samples.iter().map(|x| x - rough).sum::<f64>() / count;
    let (sum, squares) = samples.iter().map(|x| x - mean).fold((0.0, 0.0), |(sum, squares), d| (sum + d, squares + d * d));
    let variance = (n > 1).then(|| (squares - sum * sum / count).max(0.0) / (count - 1.0));
    Some(Moments { n, mean, variance })
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The value below which the share `q` (0 to 1) of the ascending samples lies, straight between neighbours: numpy's default, type 7 of
/// Hyndman and Fan (1996). NaN of no samples.
pub fn percentile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = q.clamp(0.0, 1.0) * last as f64;
    let below = at.floor();
    let (i, part) = (below as usize, at - below);
    let (low, high) = (sorted[i.min(last)], sorted[(i + 1).min(last)]);
    // from the nearer end, so that no rounding leads past it
    if part < 0.5 { low + (high - low) * part } else { high - (high - low) * (1.0 - part) }
}

/// Middle sample, or the mean of the two in the middle; none of no samples.
pub fn median(samples: &[f64]) -> Option<f64> {
    (!samples.is_empty()).then(|| percentile(&sorted(samples), 0.5))
}

/// Which samples are outliers by hyperfine's rule, |x − median| / MAD > 14.826 with the MAD, median |x − median|, unscaled (a modified z
/// score of ten; B. Iglewicz and D. Hoaglin, How to Detect and Handle Outliers, 1993).
///
/// Where the MAD is 0, because half of the samples or more are the same number, hyperfine divides by 2⁻⁵² instead. For whole nanoseconds
/// that means that every sample which differs at all is an outlier, by a single nanosecond even. The rule is kept so that both tools flag
/// the same runs, and it does no harm where it was made for: times of milliseconds hardly ever repeat to the nanosecond. Where they do, the
/// clock ticks coarsely (100 ns, say) or there are only three or four samples, and then an outlier may be one tick away; so this is a
/// reason for a look at the samples, never one for leaving some out.
pub fn outliers(samples: &[f64]) -> Vec<usize> {
    let Some(middle) = median(samples) else { return Vec::new() };
    let away: Vec<f64> = samples.iter().map(|x| (x - middle).abs()).collect();
    let mad = match median(&away) {
        Some(mad) if mad > 0.0 => mad,
        _ => f64::EPSILON,
    };
    away.iter().enumerate().filter(|(_, d)| **d / mad > OUTLIER).map(|(i, _)| i).collect()
}

/// Whether the first sample is an outlier on the slow side, as when a cache was cold; hyperfine warns of the same.
pub fn slow_start(samples: &[f64]) -> bool {
    outliers(samples).first() == Some(&0) && median(samples).is_some_and(|m| samples[0] > m)
}

/// By how much tokens got slower: the median of the last quarter over that of the first, − 1; n/4 samples make a quarter, rounded down.
///
/// None for fewer than 8 samples, or a first quarter whose median is not positive. Two quarters of noise differ as well, so a small drift
/// of few tokens means nothing.
pub fn drift(tokens: &[f64]) -> Option<f64> {
    let quarter = tokens.len() / 4;
    if tokens.len() < 8 {
        return None;
    }
    let first = median(&tokens[..quarter])?;
    let last = median(&tokens[tokens.len() - quarter..])?;
    (first > 0.0).then(|| last / first - 1.0)
}

#[cfg(test)]
mod tests {
    use super::super::expected::{Normal, PLAIN, STUDENT, near, numbers, points, rows, same};
    use super::*;

    #[test]
    fn moments_percentiles_outliers_and_drift_are_the_references() {
        for row in rows("summary") {
            let (name, samples) = (row["name"].as_str().unwrap(), numbers(&row["samples"]));
            let s = Summary::of(&samples).unwrap();
            assert_eq!(s.n, samples.len(), "{name}");
            for (key, got) in [("mean", s.mean), ("min", s.min), ("p50", s.p50), ("p90", s.p90), ("p99", s.p99), ("max", s.max)] {
                same(got, &row[key], PLAIN, &format!("{name}: {key}"));
            }
            same(s.stddev, &row["stddev"], PLAIN, name);
            same(s.ci95, &row["ci95"], STUDENT, name);
            let ascending = sorted(&samples);
            for (q, want) in points(&row["other"]) {
                near(percentile(&ascending, q), want, PLAIN, name);
            }
            let indices: Vec<f64> = outliers(&samples).iter().map(|i| *i as f64).collect();
            assert_eq!(indices, numbers(&row["outliers"]), "{name}");
            assert_eq!(slow_start(&samples), row["slow_start"].as_bool().unwrap(), "{name}");
            // 1 + drift is what is computed; the difference from 1 may be small
            let one_more = row["drift"].as_f64().map_or(serde_json::Value::Null, |d| (1.0 + d).into());
            same(drift(&samples).map(|d| 1.0 + d), &one_more, PLAIN, name);
        }
    }

    #[test]
    fn nothing_of_nothing() {
        assert_eq!((Summary::of(&[]), median(&[]), drift(&[])), (None, None, None));
        assert!(percentile(&[], 0.5).is_nan() && outliers(&[]).is_empty() && !slow_start(&[]));
    }

    #[test]
    fn equal_samples_have_no_spread_at_all() {
        for (x, n) in [(0.1, 3), (0.1, 7), (0.7, 10), (1.0 / 3.0, 999), (4_123_457.0, 60), (1e-9, 10_007)] {
            let s = Summary::of(&vec![x; n]).unwrap();
            assert_eq!((s.mean, s.stddev, s.ci95), (x, Some(0.0), Some(0.0)), "{x} {n} times");
        }
    }

    #[test]
    fn shifting_and_scaling_move_what_they_should_and_order_does_not_matter() {
        let mut normal = Normal::new(3);
        for n in [2, 3, 8, 50] {
            let xs: Vec<f64> = (0..n).map(|_| 100.0 + normal.draw()).collect();
            let s = Summary::of(&xs).unwrap();
            let moved = Summary::of(&xs.iter().rev().map(|x| 1000.0 - 3.0 * x).collect::<Vec<_>>()).unwrap();
            near(moved.mean, 1000.0 - 3.0 * s.mean, PLAIN, "mean");
            near(moved.stddev.unwrap(), 3.0 * s.stddev.unwrap(), PLAIN, "stddev");
            near(moved.ci95.unwrap(), 3.0 * s.ci95.unwrap(), PLAIN, "ci95");
            assert_eq!((moved.min, moved.max), (1000.0 - 3.0 * s.max, 1000.0 - 3.0 * s.min));
            let turned: Vec<f64> = xs.iter().rev().copied().collect();
            assert_eq!(Summary::of(&turned).map(|t| (t.p50, t.p90, t.p99)), Some((s.p50, s.p90, s.p99)));
        }
    }

    #[test]
    fn percentiles_rise_from_the_smallest_to_the_largest() {
        let xs = sorted(&[0.1, 0.1, 0.3, 0.7, 0.7, 0.9, 1.1]);
        let all: Vec<f64> = (0..=1000).map(|i| percentile(&xs, f64::from(i) / 1000.0)).collect();
        assert!(all.windows(2).all(|w| w[0] <= w[1]));
        assert_eq!((all[0], all[1000], percentile(&xs, -1.0), percentile(&xs, 2.0)), (0.1, 1.1, 0.1, 1.1));
    }

    #[test]
    fn an_outlier_is_beyond_the_threshold_on_either_side() {
        // median 10, MAD 1
        let with = |x: f64| outliers(&[8.0, 9.0, 10.0, 11.0, 12.0, 10.0, 9.0, 11.0, 10.0, x]);
        assert!(with(10.0 + 14.8).is_empty() && with(10.0 - 14.8).is_empty());
        assert_eq!((with(10.0 + 14.9), with(10.0 - 14.9)), (vec![9], vec![9]));
        // one nanosecond where the rest are equal
        assert_eq!(outliers(&[500.0, 500.0, 501.0]), [2]);
        assert!(slow_start(&[501.0, 500.0, 500.0]) && !slow_start(&[499.0, 500.0, 500.0]) && !slow_start(&[500.0, 500.0, 501.0]));
    }
}
