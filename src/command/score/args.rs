//! The arguments of `effattn score`, and which of them exclude each other.

use crate::cli::{Device, Dtype, ModelArgs, at_least_one};
use crate::document::Format;
use crate::error::{Error, Result};
use crate::metric::bleu::Smoothing;
use crate::metric::tokenize::Tokenizer;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  effattn score reference.txt -i summaries.txt
  effattn score reference.txt -i a.txt b.txt c.txt -m rouge1,rouge2,rougeLsum --use-stemmer
  effattn score test.jsonl --ref-column abstract -i out.jsonl --confidence
  effattn score -m ppl --model gpt2 wiki.test.raw --stride 512
  effattn score -m ppl test.jsonl --ref-column abstract --source test.jsonl

Records (JSONL, CSV, TSV) that all have an `id` are joined by it, everything else by position.
Several references: several files, or a list in the reference column.

Exit codes: 0 all is well; 1 an error; 2 wrong usage.";

/// Arguments of `effattn score`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
#[allow(missing_docs, reason = "the fields' documentation is the help text")]
pub struct ScoreArgs {
    /// References: text with a segment a line, or JSONL, CSV, TSV records
    #[arg(value_name = "REFERENCE")]
    pub references: Vec<String>,
    /// Hypotheses, one file a system, the baseline first; `-` or nothing for standard input
    #[arg(short, long, value_name = "FILE", num_args = 1..)]
    pub input: Vec<String>,
    /// Metrics separated by commas: bleu, chrf, chrf++, ter, rouge1 … rouge9, rougeL, rougeLsum, ppl
    #[arg(short, long, value_name = "NAMES", value_delimiter = ',', default_value = "bleu,rouge1,rouge2,rougeL,rougeLsum")]
    pub metrics: Vec<String>,
    /// Whose definitions of BLEU and ROUGE-n
    #[arg(long, value_name = "WHOSE", default_value = "standard")]
    pub definition: Definition,
    /// Score every segment by itself (BLEU with the effective order)
    #[arg(long)]
    pub sentence_level: bool,
    /// Seed of the resampling [default: $SACREBLEU_SEED, else 12345; `none` there draws one]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    #[command(flatten)]
    pub columns: ColumnArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub significance: SignificanceArgs,
    #[command(flatten)]
    pub bleu: BleuArgs,
    #[command(flatten)]
    pub chrf: ChrfArgs,
    #[command(flatten)]
    pub ter: TerArgs,
    #[command(flatten)]
    pub rouge: RougeArgs,
    #[command(flatten)]
    pub perplexity: PerplexityArgs,
}

/// Whose definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Definition {
    /// sacreBLEU's and rouge_score's
    Standard,
    /// Those of Strabel's "Transformers" (2023), as repaired in docs/metrics.md: BLEU and ROUGE-n as fractions
    Strabel,
}

/// Where the texts are in records.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Input")]
#[allow(missing_docs, reason = "the fields' documentation is the help text")]
pub struct ColumnArgs {
    /// How the files are read, whatever their names end in
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub input_format: Format,
    /// Column or key of the reference(s) [default: the first of reference, references, summary, target, highlights, abstract, summaries]
    #[arg(long, value_name = "NAME")]
    pub ref_column: Option<String>,
    /// Column or key of the hypothesis [default: the first of summary_text, hypothesis, prediction, output]
    #[arg(long, value_name = "NAME")]
    pub hyp_column: Option<String>,
}

/// What is written.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
#[allow(missing_docs, reason = "the fields' documentation is the help text")]
pub struct OutputArgs {
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    pub format: OutputFormat,
    /// Write to FILE, which is complete or absent; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Digits after the point [default: 1; of perplexities and fractions 4]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=17))]
    pub width: Option<u8>,
    /// Print the scores and nothing else
    #[arg(short = 'b', long)]
    pub score_only: bool,
    /// Say which public tool each number equals, and which it does not
    #[arg(long)]
    pub explain: bool,
}

/// How scores are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// A line a score as sacreBLEU prints it; a table for several systems
    Text,
    /// A table for documents
    Markdown,
    /// A row a score, unrounded
    Csv,
    /// With sacreBLEU's keys, and all numbers behind the score
    Json,
    /// One JSON object a line
    Jsonl,
}

/// Intervals and tests.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Significance")]
#[allow(missing_docs, reason = "the fields' documentation is the help text")]
pub struct SignificanceArgs {
    /// Bootstrap a 95 % interval (several systems have theirs anyway)
    #[arg(long)]
    pub confidence: bool,
    /// Resamples of the interval
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = at_least_one)]
    pub confidence_n: usize,
    /// Test each system against the first by the paired bootstrap: what several systems get unless asked otherwise
    #[arg(long, conflicts_with = "paired_ar")]
    pub paired_bs: bool,
    /// Resamples of the paired bootstrap
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = at_least_one)]
    pub paired_bs_n: usize,
    /// Test each system against the first by paired approximate randomisation
    #[arg(long)]
    pub paired_ar: bool,
    /// Trials of approximate randomisation
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = at_least_one)]
    pub paired_ar_n: usize,
}

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
    #[arg(long, value_name = "X")]
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
    #[arg(long, value_name = "W1,W2,…", value_delimiter = ',')]
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
    /// Directory of the model [default: the model in this binary]
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Take random weights, drawn from `--seed`: config.json and tokenizer.json are enough
    #[arg(long)]
    pub random_weights: bool,
    /// Type of the weights in memory
    #[arg(long, value_name = "TYPE", default_value = "auto")]
    pub dtype: Dtype,
    /// Where to compute
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: Device,
    /// Documents that an encoder-decoder reads before it is asked for the text; one a line, or records
    #[arg(long, value_name = "FILE")]
    pub source: Option<String>,
    /// Column or key of the source [default: the first of document, article, text, input]
    #[arg(long, value_name = "NAME")]
    pub source_column: Option<String>,
    /// Tokens of a window [default: what the model holds]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub context: Option<usize>,
    /// Tokens that a window is ahead of the one before [default: half the context]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub stride: Option<usize>,
    /// Windows of the lm-evaluation-harness: side by side, the last one with a full context
    #[arg(long, conflicts_with = "stride")]
    pub rolling: bool,
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

impl ScoreArgs {
    /// Refuses what cannot go together, before anything is read.
    pub fn check(&self) -> Result<()> {
        let refuse = |message: &str, hint: &str| Err(Error::usage(message).hint(hint));
        let (test, systems) = (&self.significance, self.input.len());
        let paired = test.paired_bs || test.paired_ar;
        match () {
            () if paired && systems < 2 => refuse("paired tests need several systems", "name them with `-i A B`, the baseline first"),
            () if self.sentence_level && (paired || test.confidence) => {
                refuse("`--sentence-level` scores segments one by one, nothing can be resampled", "leave out one of them")
            }
            () if test.confidence && test.confidence_n < 2 => {
                refuse("an interval needs at least 2 resamples", "give `--confidence-n 1000`")
            }
            () if self.bleu.weights.is_some() && self.definition == Definition::Standard => {
                refuse("`--weights` belongs to `--definition strabel`", "leave it out, or add the definition")
            }
            () if self.perplexity.hf_weighting && self.perplexity.rolling => {
                refuse("`--hf-weighting` and `--rolling` are rules of different tools", "leave out one of them")
            }
            () if self.perplexity.hf_weighting && self.perplexity.bos == Bos::First => {
                refuse("`--hf-weighting` predicts no first token", "add `--bos none`")
            }
            () => Ok(()),
        }
    }

    /// The output file, if it is not standard output.
    pub fn path(&self) -> Option<&Path> {
        self.output.output.as_deref().filter(|p| *p != Path::new("-"))
    }

    /// Whether something is asked that compares texts.
    pub fn compares(&self) -> bool {
        self.metrics.iter().any(|m| m != "ppl")
    }

    /// Whether perplexity is asked.
    pub fn perplexes(&self) -> bool {
        self.metrics.iter().any(|m| m == "ppl")
    }
}

impl PerplexityArgs {
    /// Which model.
    pub fn model(&self) -> ModelArgs {
        ModelArgs { model: self.model.clone(), random_weights: self.random_weights, dtype: self.dtype, device: self.device }
    }
}
