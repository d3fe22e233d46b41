//! TLS of the server.

use std::path::PathBuf;

use clap::Args;

use crate::tls::{Tls, TlsError};

/// The certificate that clients are shown. Without it the server speaks plain HTTP, for a proxy in front of it.
#[derive(Clone, Debug, Args)]
pub struct TlsSettings {
    /// PEM file of the server's certificate, followed by those between it and its authority: HTTPS, and nothing else.
    /// Read again when it changes and on SIGHUP.
    #[arg(long, env = "ANAMNESIS_TLS_CERT", requires = "tls_key", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file of the certificate's key.
    #[arg(long, env = "ANAMNESIS_TLS_KEY", requires = "tls_cert", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
}

impl TlsSettings {
    /// Whether clients speak HTTPS.
    pub const fn is_on(&self) -> bool {
        self.tls_cert.is_some()
    }

    /// TLS, where it is asked for.
    ///
    /// # Errors
    /// Where the files cannot be used.
    pub fn load(&self) -> Result<Option<Tls>, TlsError> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Tls::load(certificate, key).map(Some),
            _ => Ok(None),
        }
    }
}
