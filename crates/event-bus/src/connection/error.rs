//! Why NATS cannot be connected to.

use std::io;
use std::path::PathBuf;

/// A setting that cannot be used, or a server that cannot be connected to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// An address cannot be used. It is named by its place, for it may hold a password.
    #[error("address {number} of --nats-url cannot be used: {why}")]
    Address {
        /// Its place in the list, from 1.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
    /// Two settings that cannot both be given.
    #[error("{first} and {second} cannot both be given")]
    Both {
        /// One of them.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// A setting that needs another.
    #[error("{given} needs {missing}")]
    Missing {
        /// What was given.
        given: &'static str,
        /// What was not.
        missing: &'static str,
    },
    /// A setting that cannot be used.
    #[error("{setting} cannot be used: {why}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file cannot be read.
    #[error("the file {path} of {setting} cannot be read")]
    File {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("the file of {setting} holds no {what}")]
    Content {
        /// The setting that names it.
        setting: &'static str,
        /// What it should hold.
        what: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server does not let us in.
    #[error("NATS refuses these credentials")]
    Refused(#[source] async_nats::ConnectError),
    /// The server's certificate or ours is not accepted.
    #[error("no TLS connection to NATS can be made")]
    Tls(#[source] async_nats::ConnectError),
    /// No server answers.
    #[error("no NATS server answers")]
    Away(#[source] async_nats::ConnectError),
}
