//! Intervals and p-values by resampling the statistics of segments, for any [`Metric`].
//!
//! The rules are sacreBLEU's (sacrebleu/significance.py, metrics/base.py): Koehn 2004 for the bootstrap, Riezler and Maxwell 2005
//! for approximate randomisation; so are the random numbers ([`numpy`]), hence the figures.

mod bootstrap;
pub mod numpy;
mod paired;

pub use bootstrap::bootstrap;
pub use paired::{bootstrap_p_value, randomisation};

use super::{Arithmetic, Metric};

/// One system's statistics by one metric: a row a segment.
#[derive(Clone, Copy)]
pub struct Counted<'a> {
    /// What they are statistics of.
    pub metric: &'a dyn Metric,
    /// Segments times [`Metric::width`] numbers.
    pub rows: &'a [f64],
}

impl Counted<'_> {
    /// Number of segments.
    pub fn segments(&self) -> usize {
        self.rows.len() / self.metric.width().max(1)
    }

    fn titles(&self) -> usize {
        self.metric.titles().len()
    }
}

/// Where resampled scores lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Mean of the resampled scores.
    pub mean: f64,
    /// Half the distance of the bounds, sacreBLEU's `±`.
    pub half_width: f64,
    /// 2.5 %, 50 % and 97.5 % quantiles, interpolated linearly: rouge_score's `low`, `mid` and `high`.
    pub quantiles: [f64; 3],
}

/// Whose mean of resampled scores: they differ in the last digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mean {
    /// Python's `statistics.mean`, exact: sacreBLEU's for one system.
    Exact,
    /// numpy's: sacreBLEU's for several systems.
    Numpy,
}

/// The 95 % interval of resampled scores: bounds as sacreBLEU takes them (positions ⌊n/40⌋ from either end of the sorted scores),
/// and quantiles as numpy interpolates them. Scores that are none, as the perplexity of nothing but empty texts, are left out; `None`
/// if all are.
pub fn interval(metric: &dyn Metric, scores: &[f64], mean: Mean) -> Option<Interval> {
    let mut sorted: Vec<f64> = scores.iter().copied().filter(|x| !x.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let n = sorted.len();
    let (low, high) = (*sorted.get(n / 40)?, sorted[n - 1 - n / 40]);
    let quantile = |q: f64| {
        let at = q * (n - 1) as f64;
        let (i, part) = (at as usize, at.fract());
        let (a, b) = (sorted[i], sorted[(i + 1).min(n - 1)]);
        // numpy's way round, so that the last digits agree
        if part >= 0.5 { b - (b - a) * (1.0 - part) } else { a + (b - a) * part }
    };
    let (mean, half_width) = match (metric.score_arithmetic(), mean) {
        (Arithmetic::Double, Mean::Exact) => (exact_sum(&sorted) / n as f64, 0.5 * (high - low)),
        (Arithmetic::Double, Mean::Numpy) => (numpy::sum(&sorted) / n as f64, 0.5 * (high - low)),
        (Arithmetic::Single, how) => {
            let mean = match how {
                Mean::Exact => (exact_sum(&sorted) / n as f64) as f32,
                Mean::Numpy => numpy::sum(&single(&sorted)) / n as f32,
            };
            (f64::from(mean), f64::from(0.5 * (high as f32 - low as f32)))
        }
    };
    Some(Interval { mean, half_width, quantiles: [quantile(0.025), quantile(0.5), quantile(0.975)] })
}

fn single(numbers: &[f64]) -> Vec<f32> {
    numbers.iter().map(|&x| x as f32).collect()
}

/// The sum without rounding but at the end (Shewchuk 1997): the parts that do not fit one number are kept apart.
fn exact_sum(numbers: &[f64]) -> f64 {
    let mut parts: Vec<f64> = Vec::new();
    for &number in numbers {
        let mut x = number;
        let mut kept = 0;
        for i in 0..parts.len() {
            let (big, small) = if x.abs() < parts[i].abs() { (parts[i], x) } else { (x, parts[i]) };
            x = big + small;
            let lost = small - (x - big);
            if lost != 0.0 {
                parts[kept] = lost;
                kept += 1;
            }
        }
        parts.truncate(kept);
        parts.push(x);
    }
    parts.iter().sum()
}

/// Rows in blocks of eight columns, padded with zeros: sums of a block stay in registers, and every column is still added up in
/// the order of the segments.
struct Blocks<T> {
    /// one list a block
    blocks: Vec<Vec<[T; 8]>>,
}

impl<T: Copy + Default + std::ops::AddAssign> Blocks<T> {
    fn new(rows: &[f64], width: usize, convert: impl Fn(f64) -> T) -> Self {
        let block = |first: usize| {
            let part = |row: &[f64]| std::array::from_fn(|c| row.get(first + c).map_or(T::default(), |&x| convert(x)));
            rows.chunks_exact(width).map(part).collect()
        };
        Self { blocks: (0..width).step_by(8).map(block).collect() }
    }

    /// Sums of the picked rows into `out`, as long as a row.
    fn sums(&self, picks: &[u32], out: &mut [T]) {
        for (block, out) in self.blocks.iter().zip(out.chunks_mut(8)) {
            let mut sums = [T::default(); 8];
            for &pick in picks {
                let row = &block[pick as usize];
                for c in 0..8 {
                    sums[c] += row[c];
                }
            }
            out.copy_from_slice(&sums[..out.len()]);
        }
    }
}

/// [`Blocks`] in the metric's arithmetic.
enum Rows {
    Single(Blocks<f32>),
    Double(Blocks<f64>),
}

impl Rows {
    fn new(counted: &Counted) -> Self {
        let width = counted.metric.width();
        match counted.metric.arithmetic() {
            Arithmetic::Single => Rows::Single(Blocks::new(counted.rows, width, |x| x as f32)),
            Arithmetic::Double => Rows::Double(Blocks::new(counted.rows, width, |x| x)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_lose_nothing() {
        assert_eq!(exact_sum(&[1e100, 1.0, -1e100]), 1.0);
        assert_eq!(exact_sum(&[0.1; 10]), 1.0);
        assert_eq!(exact_sum(&[]), 0.0);
    }
}
