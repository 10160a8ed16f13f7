//! Perplexity as a [`Metric`], so that documents are resampled, compared and reported like segments of any other.

use super::options::{Begin, Plan};
use super::score::Losses;
use super::words::words;
use crate::error::{Error, Result};
use crate::metric::{Arithmetic, Metric, Score, Sums};
use serde_json::json;
use std::f64::consts::LN_2;

/// Numbers of a document: Σ −ln p in nats, predicted tokens, words, bytes, Σ (ln p)², the two sums of transformers' loop, tokens that
/// no window predicts, unknown tokens.
pub const WIDTH: usize = 9;

/// Whose numbers these are, for the list of metrics.
pub const EQUALS: &str = "transformers, lm-evaluation-harness";

/// What a token is predicted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The source that an encoder has read, and the tokens before.
    Source,
    /// The tokens before, as far as windows reach.
    Before(Plan, Begin),
}

/// Perplexity by a model.
#[derive(Debug, Clone)]
pub struct Ppl {
    model: String,
    condition: Condition,
    unit: Unit,
    hf_weighting: bool,
    loaded: Vec<(&'static str, String)>,
}

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A file.
    File,
    /// A line of text or a record.
    Segment,
}

impl Ppl {
    /// By the model of this name (with the seed of its weights where they are random). `hf_weighting` gives windows the weights of transformers' loop, which knows sliding windows only.
    pub fn new(model: String, condition: Condition, unit: Unit, hf_weighting: bool) -> Result<Self> {
        if hf_weighting && !matches!(condition, Condition::Before(Plan::Sliding { .. }, Begin::None)) {
            return Err(Error::usage("the weights of transformers' loop belong to sliding windows with nothing before the text")
                .hint("leave out `--hf-weighting`, or add `--bos none` and leave out `--rolling`"));
        }
        Ok(Self { model, condition, unit, hf_weighting, loaded: vec![("dtype", "f32".to_owned())] })
    }

    /// With what the signature says of how the model was loaded, the precision of its weights first.
    pub fn loaded(self, how: Vec<(&'static str, String)>) -> Self {
        Self { loaded: how, ..self }
    }

    /// The statistics of a document.
    pub fn row(&self, losses: &Losses, text: &str) -> [f64; WIDTH] {
        let (sum, squares) = losses.nll.iter().fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
        let hf = losses.hf.unwrap_or_default();
        [
            sum,
            losses.nll.len() as f64,
            words(text) as f64,
            text.len() as f64,
            squares,
            hf.nll,
            hf.tokens,
            losses.unscored as f64,
            losses.unknown as f64,
        ]
    }

    /// Fails if no token was predicted in any document.
    pub fn check(&self, rows: &[f64]) -> Result<()> {
        let column = if self.hf_weighting { 6 } else { 1 };
        if rows.chunks_exact(WIDTH).all(|row| row[column] == 0.0) {
            return Err(Error::new("no token was predicted, so there is no perplexity")
                .hint("the documents are empty, or of one token with nothing before it"));
        }
        Ok(())
    }

    fn value(&self, sums: &[f64]) -> f64 {
        let (nll, tokens) = if self.hf_weighting { (sums[5], sums[6]) } else { (sums[0], sums[1]) };
        (nll / tokens).exp()
    }
}

/// The standard error of the token perplexity, as llama.cpp prints it behind `+/-` (tools/perplexity/perplexity.cpp): perplexity times
/// √(variance of the losses/(n − 1)). It takes tokens for independent, which those of a text are not, so it is too small.
fn standard_error(sums: &[f64]) -> Option<f64> {
    let (n, mean) = (sums[1], sums[0] / sums[1]);
    (n > 1.0).then(|| mean.exp() * ((sums[4] / n - mean * mean).max(0.0) / (n - 1.0)).sqrt())
}

impl Metric for Ppl {
    fn name(&self) -> String {
        "PPL".to_owned()
    }

    fn signature(&self, _: usize) -> Vec<(&'static str, String)> {
        let mut pairs = vec![("model", self.model.clone())];
        let mut put = |name, value: String| pairs.push((name, value));
        match self.condition {
            Condition::Source => put("cond", "source".into()),
            Condition::Before(plan, begin) => {
                put("cond", "none".into());
                match plan {
                    Plan::Sliding { context, stride } => {
                        put("ctx", context.to_string());
                        put("stride", stride.to_string());
                    }
                    Plan::Rolling { context } => {
                        put("ctx", context.to_string());
                        put("stride", "rolling".into());
                    }
                    Plan::Carried { segment } => {
                        put("ctx", "carried".into());
                        put("segment", segment.to_string());
                    }
                }
                put("bos", if begin == Begin::None { "none" } else { "first" }.into());
            }
        }
        put("unit", if self.unit == Unit::File { "file" } else { "segment" }.into());
        put("norm", if self.hf_weighting { "hf-windows" } else { "token" }.into());
        pairs.extend(self.loaded.iter().cloned());
        pairs
    }

    fn digits(&self) -> usize {
        4
    }

    fn width(&self) -> usize {
        WIDTH
    }

    fn arithmetic(&self) -> Arithmetic {
        Arithmetic::Double
    }

    fn has_references(&self) -> bool {
        false
    }

    fn is_error(&self) -> bool {
        true
    }

    fn values(&self, sums: Sums<'_>, _: usize, out: &mut [f64]) {
        out[0] = match sums {
            Sums::Double(sums) => self.value(sums),
            Sums::Single(sums) => self.value(&sums.iter().map(|&x| f64::from(x)).collect::<Vec<_>>()),
        };
    }

    fn score(&self, _: usize, sums: &[f64], _: usize) -> Score {
        let [nll, tokens, words, bytes] = [0, 1, 2, 3].map(|i| sums[i]);
        let (word, byte, bits) = ((nll / words).exp(), (nll / bytes).exp(), nll / bytes / LN_2);
        // of the mean of tokens, which the other weights do not give
        let error = standard_error(sums).filter(|_| !self.hf_weighting);
        let spread = error.map_or(String::new(), |e| format!("+/- {e:.5} "));
        // eq. 4 with the logarithm to base 2, as a mean
        let entropy = nll / tokens / LN_2;
        let some = |what: &str, n: f64| if n > 0.0 { format!(" {what} = {n}") } else { String::new() };
        let (unscored, unknown) = (some("unpredicted", sums[7]), some("unknown", sums[8]));
        Score {
            value: self.value(sums),
            verbose: format!(
                "{spread}(word = {word:.4} byte = {byte:.4} bits/token = {entropy:.4} bits/byte = {bits:.4} tokens = {tokens} words = {words} bytes = {bytes}{unscored}{unknown})"
            ),
            fields: vec![
                ("token_perplexity", json!((nll / tokens).exp())),
                ("word_perplexity", json!(word)),
                ("byte_perplexity", json!(byte)),
                ("bits_per_token", json!(entropy)),
                ("bits_per_byte", json!(bits)),
                ("standard_error", json!(error)),
                ("nll", json!(nll)),
                ("tokens", json!(tokens)),
                ("words", json!(words)),
                ("bytes", json!(bytes)),
                ("unpredicted_tokens", json!(sums[7])),
                ("unknown_tokens", json!(sums[8])),
            ],
        }
    }

    fn explain(&self, _: usize) -> String {
        let common = "documents are scored apart, each from the beginning of a text; 2 to the power of bits/token, the cross-entropy, is \
                      the same number as e to the power of the mean loss in nats, the perplexity of tokens; word and byte perplexity and bits per byte are lm-evaluation-harness's formulas on the text as given (its wikitext \
                      task counts the words of the page before detokenising it); `+/-` is llama.cpp's standard error";
        let own = match (self.condition, self.hf_weighting) {
            (Condition::Source, _) => "exp of transformers' `loss` with `labels`, weighted by tokens over all segments",
            (Condition::Before(Plan::Sliding { .. }, _), true) => {
                "the number of the loop in transformers' documentation (docs/source/en/perplexity.md), whose windows weigh one token less \
                 than they add"
            }
            (Condition::Before(Plan::Sliding { .. }, _), false) => {
                "exp of the mean loss of all predicted tokens in transformers on the same windows; the loop in transformers' documentation \
                 weighs windows otherwise: `--hf-weighting --bos none`"
            }
            (Condition::Before(Plan::Rolling { .. }, _), _) => "the rolling log-likelihood of lm-evaluation-harness a token",
            (Condition::Before(Plan::Carried { .. }, _), _) => "exp of the mean loss with the model's memory carried through each document",
        };
        format!("{own}; {common}")
    }
}
