//! The arguments that are transformers' settings of `generate`.

use crate::decode::{EarlyStopping, Overrides};
use crate::error::Error;
use clap::Args;

/// transformers' settings of `generate`, with hyphens.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Decoding (names and meaning as in Hugging Face's generate)")]
#[allow(missing_docs, reason = "the fields' documentation is the help text")]
pub struct GenerateArgs {
    /// Beams a document; 1 is no beam search
    #[arg(long, value_name = "N")]
    pub num_beams: Option<usize>,
    /// Draw tokens instead of taking the best (`--do-sample=false` overrides the checkpoint)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub do_sample: Option<bool>,
    /// Divides the scores before a draw; 0 is greedy
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub temperature: Option<f64>,
    /// Draw among so many best tokens; 0 is all
    #[arg(long, value_name = "N")]
    pub top_k: Option<usize>,
    /// Draw among the fewest tokens that have this probability together
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub top_p: Option<f64>,
    /// Draw among tokens with at least this share of the best one's probability
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub min_p: Option<f64>,
    /// Makes tokens that are there already less likely; 1 is off
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub repetition_penalty: Option<f64>,
    /// No n-gram of this size occurs twice; 0 is off
    #[arg(long, value_name = "N")]
    pub no_repeat_ngram_size: Option<usize>,
    /// Exponent of the length by which beam scores are divided
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub length_penalty: Option<f64>,
    /// When beam search stops: `true`, `false` or `never`
    #[arg(long, value_name = "WHEN", value_parser = early_stopping)]
    pub early_stopping: Option<EarlyStopping>,
    /// Fewest tokens, prompt or start token included
    #[arg(long, value_name = "N")]
    pub min_length: Option<usize>,
    /// Most tokens, prompt or start token included
    #[arg(long, value_name = "N")]
    pub max_length: Option<usize>,
    /// Most new tokens
    #[arg(long, value_name = "N")]
    pub max_new_tokens: Option<usize>,
    /// Summaries a document; further ones are the record's `alternatives`, or further lines of text
    #[arg(long, value_name = "N")]
    pub num_return_sequences: Option<usize>,
}

fn early_stopping(text: &str) -> std::result::Result<EarlyStopping, String> {
    text.parse().map_err(|e: Error| e.message().to_owned())
}

impl GenerateArgs {
    /// What the command line sets over the checkpoint's own.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            num_beams: self.num_beams,
            do_sample: self.do_sample,
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            no_repeat_ngram_size: self.no_repeat_ngram_size,
            length_penalty: self.length_penalty,
            early_stopping: self.early_stopping,
            min_length: self.min_length,
            min_new_tokens: None,
            max_length: self.max_length,
            max_new_tokens: self.max_new_tokens,
            num_return_sequences: self.num_return_sequences,
        }
    }
}
