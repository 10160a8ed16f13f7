//! Losses of many documents -> perplexities.

use super::score::{HfWeighted, Losses};
use crate::error::{Error, Result};
use std::f64::consts::LN_2;

/// Statistics of a document: negative log-likelihood in nats, predicted tokens, words, bytes. Rows add up.
pub type Row = [f64; 4];

/// Pieces of a text between stretches of white space, empty ones at its ends included: `len(re.split(r"\s+", text))` of Python,
/// as lm-evaluation-harness counts the words of a page (lm_eval/tasks/wikitext/preprocess_wikitext.py).
pub fn words(text: &str) -> usize {
    let mut pieces = 1;
    let mut in_space = false;
    for c in text.chars() {
        // what Python takes for white space beyond Unicode's property: the four separators of ASCII
        let space = c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}');
        pieces += usize::from(space && !in_space);
        in_space = space;
    }
    pieces
}

impl Losses {
    /// The statistics of the document with this text.
    pub fn row(&self, text: &str) -> Row {
        let nll = self.nll.iter().fold(0.0, |sum, x| sum + x); // `sum` of nothing is -0
        [nll, self.nll.len() as f64, words(text) as f64, text.len() as f64]
    }
}

/// What follows from a row, or from a sum of rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// exp(nll / tokens).
    pub token_perplexity: f64,
    /// exp(nll / words).
    pub word_perplexity: f64,
    /// exp(nll / bytes).
    pub byte_perplexity: f64,
    /// nll / (bytes · ln 2).
    pub bits_per_byte: f64,
}

impl Rates {
    /// Of these sums; not a number, or infinite, where nothing was counted.
    pub fn of(row: &Row) -> Self {
        let [nll, tokens, words, bytes] = *row;
        Self {
            token_perplexity: (nll / tokens).exp(),
            word_perplexity: (nll / words).exp(),
            byte_perplexity: (nll / bytes).exp(),
            bits_per_byte: nll / bytes / LN_2,
        }
    }
}

/// Sums over documents.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    row: Row,
    documents: usize,
    /// Mean of all losses, and Σ (loss − mean)², kept up token by token (Welford 1962).
    mean: f64,
    squares: f64,
    unscored: usize,
    hf: Option<HfWeighted>,
}

/// The result.
#[derive(Debug, Clone, PartialEq)]
pub struct Perplexity {
    /// Perplexities of all documents together: of the sums, not a mean of means.
    pub rates: Rates,
    /// Standard error of the token perplexity: perplexity · √(Σ (loss − mean)² / (n (n − 1))), n tokens, as llama.cpp prints it behind
    /// `+/-` (tools/perplexity/perplexity.cpp). It takes tokens for independent, which those of a text are not, so it is too small; resample
    /// documents for an interval. `None` for a single token.
    pub standard_error: Option<f64>,
    /// Token perplexity with the weights of [`HfWeighted`]; `None` if a document has none, or they are all zero.
    pub hf: Option<f64>,
    /// Sums of the documents' rows.
    pub row: Row,
    /// Documents.
    pub documents: usize,
    /// Tokens that no window predicts, see [`Losses::unscored`].
    pub unscored: usize,
}

impl Totals {
    /// Adds a document and returns its row.
    pub fn add(&mut self, losses: &Losses, text: &str) -> Row {
        let row = losses.row(text);
        let before = self.row[1];
        self.row.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        for (i, loss) in losses.nll.iter().enumerate() {
            let off = loss - self.mean;
            self.mean += off / (before + i as f64 + 1.0);
            self.squares += off * (loss - self.mean);
        }
        self.hf = match (self.hf, losses.hf) {
            (None, hf) if self.documents == 0 => hf,
            (Some(a), Some(b)) => Some(HfWeighted { nll: a.nll + b.nll, tokens: a.tokens + b.tokens }),
            _ => None,
        };
        self.documents += 1;
        self.unscored += losses.unscored;
        row
    }

    /// The perplexities. Fails if no token was predicted.
    pub fn perplexity(&self) -> Result<Perplexity> {
        let n = self.row[1];
        if n == 0.0 {
            return Err(Error::new("no token was predicted, so there is no perplexity")
                .hint("the documents are empty, or of one token with nothing before it"));
        }
        let rates = Rates::of(&self.row);
        Ok(Perplexity {
            rates,
            standard_error: (n > 1.0).then(|| rates.token_perplexity * (self.squares / (n * (n - 1.0))).sqrt()),
            hf: self.hf.filter(|hf| hf.tokens > 0.0).map(|hf| (hf.nll / hf.tokens).exp()),
            row: self.row,
            documents: self.documents,
            unscored: self.unscored,
        })
    }
}
