//! What governs a search: [`Generation`], under the names of transformers' `GenerationConfig`.

use super::stop::Lengths;
use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// When beam search may stop (`early_stopping`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EarlyStopping {
    /// As soon as the best running beam, at its present length, falls behind the worst finished hypothesis.
    #[default]
    False,
    /// As soon as there are `num_beams` finished hypotheses.
    True,
    /// Only when no running beam can win any more, whatever length it reaches.
    Never,
}

impl FromStr for EarlyStopping {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "false" => Ok(Self::False),
            "true" => Ok(Self::True),
            "never" => Ok(Self::Never),
            _ => Err(Error::usage(format!("`early_stopping` must be `true`, `false` or `never`, not `{text}`"))),
        }
    }
}

impl fmt::Display for EarlyStopping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::False => "false",
            Self::True => "true",
            Self::Never => "never",
        })
    }
}

/// All settings of a search, resolved. Real numbers are f64 as in Python; scores are f32.
///
/// `Default` gives transformers' defaults (`GenerationConfig._get_default_generation_params`).
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    /// Beams a document; 1: no beam search.
    pub num_beams: usize,
    /// Whether to draw tokens instead of taking the best.
    pub do_sample: bool,
    /// Divides the scores before a draw.
    pub temperature: f64,
    /// Draw among this many best tokens; 0: off.
    pub top_k: usize,
    /// Draw among the fewest tokens with this much probability together; 1: off.
    pub top_p: f64,
    /// Draw among tokens with at least this share of the best one's probability; 0: off.
    pub min_p: f64,
    /// Draw among the locally typical tokens of this mass; 1: off.
    pub typical_p: f64,
    /// Draw among tokens of at least this probability; 0: off.
    pub epsilon_cutoff: f64,
    /// As `epsilon_cutoff`, lowered where the distribution is flat; 0: off.
    pub eta_cutoff: f64,
    /// Makes tokens that are there already less likely; 1: off.
    pub repetition_penalty: f64,
    /// No n-gram of this size occurs twice; 0: off.
    pub no_repeat_ngram_size: usize,
    /// Makes the end more likely from so many new tokens on: (start, factor).
    pub exponential_decay_length_penalty: Option<(usize, f64)>,
    /// Exponent of the length by which a hypothesis' score is divided (beam search).
    pub length_penalty: f64,
    /// When beam search may stop.
    pub early_stopping: EarlyStopping,
    /// Fewest tokens, prompt included.
    pub min_length: usize,
    /// Fewest new tokens; replaces `min_length`.
    pub min_new_tokens: Option<usize>,
    /// Most tokens, prompt included.
    pub max_length: usize,
    /// Most new tokens; replaces `max_length`.
    pub max_new_tokens: Option<usize>,
    /// Nobody set `max_length`: then it counts new tokens, within the model's positions.
    pub default_length: bool,
    /// Hypotheses a document.
    pub num_return_sequences: usize,
    /// Tokens that end a text.
    pub eos: Vec<u32>,
    /// Padding.
    pub pad: Option<u32>,
    /// Beginning of a text.
    pub bos: Option<u32>,
    /// The token after a prompt of one token.
    pub forced_bos: Option<u32>,
    /// Tokens one of which stands at the last position.
    pub forced_eos: Vec<u32>,
    /// Tokens that never appear.
    pub suppress_tokens: Vec<u32>,
    /// Tokens that do not appear first.
    pub begin_suppress_tokens: Vec<u32>,
    /// Token sequences that never appear.
    pub bad_words: Vec<Vec<u32>>,
    /// Replace infinite scores by the largest numbers.
    pub remove_invalid_values: bool,
    /// Take the log-softmax of the scores after all else.
    pub renormalize_logits: bool,
    /// What the user should hear about how the settings came about, one line each.
    pub notes: Vec<String>,
}

impl Default for Generation {
    fn default() -> Self {
        Self {
            num_beams: 1,
            do_sample: false,
            temperature: 1.0,
            top_k: 50,
            top_p: 1.0,
            min_p: 0.0,
            typical_p: 1.0,
            epsilon_cutoff: 0.0,
            eta_cutoff: 0.0,
            repetition_penalty: 1.0,
            no_repeat_ngram_size: 0,
            exponential_decay_length_penalty: None,
            length_penalty: 1.0,
            early_stopping: EarlyStopping::False,
            min_length: 0,
            min_new_tokens: None,
            max_length: 20,
            max_new_tokens: None,
            default_length: true,
            num_return_sequences: 1,
            eos: Vec::new(),
            pad: None,
            bos: None,
            forced_bos: None,
            forced_eos: Vec::new(),
            suppress_tokens: Vec::new(),
            begin_suppress_tokens: Vec::new(),
            bad_words: Vec::new(),
            remove_invalid_values: false,
            renormalize_logits: false,
            notes: Vec::new(),
        }
    }
}

/// What the command line sets; `None` leaves the checkpoint's value. `temperature` 0 asks for no sampling at all.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs, reason = "the fields are those of `Generation`")]
pub struct Overrides {
    pub num_beams: Option<usize>,
    pub do_sample: Option<bool>,
    pub temperature: Option<f64>,
    pub top_k: Option<usize>,
    pub top_p: Option<f64>,
    pub min_p: Option<f64>,
    pub repetition_penalty: Option<f64>,
    pub no_repeat_ngram_size: Option<usize>,
    pub length_penalty: Option<f64>,
    pub early_stopping: Option<EarlyStopping>,
    pub min_length: Option<usize>,
    pub min_new_tokens: Option<usize>,
    pub max_length: Option<usize>,
    pub max_new_tokens: Option<usize>,
    pub num_return_sequences: Option<usize>,
}

impl Generation {
    /// The lengths of a row whose prompt has `prompt` tokens, for a decoder that holds `max_target` tokens.
    ///
    /// As `_prepare_generated_length` of transformers, except that no row outgrows the decoder (there the model fails): the last
    /// token is never read, so a row may have one token more than the decoder holds.
    pub fn lengths(&self, prompt: usize, max_target: Option<usize>) -> Result<Lengths> {
        let most = match self.max_new_tokens {
            Some(new) => prompt.saturating_add(new),
            None if self.default_length => max_target.map_or(prompt + self.max_length, |m| m.min(prompt + self.max_length)),
            None => self.max_length,
        };
        let max = max_target.map_or(most, |m| most.min(m + 1));
        if prompt >= max {
            let error = Error::usage(format!("a prompt of {prompt} tokens leaves no room for new ones: at most {max} in all"));
            return Err(match max_target {
                Some(held) if prompt > held => error.hint(format!("the model holds {held} tokens: shorten the prompt")),
                _ => error.hint("set `--max-new-tokens`, or a larger `--max-length`"),
            });
        }
        let min = self.min_new_tokens.map_or(self.min_length, |new| prompt.saturating_add(new));
        Ok(Lengths { prompt, min, max })
    }

    /// The settings in one line, under transformers' names; those that do nothing are left out.
    pub fn describe(&self) -> String {
        let mut words = vec![format!("num_beams={}", self.num_beams), format!("do_sample={}", self.do_sample)];
        let mut add = |name: &str, value: &dyn fmt::Display, on: bool| {
            if on {
                words.push(format!("{name}={value}"));
            }
        };
        let (draw, beams) = (self.do_sample, self.num_beams > 1);
        add("temperature", &self.temperature, draw);
        add("top_k", &self.top_k, draw);
        add("top_p", &self.top_p, draw);
        add("min_p", &self.min_p, draw && self.min_p > 0.0);
        add("typical_p", &self.typical_p, draw && self.typical_p < 1.0);
        add("epsilon_cutoff", &self.epsilon_cutoff, draw && self.epsilon_cutoff > 0.0);
        add("eta_cutoff", &self.eta_cutoff, draw && self.eta_cutoff > 0.0);
        add("length_penalty", &self.length_penalty, beams);
        add("early_stopping", &self.early_stopping, beams);
        add("num_return_sequences", &self.num_return_sequences, self.num_return_sequences > 1);
        add("repetition_penalty", &self.repetition_penalty, self.repetition_penalty != 1.0);
        add("no_repeat_ngram_size", &self.no_repeat_ngram_size, self.no_repeat_ngram_size > 0);
        if let Some((start, factor)) = self.exponential_decay_length_penalty {
            add("exponential_decay_length_penalty", &format!("{start},{factor}"), true);
        }
        match self.min_new_tokens {
            Some(new) => add("min_new_tokens", &new, true),
            None => add("min_length", &self.min_length, self.min_length > 0),
        }
        match self.max_new_tokens {
            Some(new) => add("max_new_tokens", &new, true),
            None => add(if self.default_length { "max_new_tokens" } else { "max_length" }, &self.max_length, true),
        }
        let ids = |ids: &[u32]| ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        add("eos_token_id", &ids(&self.eos), !self.eos.is_empty());
        add("forced_bos_token_id", &ids(self.forced_bos.as_slice()), self.forced_bos.is_some());
        add("forced_eos_token_id", &ids(&self.forced_eos), !self.forced_eos.is_empty());
        add("suppress_tokens", &ids(&self.suppress_tokens), !self.suppress_tokens.is_empty());
        add("begin_suppress_tokens", &ids(&self.begin_suppress_tokens), !self.begin_suppress_tokens.is_empty());
        add("bad_words_ids", &format!("{} sequences", self.bad_words.len()), !self.bad_words.is_empty());
        add("remove_invalid_values", &true, self.remove_invalid_values);
        add("renormalize_logits", &true, self.renormalize_logits);
        words.join(" ")
    }
}
