//! Running other programs, with errors that say which one and why.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// What can go wrong with a server or a program.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// A file or folder could not be used.
    #[error("{what}: {path}")]
    File {
        /// What was being done.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A program could not be started.
    #[error("`{program}` could not be started")]
    Start {
        /// The program.
        program: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A program ended with an error.
    #[error("`{command}` failed with {status}\n{output}")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: String,
        /// What it printed.
        output: String,
    },
    /// A program that is needed is not there and could not be installed.
    #[error("{program} was not found: {hint}")]
    Missing {
        /// The program.
        program: &'static str,
        /// How to get it.
        hint: String,
    },
    /// A server did not come up.
    #[error("{server} did not answer within {seconds} s; its log says:\n{log}")]
    NotReady {
        /// The server.
        server: &'static str,
        /// How long was waited.
        seconds: u64,
        /// The end of its log.
        log: String,
    },
}

impl TaskError {
    /// Wraps a file error with what was being done.
    pub fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> TaskError {
        let path = path.into();
        move |source| TaskError::File { what, path, source }
    }
}

/// Runs a program to its end and gives what it printed.
///
/// # Errors
/// Where it cannot be started or ends with an error.
pub fn output(command: &mut Command) -> Result<String, TaskError> {
    // PostgreSQL refuses to start in a folder that its user may not enter.
    let result = command.stdin(Stdio::null()).output();
    let Output { status, stdout, stderr } =
        result.map_err(|source| TaskError::Start { program: describe(command), source })?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    let printed = [stdout, stderr].concat();
    Err(TaskError::Failed {
        command: describe(command),
        status: status.to_string(),
        output: String::from_utf8_lossy(&printed).into_owned(),
    })
}

/// The command line as one would type it.
pub fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Finds a program on PATH.
pub fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Whether this process may do everything.
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0)
}
