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

/// The 95 % interval of resampled scores: bounds as sacreBLEU takes them (positions ⌊n/40⌋ from either end of the sorted scores),
/// and quantiles as numpy interpolates them. `scores` is not empty.
pub fn interval(metric: &dyn Metric, scores: &[f64]) -> Interval {
    let mut sorted = scores.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let n = sorted.len();
    let (low, high) = (sorted[n / 40], sorted[n - 1 - n / 40]);
    let quantile = |q: f64| {
        let at = q * (n - 1) as f64;
        let (i, part) = (at as usize, at.fract());
        let (a, b) = (sorted[i], sorted[(i + 1).min(n - 1)]);
        // numpy's way round, so that the last digits agree
        if part >= 0.5 { b - (b - a) * (1.0 - part) } else { a + (b - a) * part }
    };
    let (mean, half_width) = match metric.score_arithmetic() {
        Arithmetic::Double => (sorted.iter().sum::<f64>() / n as f64, 0.5 * (high - low)),
        Arithmetic::Single => {
            let single: Vec<f32> = sorted.iter().map(|&x| x as f32).collect();
            (f64::from(numpy::mean_f32(&single)), f64::from(0.5 * (high as f32 - low as f32)))
        }
    };
    Interval { mean, half_width, quantiles: [quantile(0.025), quantile(0.5), quantile(0.975)] }
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
