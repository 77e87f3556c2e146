//! Arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser as _;
use foghorn_cli::args::Cli;

fn main() -> ExitCode {
    match foghorn_cli::run(Cli::parse()) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.exit().into()
        }
    }
}
