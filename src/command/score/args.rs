//! The arguments of `effattn score`, and which of them exclude each other.

use super::options::{BleuArgs, Bos, ChrfArgs, PerplexityArgs, RougeArgs, TerArgs};
use crate::cli::at_least_one;
use crate::document::Format;
use crate::error::{Error, Result};
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
