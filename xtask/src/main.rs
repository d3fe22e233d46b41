//! `cargo xtask`: the project's own tasks.

mod bench;
mod codegen;
mod policy;
mod sbom;
mod test;
mod trace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Installs and starts private servers, runs every test, stops the servers.
    Test(test::Arguments),
    /// Runs the tests that show requirements, and prints requirement, test and result (docs/requirements.md).
    Trace,
    /// Starts the test servers and keeps them until Ctrl-C; prints the variables that tests need.
    Servers,
    /// Writes the generated files (OpenAPI, JSON Schemas of events), or compares them.
    Codegen(codegen::Arguments),
    /// Measures figures beside a limit or a peer, and prints one table.
    Bench(bench::Arguments),
    /// Checks format, lints, generated files, licences and advisories.
    Check,
    /// Writes what is in the program (CycloneDX).
    Sbom(sbom::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Test(arguments) => test::run(&arguments),
        Task::Trace => trace::run(),
        Task::Servers => test::serve(),
        Task::Codegen(arguments) => codegen::run(&arguments),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Check => policy::run(),
        Task::Sbom(arguments) => sbom::run(&arguments),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

fn report(error: &dyn std::error::Error) {
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
}
