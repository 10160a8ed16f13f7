//! The arguments of `effattn score`, and which of them exclude each other.

use super::options::{BleuArgs, ChrfArgs, PerplexityArgs, RougeArgs, TerArgs};
use super::unused;
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
    /// Metrics separated by commas: bleu, chrf, chrf++, ter, rouge1 … rouge9, rougeL, rougeLsum, ppl [default:
    /// bleu,rouge1,rouge2,rougeL,rougeLsum]
    #[arg(short, long, value_name = "NAMES", value_delimiter = ',')]
    pub metrics: Option<Vec<String>>,
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
    /// Bootstrap a 95 % interval (the paired bootstrap of several systems has its own)
    #[arg(long)]
    pub confidence: bool,
    /// Resamples of the interval [default: 1000]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub confidence_n: Option<usize>,
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
        let (test, output, systems) = (&self.significance, &self.output, self.systems().len());
        let paired = test.paired_bs || test.paired_ar;
        let scores_only = output.score_only && output.format != OutputFormat::Text;
        match () {
            () if paired && systems < 2 => refuse("paired tests need several systems", "name them with `-i A B`, the baseline first"),
            () if self.sentence_level && (paired || test.confidence) => {
                refuse("`--sentence-level` scores segments one by one, nothing can be resampled", "leave out one of them")
            }
            () if self.sentence_level && systems > 1 && output.format == OutputFormat::Text => {
                refuse("lines of text do not say which system a segment is of", "add `-f csv`, `-f jsonl`, `-f json` or `-f markdown`")
            }
            () if test.confidence_n == Some(1) => refuse("an interval needs at least 2 resamples", "give `--confidence-n 1000`"),
            () if test.confidence_n.is_some() && !test.confidence => {
                refuse("`--confidence-n` belongs to `--confidence`", "add it, or leave both out")
            }
            () if test.confidence_n.is_some() && systems > 1 && !test.paired_ar => {
                refuse("the intervals of several systems are those of the paired bootstrap", "set its resamples with `--paired-bs-n`")
            }
            () if scores_only => refuse("`--score-only` prints text", "leave out `-f` or `-b`"),
            () if output.explain && (output.score_only || self.sentence_level || output.format == OutputFormat::Csv) => {
                refuse("`--explain` has no room in this output", "leave it out, or print text, Markdown or JSON of whole systems")
            }
            () if self.perplexes() && !self.compares() && !self.input.is_empty() && !self.references.is_empty() => {
                refuse("perplexity needs no references", &format!("leave out `{}`, or name it with `-i`", self.references[0]))
            }
            () => unused::check(self),
        }
    }

    /// The names of the metrics.
    pub fn names(&self) -> Vec<String> {
        let usual: &[&str] = match self.definition {
            Definition::Standard => &["bleu", "rouge1", "rouge2", "rougeL", "rougeLsum"],
            Definition::Strabel => &["bleu", "rouge1", "rouge2"],
        };
        self.metrics.clone().unwrap_or_else(|| usual.iter().map(|&name| name.to_owned()).collect())
    }

    /// The files of texts that are scored: perplexity alone takes the references when there is nothing else.
    pub fn systems(&self) -> &[String] {
        if self.input.is_empty() && !self.compares() { &self.references } else { &self.input }
    }

    /// Whether a plain file is one text for a model that reads raw text.
    pub fn whole_files(&self) -> bool {
        !self.compares() && !self.sentence_level
    }

    /// Whether something is asked that compares texts.
    pub fn compares(&self) -> bool {
        self.names().iter().any(|m| !is_ppl(m))
    }

    /// Whether perplexity is asked.
    pub fn perplexes(&self) -> bool {
        self.names().iter().any(|m| is_ppl(m))
    }

    /// The output file, if it is not standard output.
    pub fn path(&self) -> Option<&Path> {
        self.output.output.as_deref().filter(|p| !crate::output::is_stdout(p))
    }
}

fn is_ppl(name: &str) -> bool {
    name.trim().eq_ignore_ascii_case("ppl")
}
