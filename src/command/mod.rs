//! The commands: arguments and what happens, no mathematics.

pub mod decode;
mod threads;

use crate::cli::{Cli, Command};
use crate::error::{Error, Result};
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
    threads::limit(cli.common.threads)?;
    match &cli.command {
        Command::Decode(args) => decode::run(args, &cli.common, out),
        Command::Inspect(_) | Command::List(_) | Command::Verify(_) => Err(Error::new("this build does not have the command yet")),
    }
}
