//! The command line: what every command takes, and which commands there are.

use crate::arch::Choice;
use crate::checkpoint::InitMem;
use crate::command::bench::BenchArgs;
use crate::command::convert::ConvertArgs;
use crate::command::decode::DecodeArgs;
use crate::command::inspect::CompareArgs;
use crate::command::score::ScoreArgs;
use crate::command::tokenizer::TokenizerArgs;
use crate::kernel::precision::Precision;
use crate::suite::lists::{self, list};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Decode and evaluate efficient-attention models on the CPU
#[derive(Debug, Parser)]
#[command(name = "effattn", version, propagate_version = true, max_term_width = 120)]
pub struct Cli {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub common: CommonArgs,
    #[command(subcommand)]
    #[allow(missing_docs)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    /// Threads to compute with; `bench` takes a list [default: the physical cores]
    #[arg(short, long, global = true, value_name = "N", value_parser = positive)]
    pub threads: Option<List>,
    /// Say nothing but errors on standard error
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Summarise documents
    Decode(Box<DecodeArgs>),
    /// Measure what decoding takes: time by token, memory, bandwidth
    Bench(Box<BenchArgs>),
    /// Score texts: BLEU, ROUGE, chrF, TER, perplexity
    Score(Box<ScoreArgs>),
    /// Make a checkpoint of trax's or PyTorch's files, or one with made-up weights
    Convert(ConvertArgs),
    /// Make tokenizers
    Tokenizer(TokenizerArgs),
    /// Show what a checkpoint holds
    Inspect(InspectArgs),
    /// List what this build knows: architectures, attention variants, decode strategies, metrics, suites
    List(ListArgs),
    /// Compare a model with stored outputs of its reference implementation
    Verify(VerifyArgs),
}

/// Which model, and how its weights are held.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// Directory with config.json, model.safetensors (or its shards), tokenizer.json and generation_config.json, or `org/name` of the Hugging
    /// Face cache [default: the model in this binary]
    #[arg(short, long, value_name = "DIR|NAME")]
    pub model: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub hub: HubArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub weights: WeightArgs,
}

/// How a model is found by its name.
#[derive(Debug, Clone, Default, Args)]
pub struct HubArgs {
    /// Branch, tag or commit of a model that is named `org/name` [default: main]
    #[arg(long, value_name = "REV")]
    pub revision: Option<String>,
    /// Fetch what the cache does not have of a model that is named `org/name` (HF_TOKEN, HF_ENDPOINT, HF_HOME count as everywhere)
    #[arg(long)]
    pub download: bool,
}

/// How a model's weights are held.
#[derive(Debug, Clone, Args)]
pub struct WeightArgs {
    /// Take random weights instead of the checkpoint's, drawn from `--seed` where the command has one: config.json is enough
    #[arg(long)]
    pub random_weights: bool,
    /// Merge a LoRA adapter into the weights: a directory with adapter_config.json and adapter_model.safetensors, as PEFT saves them
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
    /// Type of the weights in memory
    #[arg(long, value_name = "TYPE", default_value = "auto")]
    pub dtype: Dtype,
    /// Type of keys and values in memory
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    pub kv_dtype: KvDtype,
    /// Leave in their file what a step reads row by row (token tables, units of sparse feed-forward layers): only touched pages come into memory
    #[arg(long)]
    pub mapped: bool,
    /// Do what the reference implementation does wrong as it does it (`inspect` says what that is)
    #[arg(long)]
    pub reference_quirks: bool,
    /// What memories of segments begin with, for models that have them [default: the checkpoint's own]
    #[arg(long, value_name = "WHAT")]
    pub init_mem: Option<InitMemory>,
    /// Attention of the encoder on the same weights: auto (what the checkpoint's own library runs), full, sparse, window=N, block=N, paper, paper=SEED; `inspect`
    /// says which a model allows
    #[arg(long, value_name = "WHICH", default_value_t, hide_default_value = true)]
    pub attention: Choice,
    /// Where to compute
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: Device,
}

/// What memories of segments begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InitMemory {
    /// Nothing
    Empty,
    /// Rows of zeros that are attended to
    Zeros,
}

impl From<InitMemory> for InitMem {
    fn from(init: InitMemory) -> Self {
        match init {
            InitMemory::Empty => InitMem::Empty,
            InitMemory::Zeros => InitMem::Zeros,
        }
    }
}

/// Type of the weights in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Dtype {
    /// The checkpoint's own where the machine is fast in it: bf16 or f32, never int8
    Auto,
    /// 32-bit floating point
    F32,
    /// The upper half of that: half the bytes
    Bf16,
    /// 8-bit integers with a factor an output: a quarter of the bytes
    Int8,
}

impl Dtype {
    /// What it stands for, unless that is to be found out.
    pub fn precision(self) -> Option<Precision> {
        match self {
            Dtype::Auto => None,
            Dtype::F32 => Some(Precision::F32),
            Dtype::Bf16 => Some(Precision::Bf16),
            Dtype::Int8 => Some(Precision::Int8),
        }
    }
}

impl From<Precision> for Dtype {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Dtype::F32,
            Precision::Bf16 => Dtype::Bf16,
            Precision::Int8 => Dtype::Int8,
        }
    }
}

/// Type of keys and values in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KvDtype {
    /// 32-bit floating point
    F32,
    /// The upper half of that: half the bytes
    Bf16,
}

impl KvDtype {
    /// What it stands for.
    pub fn precision(self) -> Precision {
        match self {
            KvDtype::F32 => Precision::F32,
            KvDtype::Bf16 => Precision::Bf16,
        }
    }
}

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Device {
    /// The processor
    Cpu,
}

/// A report for people or programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people
    Text,
    /// For programs
    Json,
}

/// How registries are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// For people
    Text,
    /// For documents
    Markdown,
    /// For programs
    Json,
}

/// `effattn inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub model: ModelArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub compare: CompareArgs,
    /// Output format
    #[arg(short, long, default_value = "text")]
    pub format: ReportFormat,
}

/// `effattn list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Output format
    #[arg(short, long, default_value = "text")]
    pub format: ListFormat,
}

/// `effattn verify`.
#[derive(Debug, Args)]
#[command(after_help = "Exit code 4: a tolerance or an equality failed")]
pub struct VerifyArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub model: ModelArgs,
    /// Inputs and outputs of the reference implementation, a safetensors file
    #[arg(long, value_name = "FILE")]
    pub golden: PathBuf,
    /// Largest absolute difference that passes, of logits, hidden states and scores
    #[arg(long, value_name = "X", default_value_t = 1e-4)]
    pub atol: f64,
    /// Let an output beyond `--atol` pass if moving each weight by a unit in its last place takes it about as far (up to eight more runs)
    #[arg(long)]
    pub rounding: bool,
    /// Compare what this program does by default, not what it does to be equal to the reference (`--reference-quirks` is on otherwise)
    #[arg(long, conflicts_with = "reference_quirks")]
    pub mended: bool,
    /// Output format
    #[arg(short, long, default_value = "text")]
    pub format: ReportFormat,
}

/// A list of numbers on the command line: `1024,4096`, `1024-16384*2`, `1-8+1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List(pub Vec<usize>);

impl std::str::FromStr for List {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        list(text).map(List)
    }
}

/// Parses a [`List`] without 0.
pub fn positive(text: &str) -> Result<List, String> {
    lists::positive(text).map(List)
}

/// Parses a count that 0 would make senseless.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(n) => Ok(n),
        Err(_) => Err("not a whole number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_parser_is_sound() {
        Cli::command().debug_assert();
    }
}
