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

mod bleu;
mod rouge;

pub use bleu::StrabelBleu;
pub use rouge::StrabelRouge;

use super::ngram::{Ngrams, Words};
use crate::space::is_space;

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
        let mut numbers = |text: &str| text.split(is_space).filter(|w| !w.is_empty()).map(|w| self.words.number(w.as_bytes())).collect();
        self.hypothesis = numbers(hypothesis);
        self.references = references.iter().map(|r| numbers(r)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Compare, Sums};

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
