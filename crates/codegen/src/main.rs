//! Writes the files that are generated from declarations, or compares them (`cargo xtask codegen`).
//!
//! The program reads what is checked in. So only this tool compiles schemas of types, and what
//! blinded roles do not receive stands in the source tree for everybody to read.

mod commands;
mod contract;
mod declared;
mod document;
mod examples;
mod files;
mod golden;
mod outside;
mod parameters;
mod queries;
mod responses;
mod roles;
mod rpc;
mod tidy;
mod uploads;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Writes the generated files of the source tree.
#[derive(Parser)]
struct Arguments {
    /// The source tree.
    #[arg(long)]
    root: PathBuf,
    /// Writes nothing; fails where a file differs.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let Arguments { root, check } = Arguments::parse();
    let mut outcome = ExitCode::SUCCESS;
    let stale = match files::stale(&root) {
        Ok(stale) => stale,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            eprintln!("error: {error}: {cause}");
            return ExitCode::FAILURE;
        }
    };
    for (path, text) in stale {
        if check {
            eprintln!("{} is not what is generated: run `cargo xtask codegen`", path.display());
            outcome = ExitCode::FAILURE;
            continue;
        }
        match files::write(&path, &text) {
            Ok(()) => eprintln!("wrote {}", path.display()),
            Err(error) => {
                eprintln!("error: {} cannot be written: {error}", path.display());
                outcome = ExitCode::FAILURE;
            }
        }
    }
    outcome
}
