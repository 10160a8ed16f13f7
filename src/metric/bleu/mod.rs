//! BLEU (Papineni et al. 2002), digit for digit that of sacreBLEU 2.6.0 (Post 2018, arXiv 1804.08771).
//!
//! A segment's statistics are [hypothesis length, reference length, matches of order 1…N, n-grams of order 1…N], N = `max_order`;
//! the reference length is the one closest to the hypothesis, the shorter where two are as close.

mod formula;

use super::ngram::{Ngrams, Overlap, Words};
use super::tokenize::{Splitter, Tokenizer};
use super::{Arithmetic, Compare, Counter, Metric, Score, Sums};
use crate::{Error, Result};
use std::borrow::Cow;

/// What is done about an order without matches, by sacreBLEU's names (Chen & Cherry 2014).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Smoothing {
    /// Each such order counts half a match, a quarter, an eighth … (their method 3).
    #[default]
    Exp,
    /// Each such order counts as `smooth_value` matches, 0.1 unless given (method 1).
    Floor,
    /// `smooth_value`, 1 unless given, is added to matches and n-grams of every order but the first (method 2).
    AddK,
    /// Nothing: such an order makes the score 0.
    None,
}

impl Smoothing {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Exp, Self::Floor, Self::AddK, Self::None];

    /// sacreBLEU's name, as in its signatures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exp => "exp",
            Self::Floor => "floor",
            Self::AddK => "add-k",
            Self::None => "none",
        }
    }

    /// The value it takes if none is given; `None` where it takes none.
    fn usual_value(self) -> Option<f64> {
        match self {
            Self::Floor => Some(0.1),
            Self::AddK => Some(1.0),
            Self::Exp | Self::None => None,
        }
    }
}

/// What BLEU can be told.
#[derive(Debug, Clone, PartialEq)]
pub struct BleuOptions {
    /// How texts are cut into words.
    pub tokenizer: Tokenizer,
    /// What is done about an order without matches.
    pub smoothing: Smoothing,
    /// The value of `floor` and `add-k`; the others take none and leave it alone.
    pub smooth_value: Option<f64>,
    /// Whether texts are lower-cased first.
    pub lowercase: bool,
    /// Whether orders for which the hypothesis is too short are left out: for single sentences.
    pub effective_order: bool,
    /// The longest n-grams.
    pub max_order: usize,
}

impl Default for BleuOptions {
    fn default() -> Self {
        Self {
            tokenizer: Tokenizer::default(),
            smoothing: Smoothing::default(),
            smooth_value: None,
            lowercase: false,
            effective_order: false,
            max_order: 4,
        }
    }
}

/// Configured BLEU.
#[derive(Debug)]
pub struct Bleu {
    options: BleuOptions,
    smooth_value: f64,
    splitter: Splitter,
}

impl Bleu {
    /// # Errors
    /// A usage error for a maximum order of 0 or above 1000, and for a smoothing value that is negative or not finite.
    pub fn new(options: BleuOptions) -> Result<Self> {
        if !(1..=1000).contains(&options.max_order) {
            return Err(Error::usage(format!("BLEU needs n-grams up to an order from 1 to 1000, not {}", options.max_order)));
        }
        let smooth_value = options.smoothing.usual_value().map_or(0.0, |usual| options.smooth_value.unwrap_or(usual));
        if !(0.0..f64::INFINITY).contains(&smooth_value) {
            let name = options.smoothing.name();
            return Err(Error::usage(format!("`{smooth_value}` is no value for `{name}` smoothing")).hint("give a number from 0 up"));
        }
        let splitter = Splitter::new(options.tokenizer);
        Ok(Self { options, smooth_value, splitter })
    }
}

impl Metric for Bleu {
    fn name(&self) -> String {
        "BLEU".into()
    }

    fn signature(&self, _: usize) -> Vec<(&'static str, String)> {
        let options = &self.options;
        let value = options.smoothing.usual_value().map_or(String::new(), |_| format!("[{:.2}]", self.smooth_value));
        vec![
            ("case", if options.lowercase { "lc" } else { "mixed" }.into()),
            ("eff", if options.effective_order { "yes" } else { "no" }.into()),
            ("tok", options.tokenizer.name().into()),
            ("smooth", options.smoothing.name().to_owned() + &value),
        ]
    }

    fn width(&self) -> usize {
        2 + 2 * self.options.max_order
    }

    fn arithmetic(&self) -> Arithmetic {
        Arithmetic::Single
    }

    fn values(&self, sums: Sums<'_>, _: usize, out: &mut [f64]) {
        out.fill(self.parts(sums).score);
    }

    fn score(&self, _: usize, sums: &[f64], _: usize) -> Score {
        let parts = self.parts(Sums::Double(sums));
        Score { value: parts.score, verbose: parts.verbose(), fields: parts.fields() }
    }

    fn explain(&self, _: usize) -> String {
        let BleuOptions { tokenizer, smoothing, lowercase, effective_order, max_order, .. } = self.options;
        let (tokenizer, smoothing, value) = (tokenizer.name(), smoothing.name(), self.smooth_value);
        let takes = self.options.smoothing.usual_value().is_some();
        let call = if effective_order || max_order != 4 {
            let value = if takes { format!(", smooth_value={value}") } else { String::new() };
            let (lowercase, effective) = (if lowercase { "True" } else { "False" }, if effective_order { "True" } else { "False" });
            format!(
                "sacrebleu.BLEU(tokenize=\"{tokenizer}\", smooth_method=\"{smoothing}\"{value}, lowercase={lowercase}, \
                 effective_order={effective}, max_ngram_order={max_order})"
            )
        } else {
            let value = if takes { format!(" --smooth-value {value}") } else { String::new() };
            let lowercase = if lowercase { " --lowercase" } else { "" };
            format!("sacrebleu REFERENCE -i HYPOTHESIS -m bleu --tokenize {tokenizer} --smooth-method {smoothing}{value}{lowercase}")
        };
        format!(
            "equals `{call}` of sacreBLEU 2.6.0; multi-bleu.perl takes the words as they are given and does not smooth, nltk's \
             `corpus_bleu` besides counts at least one n-gram of each order a segment"
        )
    }
}

impl Compare for Bleu {
    fn counter(&self) -> Box<dyn Counter + '_> {
        Box::new(BleuCounter {
            bleu: self,
            words: Words::default(),
            ngrams: Ngrams::default(),
            overlaps: vec![Overlap::default(); self.options.max_order],
            numbers: Vec::new(),
            ends: Vec::new(),
        })
    }
}

struct BleuCounter<'a> {
    bleu: &'a Bleu,
    words: Words,
    ngrams: Ngrams,
    overlaps: Vec<Overlap>,
    /// words of the hypothesis and of each reference, one text after the other
    numbers: Vec<u32>,
    /// where each text ends in `numbers`
    ends: Vec<usize>,
}

impl BleuCounter<'_> {
    fn add(&mut self, text: &str) {
        let text = if self.bleu.options.lowercase { Cow::Owned(text.to_lowercase()) } else { Cow::Borrowed(text) };
        self.bleu.splitter.words(&text, |word| self.numbers.push(self.words.number(word)));
        self.ends.push(self.numbers.len());
    }
}

impl Counter for BleuCounter<'_> {
    fn segment(&mut self, hypothesis: &str, references: &[&str], row: &mut [f64]) {
        self.numbers.clear();
        self.ends.clear();
        self.add(hypothesis);
        references.iter().for_each(|reference| self.add(reference));

        let hypothesis = &self.numbers[..self.ends[0]];
        let references: Vec<&[u32]> = self.ends.windows(2).map(|ends| &self.numbers[ends[0]..ends[1]]).collect();
        self.ngrams.overlaps(hypothesis, &references, &mut self.overlaps);

        let length = hypothesis.len();
        let closest = references.iter().map(|r| r.len()).min_by_key(|&r| (r.abs_diff(length), r));
        (row[0], row[1]) = (length as f64, closest.unwrap_or(0) as f64);
        let (matches, totals) = row[2..].split_at_mut(self.overlaps.len());
        for ((overlap, m), t) in self.overlaps.iter().zip(matches).zip(totals) {
            (*m, *t) = (overlap.matches as f64, overlap.hypothesis as f64);
        }
    }
}
