//! Why an operator's command could not go on.

use std::io;
use std::path::PathBuf;

use crate::client::ClientError;

/// Why an operator's command could not go on.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
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
    /// The key that signs tokens cannot be used.
    #[error(transparent)]
    Key(#[from] service::auth::KeyError),
    /// A token could not be signed.
    #[error("the token could not be signed")]
    Signing(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer could not be printed.
    #[error("the output could not be written")]
    Output(#[from] io::Error),
}

impl CliError {
    /// Says of an I/O error which file it is about.
    pub fn file(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| CliError::File { path, action, source }
    }
}
