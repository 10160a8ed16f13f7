//! The commands: arguments and what happens, no mathematics.

mod bar;
pub mod bench;
pub mod convert;
pub mod decode;
pub mod inspect;
mod interrupt;
pub mod list;
mod locate;
pub mod score;
mod threads;
pub mod tokenizer;
pub mod verify;

use crate::checkpoint::{Checkpoint, InitMem, Options};
use crate::cli::{Cli, Command, CommonArgs, ModelArgs, WeightArgs};
use crate::error::{Error, Result};
use crate::hub::Found;
use crate::output::say;
use std::io::Write;

/// How a command ended when nothing stopped it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Success,
    /// Some documents failed, the rest are written.
    SomeFailed,
    /// A gate tripped: a tolerance, an equality, a baseline.
    Gate,
    /// The user asked to stop; what was finished is written.
    Interrupted,
}

impl Exit {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::SomeFailed => 3,
            Exit::Gate => 4,
            Exit::Interrupted => 130,
        }
    }
}

/// Runs the command that was asked for.
pub fn run(cli: &Cli, out: &mut dyn Write) -> Result<Exit> {
    threads::limit(&cli.common, matches!(cli.command, Command::Bench(_)))?;
    match &cli.command {
        Command::Bench(args) => bench::run(args, &cli.common, out),
        Command::Convert(args) => convert::run(args, &cli.common, out),
        Command::Decode(args) => decode::run(args, &cli.common, out),
        Command::Inspect(args) => inspect::run(args, &cli.common, out),
        Command::List(args) => list::run(args, out),
        Command::Score(args) => score::run(args, &cli.common, out),
        Command::Tokenizer(args) => tokenizer::run(args, &cli.common, out),
        Command::Verify(args) => verify::run(args, &cli.common, out),
    }
}

/// Where the model of the arguments is, if they name one.
fn located(args: &ModelArgs, common: &CommonArgs) -> Result<Option<Found>> {
    locate::locate(args.model.as_deref(), &args.hub, !args.weights.random_weights, common.quiet)
}

/// Loads the model that was found, or the one in this binary; `seed` is that of `--random-weights`.
fn open(found: Option<&Found>, weights: &WeightArgs, seed: u64) -> Result<Checkpoint> {
    opened(found, &options(weights, seed))
}

/// The same for texts that are token ids: tokenizer.json is not looked at.
fn open_ids(found: Option<&Found>, weights: &WeightArgs, seed: u64) -> Result<Checkpoint> {
    opened(found, &Options { ids: true, ..options(weights, seed) })
}

/// The same with every weight moved by a unit in its last place, as `moved` draws.
fn open_moved(found: Option<&Found>, weights: &WeightArgs, moved: u64) -> Result<Checkpoint> {
    opened(found, &Options { moved: Some(moved), ids: true, ..options(weights, 0) })
}

fn opened(found: Option<&Found>, options: &Options) -> Result<Checkpoint> {
    match found {
        Some(found) => Checkpoint::found(found, options, None),
        None if options.random_weights.is_some() => {
            Err(Error::usage("`--random-weights` needs a configuration").hint("name its directory with `--model DIR`"))
        }
        None => Checkpoint::embedded(options),
    }
}

/// Says what the user should know, a line each.
fn tell<'n>(notes: impl IntoIterator<Item = &'n String>, quiet: bool) {
    if !quiet {
        notes.into_iter().for_each(|note| say(format_args!("note: {note}")));
    }
}

/// How the arguments say that a model is loaded.
fn options(weights: &WeightArgs, seed: u64) -> Options {
    Options {
        random_weights: weights.random_weights.then_some(seed),
        weights: weights.dtype.precision(),
        cache: weights.kv_dtype.precision(),
        mapped: weights.mapped,
        quirks: weights.reference_quirks,
        init_mem: weights.init_mem.map(InitMem::from),
        attention: weights.attention,
        moved: None,
        adapter: weights.adapter.clone(),
        ids: false,
    }
}
