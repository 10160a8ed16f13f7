//! The options of each metric.

use crate::cli::{HubArgs, WeightArgs, at_least_one};
use crate::metric::bleu::Smoothing;
use crate::metric::tokenize::Tokenizer;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Options of BLEU.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "BLEU")]
#[allow(missing_docs, reason = "the fields' documentation is the help text")]
pub struct BleuArgs {
    /// How text is cut into tokens
    #[arg(long, value_name = "NAME", default_value = "13a")]
    pub tokenize: Tokenizer,
    /// What is done about orders without a match
    #[arg(short, long, value_name = "NAME", default_value = "exp")]
    pub smooth_method: Smoothing,
    /// The value of floor [default: 0.1] and add-k [default: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub smooth_value: Option<f64>,
    /// Ignore case
    #[arg(long)]
    pub lowercase: bool,
    /// Leave out orders for which the hypotheses are too short (always so with `--sentence-level`)
    #[arg(long)]
    pub effective_order: bool,
    /// The text is detokenised, whatever it looks like: no warning
    #[arg(long)]
    pub force: bool,
    /// Weights of the orders 1, 2, … of BLEU by `--definition strabel`; they add up to 1 [default: 0.25,0.25,0.25,0.25]
    #[arg(long, value_name = "W1,W2,…", value_delimiter = ',', allow_hyphen_values = true)]
    pub weights: Option<Vec<f64>>,
}

/// Options of chrF.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "chrF")]
#[allow(missing_docs, reason = "the fields' documentation is the help text")]
pub struct ChrfArgs {
    /// Order of the character n-grams
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub chrf_char_order: usize,
    /// Order of the word n-grams of `chrf`; chrf++ has 2
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub chrf_word_order: usize,
    /// Weight of recall against precision
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub chrf_beta: u32,
    /// White space counts as characters
    #[arg(long)]
    pub chrf_whitespace: bool,
    /// Ignore case
    #[arg(long)]
    pub chrf_lowercase: bool,
    /// Smooth with a small number, as chrF++.py, NLTK and Moses do
    #[arg(long)]
    pub chrf_eps_smoothing: bool,
}

/// Options of TER.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "TER")]
#[allow(missing_docs, reason = "the fields' documentation is the help text")]
pub struct TerArgs {
    /// Respect case
    #[arg(long)]
    pub ter_case_sensitive: bool,
    /// Cut Asian text into characters
    #[arg(long)]
    pub ter_asian_support: bool,
    /// Remove punctuation
    #[arg(long)]
    pub ter_no_punct: bool,
    /// Normalise and tokenise
    #[arg(long)]
    pub ter_normalized: bool,
}

/// Options of ROUGE.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "ROUGE")]
#[allow(missing_docs, reason = "the fields' documentation is the help text")]
pub struct RougeArgs {
    /// Reduce words to their stems (Porter's, as rouge_score takes it from NLTK)
    #[arg(long)]
    pub use_stemmer: bool,
    /// Split texts into sentences for rougeLsum, instead of at line ends: by `rule`, or as NLTK does by its English model in DIR (…/tokenizers/punkt_tab/english)
    #[arg(long, value_name = "rule|DIR", num_args = 0..=1, require_equals = true, default_missing_value = "rule")]
    pub split_summaries: Option<PathBuf>,
    /// Several references: the best one's score, as rouge_score; or hits and counts of all added up, as ROUGE-1.5.5
    #[arg(long, value_name = "HOW", default_value = "best")]
    pub rouge_references: RougeReferences,
    /// Words of all scripts, not only of a–z and 0–9
    #[arg(long)]
    pub unicode: bool,
}

/// What several references mean for ROUGE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RougeReferences {
    /// The reference with the highest F
    Best,
    /// Hits and counts of all references added up
    Average,
}

/// Options of perplexity.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Perplexity")]
#[allow(missing_docs, reason = "the fields' documentation is the help text")]
pub struct PerplexityArgs {
    /// Directory of the model, or `org/name` of the Hugging Face cache [default: the model in this binary]
    #[arg(long, value_name = "DIR|NAME")]
    pub model: Option<PathBuf>,
    #[command(flatten)]
    pub hub: HubArgs,
    #[command(flatten)]
    pub weights: WeightArgs,
    /// Documents that an encoder-decoder reads before it is asked for the text; one a line, or records
    #[arg(long, value_name = "FILE")]
    pub source: Option<String>,
    /// Column or key of the source [default: the first of document, article, text, input]
    #[arg(long, value_name = "NAME")]
    pub source_column: Option<String>,
    /// Text before every source, for models trained with one; `''` for none [default: that of summarization in config.json's
    /// task_specific_params]
    #[arg(long, value_name = "TEXT")]
    pub source_prefix: Option<String>,
    /// Tokens of a window [default: what the model holds]; of a segment where memory is carried
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub context: Option<usize>,
    /// Tokens that a window is ahead of the one before [default: half the context]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub stride: Option<usize>,
    /// Windows of the lm-evaluation-harness: side by side, the last one with a full context
    #[arg(long, conflicts_with = "stride")]
    pub rolling: bool,
    /// Carry the model's memory through each document, so that every token is read once and predicted from all before it: what models without
    /// a limit of positions do unless windows are asked for
    #[arg(long, conflicts_with_all = ["stride", "rolling", "context", "hf_weighting"])]
    pub carry: bool,
    /// Tokens read at a time while memory is carried; the score is the same for any N [default: 512, or the model's limit]
    #[arg(long, value_name = "N", value_parser = at_least_one, conflicts_with_all = ["stride", "rolling", "context", "hf_weighting"])]
    pub segment: Option<usize>,
    /// What stands before the first token: a begin (or end) of text token, so that every token is predicted; or nothing
    #[arg(long, value_name = "WHAT", default_value = "first")]
    pub bos: Bos,
    /// Weigh windows as the loop in the documentation of transformers does (needs `--bos none`)
    #[arg(long)]
    pub hf_weighting: bool,
}

/// What stands before the first token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Bos {
    /// The model's begin-of-text token, else its end-of-text token
    First,
    /// Nothing: the first token is not predicted
    None,
}
