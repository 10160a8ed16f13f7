//! Metrics as pure functions: texts → statistics a segment → sums → one formula → [`Score`].
//!
//! Resampling, significance tests and tables know a metric only as [`Metric`]; those that compare texts are [`Compare`] too.

pub mod bleu;
pub mod chrf;
pub mod count;
pub mod ngram;
pub mod perplexity;
pub mod registry;
pub mod resample;
pub mod rouge;
mod scalar;
pub mod signature;
pub mod strabel;
pub mod ter;
pub mod tokenize;

use serde_json::Value;

/// A configured metric. One object may give several scores: ROUGE gives one a type.
pub trait Metric: Send + Sync {
    /// What its lines begin with: `BLEU`, `chrF2++`, `TER`, `ROUGE`.
    fn name(&self) -> String;
    /// One title a score, for tables: `BLEU`, `ROUGE-1`, `ROUGE-Lsum`.
    fn titles(&self) -> Vec<String> {
        vec![self.name()]
    }
    /// The metric's own part of the signature of score `which`, in order: `("case", "mixed")`, `("tok", "13a")`.
    fn signature(&self, which: usize) -> Vec<(&'static str, String)>;
    /// Numbers of one segment.
    fn width(&self) -> usize;
    /// In which arithmetic the reference adds up resampled statistics.
    fn arithmetic(&self) -> Arithmetic;
    /// The scores of summed statistics, `out.len() == titles().len()`, as printed (0–100 where the metric is a percentage).
    fn values(&self, sums: Sums<'_>, segments: usize, out: &mut [f64]);
    /// Score `which` of summed statistics with everything that is printed beside it.
    fn score(&self, which: usize, sums: &[f64], segments: usize) -> Score;
    /// Which public tool's number score `which` equals, with the call that gives it, and which known tools give another.
    fn explain(&self, which: usize) -> String;
    /// Whether it compares with references, so that their number belongs to the signature.
    fn has_references(&self) -> bool {
        true
    }
    /// What is to be known of intervals beside the score, where the reference has other ones.
    fn on_intervals(&self) -> Option<&'static str> {
        None
    }
    /// In which arithmetic the reference keeps a resampled score.
    fn score_arithmetic(&self) -> Arithmetic {
        Arithmetic::Double
    }
    /// Whether lower is better.
    fn is_error(&self) -> bool {
        false
    }
    /// Digits after the point where nobody asks for others.
    fn digits(&self) -> usize {
        1
    }
    /// Where score `which` departs from what its name stands for elsewhere; said with every score.
    fn departures(&self, _which: usize) -> Vec<String> {
        Vec::new()
    }
}

/// A metric of hypotheses against references.
pub trait Compare: Metric {
    /// What counts segments, one a thread: it may keep words it has seen.
    fn counter(&self) -> Box<dyn Counter + '_>;
}

/// Counts one segment after the other.
pub trait Counter {
    /// Writes the statistics of a segment into `row` (as long as [`Metric::width`]). There is at least one reference.
    fn segment(&mut self, hypothesis: &str, references: &[&str], row: &mut [f64]);
}

/// How statistics are added up when they are resampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// 32 bits, one segment after the other, as sacreBLEU does with numpy.
    Single,
    /// 64 bits.
    Double,
}

/// Sums of statistics over segments.
#[derive(Debug, Clone, Copy)]
pub enum Sums<'a> {
    /// In 32 bits: the formula too is computed as numpy computes it with `float32` scalars.
    Single(&'a [f32]),
    /// In 64 bits.
    Double(&'a [f64]),
}

/// One score as it is reported.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// The score as printed, unrounded.
    pub value: f64,
    /// What follows the score on its line, for instance `80.0/50.0/33.3/25.0 (BP = 1.000 …)`; may be empty.
    pub verbose: String,
    /// Further numbers for JSON, unrounded, with the reference tool's own names.
    pub fields: Vec<(&'static str, Value)>,
}

/// The sums of rows of `width` numbers.
pub fn sums(rows: &[f64], width: usize) -> Vec<f64> {
    let mut total = vec![0.0; width];
    for row in rows.chunks_exact(width) {
        total.iter_mut().zip(row).for_each(|(t, x)| *t += x);
    }
    total
}
