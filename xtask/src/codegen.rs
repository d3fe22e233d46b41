//! `cargo xtask codegen`: files that are generated, checked in and compared.

use std::process::{Command, ExitCode};

use clap::Args;
use xtask::process::{TaskError, describe};

use crate::test::root;

#[derive(Args)]
pub struct Arguments {
    /// Writes nothing; fails where a checked-in file differs from the generated one.
    #[arg(long)]
    check: bool,
}

/// A package of its own knows the contract: what it needs is not compiled with the program.
pub fn run(arguments: &Arguments) -> Result<ExitCode, TaskError> {
    let mut generator = Command::new("cargo");
    generator.args(["run", "--quiet", "--package", "codegen", "--", "--root"]).arg(root());
    if arguments.check {
        generator.arg("--check");
    }
    let status = generator.current_dir(root()).status();
    let status = status.map_err(|source| TaskError::Start { program: describe(&generator), source })?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
