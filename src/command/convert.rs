//! `effattn convert`: checkpoints from elsewhere become directories that every other command takes.

use super::bar::Bar;
use super::{Exit, interrupt};
use crate::cli::CommonArgs;
use crate::convert::numbers::Kind;
use crate::convert::{self, Done, Watch, made_up, torch};
use crate::error::{Error, Result};
use crate::output::say;
use crate::report::{bytes, grouped};
use clap::{Args, ValueEnum};
use std::io::Write;
use std::path::{Path, PathBuf};

/// `effattn convert`.
#[derive(Debug, Args)]
#[command(
    after_help = "Nothing in a checkpoint is run. The directory appears when it is complete; its name is all that goes to standard output"
)]
pub struct ConvertArgs {
    /// What the checkpoint was made by
    #[arg(long, value_name = "SOURCE")]
    pub from: From,
    /// trax: `model.pkl.gz`, its other files beside it; pytorch: a .bin, .pt, .pth, .ckpt file, or a directory with one, or with shards
    #[arg(value_name = "CHECKPOINT")]
    pub checkpoint: Option<PathBuf>,
    /// trax: the gin file, best the `config.gin` beside the checkpoint; random: config.json or its directory; pytorch: config.json, where the one
    /// beside the checkpoint is missing or not meant
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// Directory to make
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Type of the weights in the file [default: the checkpoint's own, f32 for random]
    #[arg(long, value_name = "TYPE", default_value = "auto", hide_default_value = true)]
    pub dtype: StoredDtype,
    /// Write the first matrix of sparse feed-forward blocks unit by unit, so that the file can be used in place
    #[arg(long)]
    pub rows: bool,
    /// Seed of random weights [default: 0]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Replace files in a directory that is not empty
    #[arg(long)]
    pub force: bool,
}

/// Where checkpoints come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum From {
    /// Google's trax: a pickle and a gin file
    Trax,
    /// PyTorch: what `torch.save` writes, or safetensors in shards
    Pytorch,
    /// Nowhere: weights are made up
    Random,
}

/// Type of the weights in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StoredDtype {
    /// The checkpoint's own
    Auto,
    /// 32-bit floating point
    F32,
    /// The upper half of that: half the bytes
    Bf16,
}

impl StoredDtype {
    fn kind(self) -> Option<Kind> {
        match self {
            StoredDtype::Auto => None,
            StoredDtype::F32 => Some(Kind::F32),
            StoredDtype::Bf16 => Some(Kind::Bf16),
        }
    }
}

/// Converts; prints the directory's name.
pub fn run(args: &ConvertArgs, common: &CommonArgs, out: &mut dyn Write) -> Result<Exit> {
    interrupt::watch();
    let bar = Bar::new(!common.quiet, Some(100), "{bar:40} {percent} % {msg}");
    let mut watch = |done: u64, all: u64| {
        bar.reach(100 * done / all.max(1));
        !interrupt::raised()
    };
    let told = match (args.from, &args.checkpoint) {
        (From::Trax, Some(checkpoint)) => trax(args, checkpoint, &mut watch)?,
        (From::Pytorch, Some(checkpoint)) => pytorch(args, checkpoint, &mut watch)?,
        (From::Random, None) => random(args, &mut watch)?,
        (From::Trax, None) => return Err(Error::usage("`--from trax` needs a checkpoint").hint("name trax's `model.pkl.gz`")),
        (From::Pytorch, None) => {
            return Err(Error::usage("`--from pytorch` needs a checkpoint").hint("name a file that `torch.save` wrote, or its directory"));
        }
        (From::Random, Some(_)) => {
            return Err(Error::usage("`--from random` takes no checkpoint").hint("leave it out, `--config` says what to make"));
        }
    };
    bar.end();
    let Some(told) = told else { return Ok(Exit::Interrupted) };
    if !common.quiet {
        told.iter().for_each(say);
    }
    writeln!(out, "{}", args.output.display())?;
    Ok(Exit::Success)
}

/// What to say of a checkpoint of trax that was converted; none if the user wanted out.
fn trax(args: &ConvertArgs, checkpoint: &Path, watch: &mut Watch) -> Result<Option<Vec<String>>> {
    if args.seed.is_some() {
        return Err(Error::usage("`--seed` is for `--from random`").hint("leave it out"));
    }
    let model = convert::model(config(args, "the gin file, best the `config.gin` beside the checkpoint")?)?;
    let request = convert::Request { checkpoint, target: &args.output, kind: args.dtype.kind(), rows: args.rows, force: args.force };
    let Some(done) = convert::convert(&model, &request, watch)? else { return Ok(None) };
    let mut told = vec![format!("{}: {}", model.function, written(&done))];
    if !model.ignored.is_empty() {
        told.push(format!("without effect outside training: {}", model.ignored.join(", ")));
    }
    if model.others > 0 {
        told.push(format!("of other functions: {} bindings", model.others));
    }
    Ok(Some(told))
}

/// The same for a checkpoint of PyTorch.
fn pytorch(args: &ConvertArgs, checkpoint: &Path, watch: &mut Watch) -> Result<Option<Vec<String>>> {
    if let Some((_, option, whose)) =
        [(args.seed.is_some(), "seed", "random"), (args.rows, "rows", "trax` and `--from random")].into_iter().find(|o| o.0)
    {
        return Err(Error::usage(format!("`--{option}` is for `--from {whose}`")).hint("leave it out"));
    }
    let request =
        torch::Request { checkpoint, config: args.config.as_deref(), target: &args.output, kind: args.dtype.kind(), force: args.force };
    let done = torch::convert(&request, watch)?;
    Ok(done.map(|(done, said)| std::iter::once(written(&done)).chain(said).collect()))
}

/// `--config`, which trax and made-up weights cannot do without.
fn config<'a>(args: &'a ConvertArgs, what: &str) -> Result<&'a Path> {
    args.config.as_deref().ok_or_else(|| {
        let from = if args.from == From::Trax { "trax" } else { "random" };
        Error::usage(format!("`--from {from}` needs `--config`")).hint(format!("it takes {what}"))
    })
}

/// The same for made-up weights.
fn random(args: &ConvertArgs, watch: &mut Watch) -> Result<Option<Vec<String>>> {
    let request = made_up::Request {
        config: config(args, "config.json or its directory")?,
        target: &args.output,
        seed: args.seed.unwrap_or(0),
        kind: args.dtype.kind().unwrap_or(Kind::F32),
        rows: args.rows,
        force: args.force,
    };
    let done = made_up::convert(&request, watch)?;
    Ok(done.map(|done| vec![format!("made up from seed {}: {}", request.seed, written(&done))]))
}

fn written(done: &Done) -> String {
    let kinds: Vec<String> = done.kinds.iter().map(|k| k.to_lowercase()).collect();
    let kinds = match kinds.as_slice() {
        [several @ .., last] if several.len() > 1 => format!("{} and {last}", several.join(", ")),
        few => few.join(" and "),
    };
    format!("{} parameters in {} tensors, {kinds}, {}", grouped(done.parameters as usize), done.tensors, bytes(done.bytes as usize))
}
