//! Suites of `bench`: which models, which cases, what a paper reported of them, and the protocol to measure by.
//!
//! A suite is a TOML file; its keys are the command line's flags where there is one. What the file leaves open has the command line's default.
//! Whatever does not fit is one error with file and line, and with a remedy.
//!
//! ```toml
//! summary = "LED against BART, 512 to 16,384 tokens"   # one line
//! source = "a paper, table 8"                          # where the figures and the protocol come from
//!
//! [protocol]                       # every key may be left out
//! repetitions = 5                  # runs of a case after its warm-up
//! warmup = true                    # one full run before
//! drop = 0                         # token times left out at the start of each run, beside the time to first token
//! statistic = "mean"               # mean, median, min or sum: what the paper's figures are of the token times that are left
//! delay = 0                        # seconds between runs
//! take-turns = false               # one model in memory at a time, loaded anew in each round; always so where all do not fit together
//!
//! [[model]]
//! name = "led"                     # what report and rows call it
//! path = "../led-base-16384"       # a directory, from where this file is; or, instead,
//! # shipped = "led-base-16384"     # what is part of the program
//! random-weights = true            # config.json is enough
//! seed = 0                         # of the random weights
//! set = { d_ff = 4096 }            # keys of config.json that this model has instead of the file's, tables within tables
//! attention = "full"               # as `--attention`: another attention on the same weights
//! # distance-from = "bart"         # an earlier model: how far the logits of the first token are from its logits, in the same cases
//!
//! [[case]]                         # the product of its lists; only n-prompt and n-gen must be there
//! models = ["led", "bart"]         # left out: all
//! n-prompt = "512-16384*2"         # a number, an array of numbers, or lists and ranges as on the command line
//! n-gen = 64
//! n-depth = 0
//! batch-size = 1
//! threads = [1, 2]                 # left out: the machine's default
//! dtype = "auto"
//! strategy = ["greedy", "beam4"]
//!
//! [[reported]]                     # a figure of the paper, with as many keys of its case as name one and no other
//! model = "led"
//! n-prompt = 512
//! threads = 1
//! strategy = "greedy"
//! figure = 0.061                   # left out where the paper has ratios alone; what they are relative to has `ratio = 1` then
//! unit = "s/token"                 # s/token, ms/token or tokens/s of a token; s or ms of the encoder; GB of the most that was resident,
//! # of = "decoder"                 # or else, where the statistic is sum, of all token times together; "prompt": until the first token
//! where = "table 8"
//! against = "bart"                 # whose row for the same case the paper compares it with
//! ratio = 2.62                     # how many times faster the paper's text says it is
//! ```

mod case;
mod fields;
mod file;
pub mod lists;
mod reported;
mod sections;
mod shipped;
mod strategy;
mod text;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

pub use case::{Case, Grid};
pub use shipped::{SHIPPED, Shipped};
pub use strategy::Strategy;

use crate::arch::Choice;
use crate::error::Error;
use std::path::PathBuf;
use std::time::Duration;

/// The most cases of a suite.
pub const MOST_CASES: usize = 10_000;

/// The most `[[reported]]` rows of a suite.
pub const MOST_REPORTED: usize = 1_000;

/// The longest suite file, in bytes.
pub const LONGEST: usize = 1 << 20;

/// What to measure, and what to compare it with. Everything in it fits together; whether its models exist is not known here.
#[derive(Debug, Clone, PartialEq)]
pub struct Suite {
    /// Its file, for messages.
    pub file: String,
    /// What it measures, one line.
    pub summary: String,
    /// The paper, if it follows one.
    pub source: Option<String>,
    /// How each case is measured.
    pub protocol: Protocol,
    /// The models in the order of the file, with names that differ; each has a case.
    pub models: Vec<Model>,
    /// The products of all `[[case]]` written out, in the order of the file; no two are equal.
    pub cases: Vec<Case>,
    /// What the paper gives; no two rows give the same quantity of the same case.
    pub reported: Vec<Reported>,
}

/// How each case is measured, and which statistic the reported figures are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocol {
    /// Runs of a case after its warm-up, at least 1.
    pub repetitions: usize,
    /// Whether one full run goes before.
    pub warmup: bool,
    /// Token times left out at the start of each run, beside the first token's, which is the time to first token.
    /// A case that generates more than one token has token times left after it.
    pub drop: usize,
    /// What the figures of the paper are of the token times that are left.
    pub statistic: Statistic,
    /// Pause between runs.
    pub delay: Duration,
    /// Whether one model at a time is in memory, though all may fit.
    pub take_turns: bool,
}

impl Default for Protocol {
    fn default() -> Self {
        Self { repetitions: 5, warmup: true, drop: 0, statistic: Statistic::Mean, delay: Duration::ZERO, take_turns: false }
    }
}

/// What a figure is of the token times of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// Their mean.
    Mean,
    /// Their median.
    Median,
    /// The shortest.
    Min,
    /// Their sum.
    Sum,
}

/// A model of a suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// What report and `[[reported]]` call it.
    pub name: String,
    /// Where it is.
    pub origin: Origin,
    /// The seed of random weights; none: the checkpoint's weights.
    pub random_weights: Option<u64>,
    /// Keys of config.json that it has instead of the file's.
    pub set: Option<serde_json::Value>,
    /// Which attention its encoder runs.
    pub attention: Choice,
    /// Index of the model from whose logits its own are told to be how far.
    pub distance_from: Option<usize>,
    /// The line that says where it is, for errors of whoever opens it.
    pub line: usize,
}

/// Where a model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A directory: as the file names it, below the file's own directory unless it is absolute.
    Directory(PathBuf),
    /// A model or configuration that is part of the program, by name. Nobody has looked yet whether there is one.
    Shipped(String),
}

/// A figure of the paper.
#[derive(Debug, Clone, PartialEq)]
pub struct Reported {
    /// Index of its case in [`Suite::cases`], which names the model too.
    pub case: usize,
    /// The figure, above 0, in `unit`; none where the paper has ratios alone.
    pub figure: Option<f64>,
    /// Its unit.
    pub unit: Unit,
    /// What it measures.
    pub quantity: Quantity,
    /// Where the paper gives it: `table 8`.
    pub place: Option<String>,
    /// Index in [`Suite::reported`] of the row that the paper compares this one with: another model, but for that the same case and quantity.
    pub against: Option<usize>,
    /// How many times faster than `against` the paper's text says this is, above 0.
    pub ratio: Option<f64>,
    /// The line on which the row begins.
    pub line: usize,
}

/// What a reported figure measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quantity {
    /// The time of the encoder.
    Encoder,
    /// The time from a prompt to its first token.
    Prompt,
    /// The time of a token: the mean, median or least of the token times, as the protocol's statistic says.
    Token,
    /// The sum of the token times.
    Decoder,
    /// The most bytes that were resident.
    Memory,
}

/// The unit of a reported figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// `s/token`.
    SecondsPerToken,
    /// `ms/token`.
    MillisecondsPerToken,
    /// `tokens/s`.
    TokensPerSecond,
    /// `s`.
    Seconds,
    /// `ms`.
    Milliseconds,
    /// `GB`, 10⁹ bytes.
    Gigabytes,
}

impl Unit {
    /// A figure in this unit as seconds, of a token where the unit names one, or as bytes: less is better.
    pub fn cost(self, figure: f64) -> f64 {
        match self {
            Unit::Gigabytes => figure * 1e9,
            Unit::SecondsPerToken | Unit::Seconds => figure,
            Unit::MillisecondsPerToken | Unit::Milliseconds => figure / 1000.0,
            Unit::TokensPerSecond => 1.0 / figure,
        }
    }
}

impl Statistic {
    const NAMES: [(&str, Statistic); 4] =
        [("mean", Statistic::Mean), ("median", Statistic::Median), ("min", Statistic::Min), ("sum", Statistic::Sum)];
}

impl Unit {
    const NAMES: [(&str, Unit); 6] = [
        ("s/token", Unit::SecondsPerToken),
        ("ms/token", Unit::MillisecondsPerToken),
        ("tokens/s", Unit::TokensPerSecond),
        ("s", Unit::Seconds),
        ("ms", Unit::Milliseconds),
        ("GB", Unit::Gigabytes),
    ];
}

impl std::fmt::Display for Statistic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(name(&Self::NAMES, *self))
    }
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(name(&Self::NAMES, *self))
    }
}

fn name<T: PartialEq>(names: &[(&'static str, T)], value: T) -> &'static str {
    names.iter().find(|(_, v)| *v == value).map_or("", |(name, _)| name)
}

impl Suite {
    /// `file:line: message`, for what only the caller can find out about a line: a directory that is not there, a name nobody knows.
    pub fn error(&self, line: usize, message: impl std::fmt::Display) -> Error {
        text::located(&self.file, line, message)
    }

    /// The model of a case.
    pub fn model(&self, case: &Case) -> &Model {
        &self.models[case.model]
    }
}
