//! TLS of the server: a certificate and its key from files, read again when they change.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether the files have changed: who renews certificates need not tell.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// What is spoken inside (ALPN), the first that the client knows, too.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of the certificates cannot be used.
    #[error("the certificates in {0} cannot be read")]
    Certificates(PathBuf, #[source] PemError),
    /// There are none.
    #[error("{0} holds no certificate in PEM form")]
    NoCertificate(PathBuf),
    /// The file of the key cannot be used.
    #[error("the key in {0} cannot be read")]
    Key(PathBuf, #[source] PemError),
    /// The key is of another certificate, or of a kind that is not known.
    #[error("the key in {key} does not fit the certificate in {certificate}")]
    Pair {
        /// The file of the certificates.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// The cause.
        #[source]
        source: rustls::Error,
    },
    /// No protocol is left.
    #[error("TLS cannot be set up")]
    Protocols(#[source] rustls::Error),
}

/// TLS with the certificate of two files.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    files: Arc<Files>,
    current: Arc<Current>,
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// What new connections are shown.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Tls {
    /// Reads a certificate, followed by those between it and its authority, and its key: PEM files. TLS 1.2 and 1.3.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let files = Files { certificate: certificate.to_owned(), key: key.to_owned() };
        let current = Arc::new(Current(RwLock::new(Arc::new(files.read()?))));
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(TlsError::Protocols)?.with_no_client_auth();
        let mut config = config.with_cert_resolver(current.clone());
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), files: Arc::new(files), current })
    }

    /// The certificate of the files as they are now is shown from the next connection on; where they cannot be used
    /// the one before stays.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn reload(&self) -> Result<(), TlsError> {
        let read = Arc::new(self.files.read()?);
        *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    /// Reads the files again when they change and when the process is sent SIGHUP, until asked to stop.
    pub async fn keep_current(self, shutdown: CancellationToken) {
        let mut hangup = match signal(SignalKind::hangup()) {
            Ok(hangup) => hangup,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "SIGHUP cannot be listened to");
                shutdown.cancelled().await;
                return;
            }
        };
        let mut seen = self.files.changed();
        loop {
            let is_asked = tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => false,
                _ = hangup.recv() => true,
            };
            let changed = self.files.changed();
            if !is_asked && changed == seen {
                continue;
            }
            match self.reload() {
                Ok(()) => {
                    seen = changed;
                    tracing::info!("the certificate was read again");
                }
                // Half-written, perhaps: it is tried again at the next look.
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the certificate cannot be read again; the one before stays"
                ),
            }
        }
    }

    /// Answers a client's greeting.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(stream).await
    }
}

impl Files {
    fn read(&self) -> Result<CertifiedKey, TlsError> {
        let Files { certificate, key } = self;
        let unreadable = |source| TlsError::Certificates(certificate.clone(), source);
        let chain = CertificateDer::pem_file_iter(certificate).map_err(unreadable)?;
        let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(unreadable)?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate(certificate.clone()));
        }
        let secret = PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::Key(key.clone(), source))?;
        CertifiedKey::from_der(chain, secret, &ring::default_provider()).map_err(|source| TlsError::Pair {
            certificate: certificate.clone(),
            key: key.clone(),
            source,
        })
    }

    /// When the files were written, as far as the system tells.
    fn changed(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate, &self.key].map(|file| std::fs::metadata(file).and_then(|file| file.modified()).ok())
    }
}
