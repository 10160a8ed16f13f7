//! The arguments of `effattn bench`, and which of them exclude each other.

use crate::arch::Choice;
use crate::checkpoint::Options;
use crate::cli::{Device, Dtype, HubArgs, KvDtype, List};
use crate::error::{Error, Result};
use crate::suite::Strategy;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  effattn bench                                                  # the model in the binary
  effattn bench --suite quick
  effattn bench --suite scaling-17b --dtype int8 -o scaling.md
  effattn bench -m led-large-16384-arxiv -p 1024-16384*2 -n 64 -o led.jsonl -f jsonl --resume
  effattn bench -m a,b -p 4096 -n 128 -b 1,4 -t 1,2 --strategy greedy,beam4 -f markdown
  effattn bench -m led-base-16384 --random-weights -p 512-16384*2 --plot led.svg --html led.html
  effattn bench -m gpt2 -p 512 -n 128 -d 0,512 --baseline old.jsonl --fail-above 3%

Lists 1024,4096 and ranges 1024-16384*2, 1-8+1. An encoder-decoder reads -p tokens with its encoder and writes -n
(`dec128 @ e4096`; with -n 0 only `enc4096`); a decoder-only model has a test for each -p (`pp512`) and for each -n
behind each depth -d (`tg128 @ d512`).

Exit codes: 0 all is well; 1 an error; 2 wrong usage; 3 some cases were refused, the rest are measured; 4 slower than
the baseline by more than allowed; 130 interrupted, what was finished is written.";

/// Arguments of `effattn bench`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
#[allow(missing_docs, reason = "the fields' documentation is the help text")]
pub struct BenchArgs {
    /// Directories of checkpoints, separated by commas, names of shipped configurations, or `org/name` (`org/name@REV`) of the Hugging Face cache
    /// [default: the model in this binary]
    #[arg(short, long, value_name = "DIR|NAME,…", value_delimiter = ',')]
    pub model: Vec<String>,
    #[command(flatten)]
    pub hub: HubArgs,
    /// A prepared set of cases: `quick`, `length`, `sparse-loss`, `scaling-800m`, `scaling-17b`, `terraformer`, or a TOML file
    #[arg(long, value_name = "NAME|FILE", conflicts_with_all = ["model", "revision", "download", "n_prompt", "n_gen", "n_depth", "batch_size", "strategy", "random_weights"])]
    pub suite: Option<String>,
    #[command(flatten)]
    pub cases: CaseArgs,
    #[command(flatten)]
    pub running: RunArgs,
    #[command(flatten)]
    pub weights: BenchWeightArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub compare: CompareArgs,
}

/// What is measured: every combination is a case.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cases (lists; every combination is one)")]
#[allow(missing_docs, reason = "the fields' documentation is the help text")]
pub struct CaseArgs {
    /// Tokens of the document or prompt [default: 512]
    #[arg(short = 'p', long, value_name = "N,…")]
    pub n_prompt: Option<List>,
    /// New tokens [default: 128]
    #[arg(short = 'n', long, value_name = "N,…")]
    pub n_gen: Option<List>,
    /// Tokens that the decoder holds before the first new one [default: 0]
    #[arg(short = 'd', long, value_name = "N,…")]
    pub n_depth: Option<List>,
    /// Documents at once [default: 1]
    #[arg(short = 'b', long, value_name = "N,…", value_parser = crate::cli::positive)]
    pub batch_size: Option<List>,
    /// greedy, sample, beamN [default: greedy]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub strategy: Vec<Strategy>,
}

/// How it is measured.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Running")]
#[allow(missing_docs, reason = "the fields' documentation is the help text")]
pub struct RunArgs {
    /// Runs of each case, interleaved: each case once, then each once again [default: 5, or the suite's]
    #[arg(short, long, value_name = "N", value_parser = crate::cli::at_least_one)]
    pub repetitions: Option<usize>,
    /// Seconds to wait before each run [default: 0, or the suite's]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub delay: Option<f64>,
    /// Leave out the full run before the first that counts
    #[arg(long)]
    pub no_warmup: bool,
    /// Have one model in memory at a time: each round loads one after the other, warms it up and times it [default: where all do not fit
    /// together, or as the suite says]
    #[arg(long)]
    pub take_turns: bool,
    /// Seed of the token ids, of draws and of made-up weights (a suite says its own for these)
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Time the parts of the model too, in one more run a case: embed, self-attention, cross-attention, feed-forward, logits, sampling
    #[arg(long)]
    pub phases: bool,
    /// Decode the documents of a JSONL file with each checkpoint and show ROUGE and perplexity beside its times
    #[arg(long, value_name = "DATA")]
    pub quality: Option<PathBuf>,
    /// Key of the reference summaries in DATA [default: as `effattn score`]
    #[arg(long, value_name = "NAME", requires = "quality")]
    pub ref_column: Option<String>,
    /// Use only the first documents of DATA
    #[arg(long, value_name = "N", requires = "quality", value_parser = crate::cli::at_least_one)]
    pub quality_limit: Option<usize>,
}

/// How weights are held, each a list.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Model")]
#[allow(missing_docs, reason = "the fields' documentation is the help text")]
pub struct BenchWeightArgs {
    /// Make the weights up from `--seed`: config.json is enough
    #[arg(long)]
    pub random_weights: bool,
    /// Merge a LoRA adapter into the weights of the one model: a directory as PEFT saves it
    #[arg(long, value_name = "DIR", conflicts_with = "suite")]
    pub adapter: Option<PathBuf>,
    /// Type of the weights in memory, a list; one beside a suite that leaves it open
    #[arg(long, value_name = "TYPE,…", value_delimiter = ',', default_value = "auto")]
    pub dtype: Vec<Dtype>,
    /// Type of keys and values in memory
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    pub kv_dtype: KvDtype,
    /// Leave in their file what a step reads row by row (token tables, units of sparse feed-forward layers): only touched pages come into memory
    #[arg(long)]
    pub mapped: bool,
    /// Attention of the encoder on the same weights, as `decode` has it; a suite's models may say otherwise
    #[arg(long, value_name = "WHICH", default_value_t, hide_default_value = true)]
    pub attention: Choice,
    /// Where to compute
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: Device,
}

impl BenchWeightArgs {
    /// How a model is loaded, but for the precision of its weights and whether they are made up.
    pub fn options(&self) -> Options {
        let (cache, mapped) = (self.kv_dtype.precision(), self.mapped);
        Options { cache, mapped, attention: self.attention, adapter: self.adapter.clone(), ids: true, ..Options::default() }
    }
}

/// What is written.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
#[allow(missing_docs, reason = "the fields' documentation is the help text")]
pub struct OutputArgs {
    /// Output format [default: by the output's name, else text]
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<OutputFormat>,
    /// Write to FILE, which is complete or absent: each run is in FILE.runs as soon as it is over, and what is finished goes into a FILE that
    /// is not there yet when you interrupt; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Go on with an interrupted table: the runs in FILE.runs are not run again; needs `-o`
    #[arg(long)]
    pub resume: bool,
    /// Draw the times and the memory against the length, and the distribution of token times
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
    /// One page with the tables, the plots and the machine
    #[arg(long, value_name = "FILE.html")]
    pub html: Option<PathBuf>,
}

/// What it is compared with.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Comparing")]
#[allow(missing_docs, reason = "the fields' documentation is the help text")]
pub struct CompareArgs {
    /// Compare with the records of an earlier run (`-f jsonl`)
    #[arg(long, value_name = "OLD.jsonl")]
    pub baseline: Option<PathBuf>,
    /// End with code 4 if a case encodes or decodes more slowly than the baseline by more than this, and the interval of the ratio says that it
    /// is no chance
    #[arg(long, value_name = "PERCENT", value_parser = percent, requires = "baseline")]
    pub fail_above: Option<f64>,
}

/// How the table is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For a terminal
    Text,
    /// For a document
    Markdown,
    /// A line a case, the figures without the samples
    Csv,
    /// One document with everything
    Json,
    /// A record a case, as soon as its last run is over
    Jsonl,
}

impl BenchArgs {
    /// Refuses what cannot go together, before anything is read.
    pub fn check(&self) -> Result<()> {
        let refuse = |message: &str, hint: &str| Err(Error::usage(message).hint(hint));
        let drawn = [self.output.plot.as_deref(), self.output.html.as_deref()];
        let journal = self.path().map(super::journal::beside);
        let files: Vec<PathBuf> = [self.path(), journal.as_deref()].into_iter().chain(drawn).flatten().map(one_name).collect();
        let twice = files.iter().enumerate().any(|(i, f)| files[..i].contains(f));
        match () {
            () if self.output.resume && self.path().is_none() => refuse("`--resume` needs a file to go on with", "name it with `-o FILE`"),
            () if drawn.into_iter().flatten().any(crate::output::is_stdout) => {
                refuse("standard output has the table", "name files for `--plot` and `--html`")
            }
            () if self.weights.adapter.is_some() && self.model.len() > 1 => {
                refuse("`--adapter` goes with one model", "name one with `-m`, or bench them one after the other")
            }
            () if self.hub.revision.is_some() && self.model.len() > 1 => {
                refuse("`--revision` is of one model", "name each model's own: `-m org/a@REV,org/b`")
            }
            () if twice => refuse("two outputs have the same name", "give each of `-o`, `--plot`, `--html` its own"),
            () => Ok(()),
        }
    }

    /// The output file, if it is not standard output.
    pub fn path(&self) -> Option<&Path> {
        self.output.output.as_deref().filter(|p| !crate::output::is_stdout(p))
    }

    /// How the table is written: as asked, else as the output's name says.
    pub fn format(&self) -> OutputFormat {
        let ending = self.path().and_then(|p| p.extension()).and_then(|e| e.to_str());
        self.output.format.unwrap_or(match ending {
            Some("md" | "markdown") => OutputFormat::Markdown,
            Some("csv") => OutputFormat::Csv,
            Some("json") => OutputFormat::Json,
            Some("jsonl" | "ndjson") => OutputFormat::Jsonl,
            _ => OutputFormat::Text,
        })
    }
}

/// A file's name by which it is known however it is spelled.
fn one_name(path: &Path) -> PathBuf {
    let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (dir.canonicalize(), path.file_name()) {
        (Ok(dir), Some(name)) => dir.join(name),
        _ => path.to_owned(),
    }
}

/// `3%` or `3`: percent.
fn percent(text: &str) -> std::result::Result<f64, String> {
    match text.strip_suffix('%').unwrap_or(text).parse::<f64>() {
        Ok(x) if x.is_finite() && x >= 0.0 => Ok(x),
        _ => Err("give percent, for instance `3%`".to_owned()),
    }
}

/// Seconds, not negative and below a day.
fn seconds(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if (0.0..86_400.0).contains(&x) => Ok(x),
        _ => Err("give seconds, for instance `0.5`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_and_seconds() {
        assert_eq!((percent("3%"), percent("2.5"), percent("0")), (Ok(3.0), Ok(2.5), Ok(0.0)));
        assert!(percent("-1%").is_err() && percent("much").is_err() && percent("inf").is_err());
        assert_eq!((seconds("0.5"), seconds("0")), (Ok(0.5), Ok(0.0)));
        assert!(seconds("-1").is_err() && seconds("nan").is_err());
    }
}
