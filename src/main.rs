//! The command line: parse, run, say what went wrong.

use clap::Parser;
use effattn::{cli::Cli, command, output};
use std::process::ExitCode;

fn main() -> ExitCode {
    effattn::machine::memory::keep_pages();
    let cli = Cli::parse();
    match command::run(&cli, &mut std::io::stdout().lock()) {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => {
            output::complain(&error);
            ExitCode::from(error.exit_code())
        }
    }
}
