//! `cargo xtask check`: format, lints, generated files and licences.

use std::process::{Command, ExitCode};

use xtask::process::{TaskError, describe, output};

use crate::test::root;

/// Runs each check and names those that failed.
pub fn run() -> Result<ExitCode, TaskError> {
    let mut failed = Vec::new();
    step(&mut failed, &["fmt", "--all", "--check"])?;
    step(&mut failed, &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])?;
    step(&mut failed, &["xtask", "codegen", "--check"])?;
    if output(Command::new("cargo").args(["deny", "--version"])).is_ok() {
        step(&mut failed, &["deny", "check", "licenses", "bans", "sources"])?;
    } else {
        eprintln!("cargo-deny is not installed: licences were not checked (cargo install cargo-deny)");
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("failed: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

fn step(failed: &mut Vec<String>, arguments: &[&str]) -> Result<(), TaskError> {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(root());
    let status = command.status().map_err(|source| TaskError::Start { program: describe(&command), source })?;
    if !status.success() {
        failed.push(describe(&command));
    }
    Ok(())
}
