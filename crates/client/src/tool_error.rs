//! Why an operator's tool could not go on.

use std::io;
use std::path::PathBuf;

use crate::ClientError;

/// Why an operator's tool could not go on.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The server could not be asked, or would not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A file or folder cannot be used.
    #[error("{path} cannot be {action}")]
    File {
        /// Which one.
        path: PathBuf,
        /// What was to be done with it, such as `read`.
        action: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// What was given cannot be worked with.
    #[error("{0}")]
    Input(String),
    /// The answer could not be printed.
    #[error("the output could not be written")]
    Output(#[from] io::Error),
}

impl ToolError {
    /// Says of an I/O error which file it is about.
    pub fn file(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| ToolError::File { path, action, source }
    }
}
