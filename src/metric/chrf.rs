//! chrF (Popović 2015) and chrF++ (Popović 2017), digit for digit those of sacreBLEU 2.6.0.
//!
//! A segment's statistics are [n-grams of the hypothesis, of the reference, matches] of each order, characters before words, against the
//! reference with the highest F; the first of equals.

use super::ngram::{Ngrams, Overlap, Words};
use super::scalar::Scalar;
use super::{Arithmetic, Compare, Counter, Metric, Score, Sums};
use crate::space::is_space;
use crate::{Error, Result};
use std::borrow::Cow;

/// What chrF can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChrfOptions {
    /// The longest n-grams of characters.
    pub char_order: usize,
    /// The longest n-grams of words: 0 is chrF, 2 is chrF++.
    pub word_order: usize,
    /// How many times as much recall counts as precision.
    pub beta: u32,
    /// Whether texts are lower-cased first.
    pub lowercase: bool,
    /// Whether white space is a character like any other; else it is left out.
    pub whitespace: bool,
    /// The mean of each order's F with ε = 1e-16 for empty counts; else the F of mean precision and mean recall over the orders that both
    /// texts have.
    pub eps_smoothing: bool,
}

impl Default for ChrfOptions {
    fn default() -> Self {
        Self { char_order: 6, word_order: 0, beta: 2, lowercase: false, whitespace: false, eps_smoothing: false }
    }
}

/// Configured chrF.
#[derive(Debug)]
pub struct Chrf {
    options: ChrfOptions,
}

impl Chrf {
    /// # Errors
    /// A usage error if both orders are 0, or one is above 1000.
    pub fn new(options: ChrfOptions) -> Result<Self> {
        let (of_chars, of_words) = (options.char_order, options.word_order);
        if of_chars.max(of_words) > 1000 {
            return Err(Error::usage(format!("chrF needs n-grams up to an order of at most 1000, not {}", of_chars.max(of_words))));
        }
        if of_chars == 0 && of_words == 0 {
            return Err(Error::usage("chrF needs n-grams of characters or of words").hint("set one of its two orders to 1 or more"));
        }
        Ok(Self { options })
    }

    fn orders(&self) -> usize {
        self.options.char_order + self.options.word_order
    }

    /// F of summed statistics, in percent.
    fn f(&self, sums: Sums<'_>) -> f64 {
        let (zero, eps, hundred) = (Scalar::Double(0.0), Scalar::Double(1e-16), Scalar::Double(100.0));
        let factor = f64::from(self.options.beta).powi(2);
        let (factor, one_more) = (Scalar::Double(factor), Scalar::Double(1.0 + factor));
        let positive = |x: Scalar| x.get() > 0.0;

        let (mut sum, mut precisions, mut recalls, mut effective) = (zero, zero, zero, 0);
        for counts in Scalar::all(sums).chunks_exact(3) {
            let (hypothesis, reference, matches) = (counts[0], counts[1], counts[2]);
            let precision = if positive(hypothesis) { matches / hypothesis } else { eps };
            let recall = if positive(reference) { matches / reference } else { eps };
            let below = factor * precision + recall;
            sum = sum + if positive(below) { one_more * precision * recall / below } else { eps };
            if positive(hypothesis) && positive(reference) {
                precisions = precisions + precision;
                recalls = recalls + recall;
                effective += 1;
            }
        }
        if self.options.eps_smoothing {
            return (hundred * sum / Scalar::Double(self.orders() as f64)).get();
        }
        if effective == 0 {
            return 0.0;
        }
        let orders = Scalar::Double(f64::from(effective));
        let (precision, recall) = (precisions / orders, recalls / orders);
        if !positive(precision + recall) {
            return 0.0;
        }
        (hundred * (one_more * precision * recall / (factor * precision + recall))).get()
    }
}

impl Metric for Chrf {
    fn name(&self) -> String {
        format!("chrF{}{}", self.options.beta, "+".repeat(self.options.word_order))
    }

    fn signature(&self, _: usize) -> Vec<(&'static str, String)> {
        let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
        vec![
            ("case", if self.options.lowercase { "lc" } else { "mixed" }.into()),
            ("eff", yes(!self.options.eps_smoothing)),
            ("nc", self.options.char_order.to_string()),
            ("nw", self.options.word_order.to_string()),
            ("space", yes(self.options.whitespace)),
        ]
    }

    fn width(&self) -> usize {
        3 * self.orders()
    }

    fn score_arithmetic(&self) -> Arithmetic {
        Arithmetic::Single
    }

    fn arithmetic(&self) -> Arithmetic {
        Arithmetic::Single
    }

    fn values(&self, sums: Sums<'_>, _: usize, out: &mut [f64]) {
        out.fill(self.f(sums));
    }

    fn score(&self, _: usize, sums: &[f64], _: usize) -> Score {
        Score { value: self.f(Sums::Double(sums)), verbose: String::new(), fields: Vec::new() }
    }

    fn explain(&self, _: usize) -> String {
        let ChrfOptions { char_order, word_order, beta, .. } = self.options;
        let flag = |is: bool, name| if is { name } else { "" };
        let lowercase = flag(self.options.lowercase, " --chrf-lowercase");
        let whitespace = flag(self.options.whitespace, " --chrf-whitespace");
        let eps = flag(self.options.eps_smoothing, " --chrf-eps-smoothing");
        let others = if self.options.eps_smoothing {
            "nltk's `corpus_chrf` smooths like this but gives the mean over segments"
        } else {
            "chrF++.py and nltk take the mean of the orders' F with an ε for empty counts, as `--chrf-eps-smoothing` does"
        };
        format!(
            "equals `sacrebleu REFERENCE -i HYPOTHESIS -m chrf --chrf-char-order {char_order} --chrf-word-order {word_order} \
             --chrf-beta {beta}{lowercase}{whitespace}{eps}` of sacreBLEU 2.6.0; {others}"
        )
    }
}

impl Compare for Chrf {
    fn counter(&self) -> Box<dyn Counter + '_> {
        Box::new(ChrfCounter {
            chrf: self,
            words: Words::default(),
            ngrams: Ngrams::default(),
            overlaps: vec![Overlap::default(); self.orders()],
            hypothesis: Text::default(),
            reference: Text::default(),
            row: vec![0.0; self.width()],
        })
    }
}

/// A text as numbers.
#[derive(Debug, Default)]
struct Text {
    chars: Vec<u32>,
    words: Vec<u32>,
}

impl Text {
    fn read(&mut self, text: &str, options: &ChrfOptions, words: &mut Words) {
        let text = if options.lowercase { Cow::Owned(text.to_lowercase()) } else { Cow::Borrowed(text) };
        self.chars.clear();
        self.chars.extend(text.chars().filter(|&c| options.whitespace || !is_space(c)).map(u32::from));
        self.words.clear();
        if options.word_order > 0 {
            for word in text.split(is_space).filter(|w| !w.is_empty()) {
                let (head, tail) = halves(word);
                self.words.push(words.number(head.as_bytes()));
                if !tail.is_empty() {
                    self.words.push(words.number(tail.as_bytes()));
                }
            }
        }
    }
}

/// A word without the punctuation mark at its end, or else at its start: one mark, on one side, ASCII only. The second half is empty
/// where there is nothing to cut.
fn halves(word: &str) -> (&str, &str) {
    if word.len() > 1 && word.ends_with(|c: char| c.is_ascii_punctuation()) {
        word.split_at(word.len() - 1)
    } else if word.starts_with(|c: char| c.is_ascii_punctuation()) {
        word.split_at(1)
    } else {
        (word, "")
    }
}

struct ChrfCounter<'a> {
    chrf: &'a Chrf,
    words: Words,
    ngrams: Ngrams,
    overlaps: Vec<Overlap>,
    hypothesis: Text,
    reference: Text,
    /// statistics against the reference at hand
    row: Vec<f64>,
}

impl Counter for ChrfCounter<'_> {
    fn segment(&mut self, hypothesis: &str, references: &[&str], row: &mut [f64]) {
        let Self { chrf, words, ngrams, overlaps, hypothesis: hyp, reference, row: here } = self;
        hyp.read(hypothesis, &chrf.options, words);
        let mut best = -1.0;
        for text in references {
            reference.read(text, &chrf.options, words);
            let (of_chars, of_words) = overlaps.split_at_mut(chrf.options.char_order);
            ngrams.overlaps(&hyp.chars, &[&reference.chars], of_chars);
            ngrams.overlaps(&hyp.words, &[&reference.words], of_words);
            for (overlap, counts) in overlaps.iter().zip(here.chunks_exact_mut(3)) {
                // an order that the reference lacks does not count against the hypothesis
                let hypothesis = if overlap.references > 0 { overlap.hypothesis } else { 0 };
                counts.copy_from_slice(&[hypothesis as f64, overlap.references as f64, overlap.matches as f64]);
            }
            let f = chrf.f(Sums::Double(here));
            if f > best {
                best = f;
                row.copy_from_slice(here);
            }
        }
    }
}
