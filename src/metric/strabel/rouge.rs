//! ROUGE-n.

use super::Texts;
use crate::metric::ngram::Overlap;
use crate::metric::{Arithmetic, Compare, Counter, Metric, Score, Sums};

/// ROUGE-n, equation 12: the recalls of all references, added up.
#[derive(Debug, Clone)]
pub struct StrabelRouge {
    orders: Vec<usize>,
}

impl StrabelRouge {
    /// For these n, each at least 1.
    pub fn new(orders: Vec<usize>) -> Self {
        Self { orders }
    }
}

impl Metric for StrabelRouge {
    fn name(&self) -> String {
        "ROUGE".to_owned()
    }

    fn titles(&self) -> Vec<String> {
        self.orders.iter().map(|n| format!("ROUGE-{n}")).collect()
    }

    fn signature(&self, which: usize) -> Vec<(&'static str, String)> {
        let own =
            [("type", self.orders[which].to_string().as_str()), ("def", "strabel"), ("tok", "space"), ("refs", "sum"), ("agg", "mean")]
                .map(|(name, value)| (name, value.to_owned()));
        own.into_iter().chain([("scale", "1".to_owned())]).collect()
    }

    fn digits(&self) -> usize {
        4
    }

    fn width(&self) -> usize {
        self.orders.len()
    }

    fn arithmetic(&self) -> Arithmetic {
        Arithmetic::Double
    }

    fn values(&self, sums: Sums<'_>, segments: usize, out: &mut [f64]) {
        for (i, out) in out.iter_mut().enumerate() {
            let sum = match sums {
                Sums::Double(sums) => sums[i],
                Sums::Single(sums) => f64::from(sums[i]),
            };
            *out = sum / segments.max(1) as f64;
        }
    }

    fn score(&self, which: usize, sums: &[f64], segments: usize) -> Score {
        Score { value: sums[which] / segments.max(1) as f64, verbose: String::new(), fields: Vec::new() }
    }

    fn explain(&self, _: usize) -> String {
        "no public tool computes this definition; with one reference it is the recall of rouge_score on words separated by blanks"
            .to_owned()
    }

    fn departures(&self, _: usize) -> Vec<String> {
        [
            "recall only, where ROUGE is usually reported as F",
            "recalls are added up over the references, so the score exceeds 1 with several; rouge_score takes the best reference, ROUGE-1.5.5 \
             divides summed hits by summed counts",
            "a fraction, not a percentage",
            "words are what blanks separate: no tokeniser, case kept, no stemming",
            "counts as repaired: the printed windows are one symbol too long and never match (equation 6), and y in equation 12 is y^(i)",
            "the text defines one candidate; the mean is taken over candidates",
        ]
        .map(str::to_owned)
        .to_vec()
    }
}

impl Compare for StrabelRouge {
    fn counter(&self) -> Box<dyn Counter + '_> {
        let most = self.orders.iter().copied().max().unwrap_or(0);
        Box::new(RougeCounter { orders: &self.orders, texts: Texts::default(), overlaps: vec![Overlap::default(); most] })
    }
}

struct RougeCounter<'a> {
    orders: &'a [usize],
    texts: Texts,
    overlaps: Vec<Overlap>,
}

impl Counter for RougeCounter<'_> {
    fn segment(&mut self, hypothesis: &str, references: &[&str], row: &mut [f64]) {
        self.texts.read(hypothesis, references);
        row.fill(0.0);
        for reference in &self.texts.references {
            self.texts.ngrams.overlaps(&self.texts.hypothesis, &[reference], &mut self.overlaps);
            for (row, &n) in row.iter_mut().zip(self.orders) {
                let Overlap { matches, references, .. } = self.overlaps[n - 1];
                *row += matches as f64 / references.max(1) as f64;
            }
        }
    }
}
