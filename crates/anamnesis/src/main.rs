//! `anamnesis`: the whole system in one process, each role by itself, and the operator's commands.

mod account;
mod admin;
mod administrator;
mod banner;
mod build;
mod check_history;
mod check_readings;
mod checks;
mod classes;
mod cli;
mod clock;
mod disclosures;
mod documents;
mod embedded;
mod examples;
mod gateway;
mod gauges;
mod incidents;
mod interfaces;
mod key;
mod listeners;
mod loss;
mod master;
mod messaging;
mod nats;
mod output;
mod publishing;
mod ready;
mod recover;
mod replay;
mod roles;
mod serve;
mod token;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use rustix::fs::Mode;
use service::settings::{check_command_line, check_environment, with_file};

use cli::Cli;

/// A fifth of the time went into the system's allocator (docs/performance.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Err(error) = check_environment(&Cli::command()) {
        return fail(&error);
    }
    let arguments = with_command(std::env::args_os().collect());
    if let Err(error) = check_command_line(&arguments, &Cli::command()) {
        return fail(&error);
    }
    let arguments = match with_file(arguments, &Cli::command()) {
        Ok(arguments) => arguments,
        Err(error) => return fail(&error),
    };
    // Health data: whatever is written belongs to this account alone.
    rustix::process::umask(Mode::from_raw_mode(0o077));
    let matches = Cli::command().get_matches_from(arguments);
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(cli.run()),
        Err(error) => return fail(&error),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => fail(&*error),
    }
}

/// Without a command the whole system is served.
fn with_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let first = arguments.get(1).and_then(|argument| argument.to_str());
    let about_the_program = ["-h", "--help", "-V", "--version"];
    // clap's own `help` does not know that it is a command like any other.
    if first == Some("help") && arguments.get(2).is_some_and(|second| second == "--help" || second == "-h") {
        return vec![arguments.swap_remove(0), "--help".into()];
    }
    let serves = first.is_none_or(|first| first.starts_with('-') && !about_the_program.contains(&first));
    if serves {
        arguments.insert(1.min(arguments.len()), "serve".into());
    }
    arguments
}

/// Tells the error with its causes.
fn fail(error: &dyn std::error::Error) -> ExitCode {
    let mut told = error.to_string();
    eprintln!("error: {told}");
    let mut cause = error.source();
    while let Some(error) = cause {
        // Some libraries tell the cause in their own text, too.
        let text = error.to_string();
        if !told.contains(&text) {
            eprintln!("  because: {text}");
            told = text;
        }
        cause = error.source();
    }
    ExitCode::from(2)
}
