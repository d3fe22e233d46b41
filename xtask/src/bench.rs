//! `cargo xtask bench`: figures beside a limit or a peer, in one run.

use std::process::{Command, ExitCode};

use clap::Args;
use xtask::install::apt_install;
use xtask::process::{TaskError, describe, which};

use crate::test::root;

#[derive(Args)]
pub struct Arguments {
    /// Leaves out the figures that stand beside a peer, whose build takes minutes.
    #[arg(long)]
    no_peers: bool,
    /// A short form: three rounds of two seconds each.
    #[arg(long)]
    short: bool,
    /// Passed on: names of figures, `--json <file>`; `--help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Builds what is measured, and measures.
pub fn run(arguments: &Arguments) -> Result<ExitCode, TaskError> {
    let target = root().join("target");
    build(&["--package", "anamnesis", "--package", "bench"])?;
    let mut bench = Command::new(target.join("release").join("bench"));
    bench.current_dir(root()).arg("--anamnesis").arg(target.join("release").join("anamnesis"));
    if arguments.short {
        bench.arg("--short");
    }
    if !arguments.no_peers {
        // One of the peers compiles protocol buffers.
        if which("protoc").is_none() {
            apt_install(&["protobuf-compiler"])?;
        }
        let folder = target.join("peers").to_string_lossy().into_owned();
        build(&["--manifest-path", "bench/peers/Cargo.toml", "--target-dir", &folder])?;
        bench.arg("--peers").arg(target.join("peers").join("release").join("peers"));
    }
    bench.args(&arguments.rest);
    let status = bench.status().map_err(|source| TaskError::Start { program: describe(&bench), source })?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn build(arguments: &[&str]) -> Result<(), TaskError> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--locked"]).args(arguments).current_dir(root());
    let status = cargo.status().map_err(|source| TaskError::Start { program: describe(&cargo), source })?;
    if status.success() {
        return Ok(());
    }
    Err(TaskError::Failed { command: describe(&cargo), status: status.to_string(), output: String::new() })
}
