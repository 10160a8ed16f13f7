//! ROUGE (Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries") as Google's rouge_score 0.1.2 computes it.
//!
//! Per segment and type, with h matches, n words or n-grams in the hypothesis and m in the reference,
//!
//! ```text
//! P = h / n    R = h / m    F = 2PR / (P + R)
//! ```
//!
//! `rougeN` matches n-grams, each as often as both texts have it; `rougeL` the words of a longest common subsequence of the whole
//! texts; `rougeLsum` the union, for each sentence of the reference, of its subsequences with all sentences of the hypothesis,
//! no word more often than the hypothesis has it. The score is the plain mean of F over segments.

mod counter;
mod explain;
mod kind;
mod lcs;
mod porter;
mod punkt;
#[cfg(test)]
mod random;
mod rule;
mod shared;
mod split;
mod unicode;
mod words;

pub use kind::RougeType;
pub use punkt::Punkt;
pub use split::Split;
pub use words::has_no_ascii_words;

use super::{Arithmetic, Compare, Counter, Metric, Score, Sums};
use crate::error::{Error, Result};

/// What to compute and how.
#[derive(Debug, Clone)]
pub struct RougeOptions {
    /// One score a type, in this order.
    pub types: Vec<RougeType>,
    /// Whether words longer than three characters are stemmed (Porter, as in NLTK).
    pub use_stemmer: bool,
    /// Where sentences end, for [`RougeType::Lsum`].
    pub split: Split,
    /// What becomes of several references.
    pub references: Aggregation,
    /// Whether letters of any script make words, not only `a-z0-9`. rouge_score has no such mode.
    pub unicode: bool,
}

impl Default for RougeOptions {
    fn default() -> Self {
        let types = vec![RougeType::N(1), RougeType::N(2), RougeType::L, RougeType::Lsum];
        Self { types, use_stemmer: false, split: Split::Newline, references: Aggregation::Best, unicode: false }
    }
}

/// What becomes of several references of a segment, for each type on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Aggregation {
    /// The reference with the highest F gives the numbers, the first of equals: `score_multi` of rouge_score.
    #[default]
    Best,
    /// Matches and counts are summed over the references, the hypothesis counting once for each: the scoring formula `A` of
    /// ROUGE-1.5.5, without its rounding to five decimals.
    Average,
}

/// ROUGE of one or several types; each text is read once for all of them.
#[derive(Debug, Clone)]
pub struct Rouge {
    options: RougeOptions,
}

impl Rouge {
    /// Fails without a type, and for n-grams of an order that is not 1 to 9.
    pub fn new(options: RougeOptions) -> Result<Self> {
        if options.types.is_empty() {
            return Err(Error::usage("no ROUGE type").hint("the types are `rouge1` to `rouge9`, `rougeL` and `rougeLsum`"));
        }
        for kind in &options.types {
            kind.name().parse::<RougeType>()?;
        }
        Ok(Self { options })
    }
}

impl Metric for Rouge {
    fn name(&self) -> String {
        "ROUGE".to_owned()
    }

    fn titles(&self) -> Vec<String> {
        self.options.types.iter().map(|kind| kind.title()).collect()
    }

    fn signature(&self, which: usize) -> Vec<(&'static str, String)> {
        let kind = self.options.types[which];
        let split = self.options.split.name().filter(|_| kind == RougeType::Lsum);
        let average = (self.options.references == Aggregation::Average).then_some("average");
        let pieces = [
            ("type", Some(kind.suffix())),
            ("stem", Some(if self.options.use_stemmer { "yes" } else { "no" }.to_owned())),
            ("tok", Some(if self.options.unicode { "unicode" } else { "google" }.to_owned())),
            ("split", split.map(str::to_owned)),
            ("refs", average.map(str::to_owned)),
            ("agg", Some("mean".to_owned())),
        ];
        pieces.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// P, R and F of each type.
    fn width(&self) -> usize {
        3 * self.options.types.len()
    }

    fn arithmetic(&self) -> Arithmetic {
        Arithmetic::Double
    }

    fn on_intervals(&self) -> Option<&'static str> {
        Some(
            "the score is the plain mean over segments, and resamples are drawn from the seed; `mid` of rouge_score's aggregator is the \
             median of resampled means, drawn without one",
        )
    }

    fn values(&self, sums: Sums<'_>, segments: usize, out: &mut [f64]) {
        for (which, out) in out.iter_mut().enumerate() {
            let at = 3 * which + 2;
            let sum = match sums {
                Sums::Single(sums) => f64::from(sums[at]),
                Sums::Double(sums) => sums[at],
            };
            *out = 100.0 * mean(sum, segments);
        }
    }

    fn score(&self, which: usize, sums: &[f64], segments: usize) -> Score {
        let [p, r, f] = [0, 1, 2].map(|i| mean(sums[3 * which + i], segments));
        Score {
            value: 100.0 * f,
            verbose: format!("(P = {:.1} R = {:.1})", 100.0 * p, 100.0 * r),
            fields: vec![("precision", p.into()), ("recall", r.into()), ("fmeasure", f.into())],
        }
    }

    fn explain(&self, which: usize) -> String {
        explain::explain(&self.options, self.options.types[which])
    }
}

impl Compare for Rouge {
    fn counter(&self) -> Box<dyn Counter + '_> {
        Box::new(counter::RougeCounter::new(&self.options))
    }
}

fn mean(sum: f64, segments: usize) -> f64 {
    sum / segments.max(1) as f64
}
