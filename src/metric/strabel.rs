//! BLEU and ROUGE-n as "Transformers" defines them (M. Strabel 2023, section 1.3, equations 5–12), with the repairs without which
//! they cannot be computed. Scores are fractions, not percentages.
//!
//! | equation | as printed | here |
//! |---|---|---|
//! | 6, count C(s, y) | windows y_i … y_{i+M} of M + 1 symbols, which never equal a string of M | windows y_i … y_{i+M−1}, the last position included |
//! | 7, p_n | undefined without n-grams in the candidates | the score is 0 |
//! | 8, brevity penalty | c = 0 undefined | 0 |
//! | 10, closest reference | ties undecided | the shorter |
//! | 11, BLEU_w | weights for n = 1 … ∞ | a finite list, 1/4 for n ≤ 4 unless given; 0·ln 0 = 0 |
//! | 12, ROUGE-n | y unbound within the sum over references | y = y^(i) |

use super::ngram::{Ngrams, Overlap, Words};
use super::{Arithmetic, Compare, Counter, Metric, Score, Sums};
use crate::error::{Error, Result};
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
        let used = || self.weights.iter().zip(&p).filter(|(w, _)| **w > 0.0);
        let score = if used().any(|(_, &p)| p == 0.0) { 0.0 } else { penalty * used().map(|(w, p)| w * p.ln()).sum::<f64>().exp() }; // eq. 11
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

/// The words of a segment as numbers.
#[derive(Default)]
struct Texts {
    words: Words,
    ngrams: Ngrams,
    hypothesis: Vec<u32>,
    references: Vec<Vec<u32>>,
}

impl Texts {
    fn read(&mut self, hypothesis: &str, references: &[&str]) {
        let mut numbers = |text: &str| text.split_whitespace().map(|w| self.words.number(w.as_bytes())).collect();
        self.hypothesis = numbers(hypothesis);
        self.references = references.iter().map(|r| numbers(r)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Equation 6 as printed: C(s, y) = #{i > 0 : i + M ≤ K, y_i…y_{i+M} = s}.
    fn literal_count(s: &[&str], y: &[&str]) -> usize {
        let (m, k) = (s.len(), y.len());
        (1..=k).filter(|i| i + m <= k && &y[i - 1..i + m] == s).count()
    }

    fn score<M: Compare>(metric: &M, pairs: &[(&str, &[&str])]) -> Vec<f64> {
        let mut rows = vec![0.0; metric.width() * pairs.len()];
        let mut counter = metric.counter();
        for ((hypothesis, references), row) in pairs.iter().zip(rows.chunks_mut(metric.width())) {
            counter.segment(hypothesis, references, row);
        }
        let sums = crate::metric::sums(&rows, metric.width());
        let scores: Vec<f64> = (0..metric.titles().len()).map(|i| metric.score(i, &sums, pairs.len()).value).collect();
        let mut values = vec![0.0; scores.len()];
        metric.values(Sums::Double(&sums), pairs.len(), &mut values);
        assert_eq!(values, scores);
        scores
    }

    #[test]
    fn the_count_as_printed_is_always_zero() {
        let y: Vec<&str> = "a b a b a".split(' ').collect();
        for s in [&y[..1], &y[..2], &y[1..4], &y[..]] {
            assert_eq!(literal_count(s, &y), 0);
        }
        assert_eq!(y.windows(2).filter(|w| *w == ["a", "b"]).count(), 2);
    }

    #[test]
    fn bleu_by_hand() {
        // p = 5/6, 3/5, 1/4 … : "the cat sat on the mat" / "the cat is on the mat"
        let pairs: [(&str, &[&str]); 1] = [("the cat sat on the mat", &["the cat is on the mat"])];
        assert_eq!(score(&StrabelBleu::default(), &pairs), [0.0]); // no 4-gram matches
        let two = score(&StrabelBleu::new(vec![0.5, 0.5]).unwrap(), &pairs)[0];
        assert!((two - (5.0_f64 / 6.0 * 3.0 / 5.0).sqrt()).abs() < 1e-15, "{two}");
        // an order without a weight does not count: c = 2, r = 4, BP = e^(1 − 4/2), p_1 = 1
        let short: [(&str, &[&str]); 1] = [("a b", &["a b c d"])];
        assert_eq!(score(&StrabelBleu::new(vec![1.0, 0.0, 0.0]).unwrap(), &short), [(-1.0_f64).exp()]);
        assert_eq!(score(&StrabelBleu::default(), &[("", &["a"])]), [0.0]);
        // the tie between lengths 3 and 5 goes to 3: no penalty
        assert_eq!(score(&StrabelBleu::new(vec![1.0]).unwrap(), &[("a b c d", &["a b c d e", "a b c"])]), [1.0]);
    }

    #[test]
    fn weights_add_up_to_one() {
        for wrong in [vec![], vec![0.5], vec![1.5, -0.5], vec![f64::NAN]] {
            assert!(StrabelBleu::new(wrong).is_err());
        }
    }

    #[test]
    fn rouge_adds_recalls_up_and_averages_over_candidates() {
        let pairs: [(&str, &[&str]); 2] = [("a b c", &["a b", "a b c d"]), ("x", &["y", ""])];
        // unigrams: 2/2 + 3/4, bigrams: 1/1 + 2/3
        let got = score(&StrabelRouge::new(vec![1, 2]), &pairs);
        assert!((got[0] - (1.0 + 0.75) / 2.0).abs() < 1e-15 && (got[1] - (1.0 + 2.0 / 3.0) / 2.0).abs() < 1e-15, "{got:?}");
    }
}
