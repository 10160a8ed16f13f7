//! BLEU_w.

use super::Texts;
use crate::error::{Error, Result};
use crate::metric::ngram::Overlap;
use crate::metric::{Arithmetic, Compare, Counter, Metric, Score, Sums};
use serde_json::json;

/// BLEU_w, equation 11.
#[derive(Debug, Clone)]
pub struct StrabelBleu {
    weights: Vec<f64>,
}

impl Default for StrabelBleu {
    fn default() -> Self {
        Self { weights: vec![0.25; 4] }
    }
}

impl StrabelBleu {
    /// With weights w_1, w_2, …: an error unless they lie in 0…1 and add up to 1.
    pub fn new(weights: Vec<f64>) -> Result<Self> {
        let sum: f64 = weights.iter().sum();
        if weights.iter().any(|w| !(0.0..=1.0).contains(w)) || (sum - 1.0).abs() > 1e-9 {
            return Err(Error::usage(format!("the weights of BLEU add up to {sum}, or one is not between 0 and 1"))
                .hint("give numbers that add up to 1, for instance `--weights 0.5,0.5`"));
        }
        Ok(Self { weights })
    }

    fn orders(&self) -> usize {
        self.weights.len()
    }

    /// (score, brevity penalty, p_n) of [c, r, correct…, total…].
    fn formula(&self, sums: &[f64]) -> (f64, f64, Vec<f64>) {
        let (c, r) = (sums[0], sums[1]);
        let (correct, total) = sums[2..].split_at(self.orders());
        let penalty = if c == 0.0 { 0.0 } else { (-(r / c - 1.0).max(0.0)).exp() }; // eq. 8
        let p: Vec<f64> = correct.iter().zip(total).map(|(&hits, &n)| if n == 0.0 { 0.0 } else { hits / n }).collect(); // eq. 7
        let used = self.weights.iter().zip(&p).filter(|(w, _)| **w > 0.0);
        // an order without a match has ln 0 = −∞ and makes the score 0
        let score = penalty * used.map(|(w, p)| w * p.ln()).sum::<f64>().exp(); // eq. 11
        (score, penalty, p)
    }
}

impl Metric for StrabelBleu {
    fn name(&self) -> String {
        "BLEU".to_owned()
    }

    fn signature(&self, _: usize) -> Vec<(&'static str, String)> {
        let weights: Vec<String> = self.weights.iter().map(f64::to_string).collect();
        vec![("def", "strabel".to_owned()), ("tok", "space".to_owned()), ("weights", weights.join(",")), ("scale", "1".to_owned())]
    }

    fn digits(&self) -> usize {
        4
    }

    fn width(&self) -> usize {
        2 + 2 * self.orders()
    }

    fn arithmetic(&self) -> Arithmetic {
        Arithmetic::Double
    }

    fn values(&self, sums: Sums<'_>, _: usize, out: &mut [f64]) {
        out[0] = match sums {
            Sums::Double(sums) => self.formula(sums).0,
            Sums::Single(sums) => self.formula(&sums.iter().map(|&x| f64::from(x)).collect::<Vec<_>>()).0,
        };
    }

    fn score(&self, _: usize, sums: &[f64], _: usize) -> Score {
        let (value, penalty, p) = self.formula(sums);
        let precisions: Vec<String> = p.iter().map(|p| format!("{p:.3}")).collect();
        let verbose = format!("{} (BP = {penalty:.3} c = {} r = {})", precisions.join("/"), sums[0], sums[1]);
        Score {
            value,
            verbose,
            fields: vec![("precisions", json!(p)), ("bp", json!(penalty)), ("c", json!(sums[0])), ("r", json!(sums[1]))],
        }
    }

    fn explain(&self, _: usize) -> String {
        "no public tool computes this definition; with weights of 1/4 it is sacreBLEU's BLEU (`--tokenize none --smooth-method none`) \
         divided by 100 wherever every order has a match"
            .to_owned()
    }

    fn departures(&self, _: usize) -> Vec<String> {
        [
            "a fraction of 1, not a percentage",
            "words are what blanks separate: no tokeniser, case kept",
            "no smoothing: the score is 0 as soon as an order with a weight has no match",
            "counts as repaired: the printed windows are one symbol too long and never match (equation 6)",
            "a tie between reference lengths goes to the shorter, which the text leaves open (equation 10)",
        ]
        .map(str::to_owned)
        .to_vec()
    }
}

impl Compare for StrabelBleu {
    fn counter(&self) -> Box<dyn Counter + '_> {
        Box::new(BleuCounter { orders: self.orders(), texts: Texts::default(), overlaps: vec![Overlap::default(); self.orders()] })
    }
}

struct BleuCounter {
    orders: usize,
    texts: Texts,
    overlaps: Vec<Overlap>,
}

impl Counter for BleuCounter {
    fn segment(&mut self, hypothesis: &str, references: &[&str], row: &mut [f64]) {
        self.texts.read(hypothesis, references);
        let (c, lengths) = (self.texts.hypothesis.len(), self.texts.references.iter().map(Vec::len));
        let closest = lengths.min_by_key(|&r| (r.abs_diff(c), r)).unwrap_or(0); // eq. 10
        let lists: Vec<&[u32]> = self.texts.references.iter().map(Vec::as_slice).collect();
        self.texts.ngrams.overlaps(&self.texts.hypothesis, &lists, &mut self.overlaps);
        (row[0], row[1]) = (c as f64, closest as f64);
        for (n, overlap) in self.overlaps.iter().enumerate() {
            row[2 + n] = overlap.matches as f64;
            row[2 + self.orders + n] = overlap.hypothesis as f64;
        }
    }
}
