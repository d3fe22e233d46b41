//! The program, as a command.

use std::path::Path;
use std::process::{Command, Stdio};

pub const BINARY: &str = env!("CARGO_BIN_EXE_anamnesis");

/// The program.
pub fn program(folder: &Path) -> Command {
    clean(Command::new(BINARY), folder)
}

/// A command without settings that whoever runs the tests has for a system of their own.
pub fn clean(mut command: Command, folder: &Path) -> Command {
    command.current_dir(folder).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("ANAMNESIS_")) {
            command.env_remove(name);
        }
    }
    // The next port may be another test's.
    command.env("ANAMNESIS_GRPC_LISTEN", "same");
    command
}

/// Runs an operator's command to its end, with a settings file for all commands.
pub fn run_with_file(file: &Path, arguments: &[&str], folder: &Path) -> std::process::Output {
    program(folder).env("ANAMNESIS_CONFIG", file).args(arguments).output().expect("the binary starts")
}

/// Runs an operator's command to its end.
pub fn run(arguments: &[&str], folder: &Path) -> std::process::Output {
    program(folder).args(arguments).output().expect("the binary starts")
}

/// What a process wrote.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
