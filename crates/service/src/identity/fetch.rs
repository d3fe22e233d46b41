//! Small documents over HTTP: bounded in size and time, without redirections, by TLS unless that is waived.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Greatest size of a document.
const DOCUMENT_BYTES_MAX: usize = 262_144;
/// How long a document may take, from connecting to its last byte.
const TIME_MAX: Duration = Duration::from_secs(5);

/// Why a document could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address cannot be asked.
    #[error("`{0}` is not an address as it must be: https, or http to this machine; without user, query and fragment")]
    Address(String),
    /// Nobody answers.
    #[error("no connection to `{0}`")]
    Connection(String, #[source] io::Error),
    /// What answers does not speak HTTP.
    #[error("`{0}` does not answer as a web server does")]
    Protocol(String, #[source] hyper::Error),
    /// It took too long.
    #[error("`{0}` did not answer within {limit} s", limit = TIME_MAX.as_secs())]
    Time(String),
    /// Another status than 200, redirections as well.
    #[error("`{0}` answers {1}")]
    Status(String, StatusCode),
    /// It is too large or was cut off.
    #[error("what `{0}` answers is cut off, or larger than {DOCUMENT_BYTES_MAX} bytes")]
    Body(String, #[source] Box<dyn Error + Send + Sync>),
    /// It says something else than it should.
    #[error("what `{0}` answers is not what it must be: {1}")]
    Document(String, &'static str),
    /// It is no set of keys.
    #[error("what `{0}` answers is no set of keys")]
    Keys(String, #[source] super::jwk::KeySetError),
}

/// Authorities could not be read.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    /// The file cannot be read.
    #[error("the authorities' file {0} cannot be read as PEM")]
    File(PathBuf, #[source] rustls::pki_types::pem::Error),
    /// The file has none.
    #[error("the authorities' file {0} has no certificate that can be used")]
    None(PathBuf),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

/// A document.
pub struct Document {
    /// What it says.
    pub body: Bytes,
    /// How long it may be kept, where the server says (`Cache-Control: max-age`).
    pub max_age: Option<Duration>,
}

/// An address that may be asked.
#[derive(Clone, Debug)]
pub struct Address {
    uri: Uri,
    host: String,
    port: u16,
    tls: bool,
}

impl Address {
    /// Reads an address. Without TLS only this machine is asked, unless `plain` waives it.
    ///
    /// # Errors
    /// [`FetchError::Address`].
    pub fn parse(text: &str, plain: bool) -> Result<Self, FetchError> {
        let wrong = || FetchError::Address(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if is_here || plain => false,
            _ => return Err(wrong()),
        };
        // `Uri` passes over a fragment.
        if authority.as_str().contains('@') || host.is_empty() || text.contains('#') {
            return Err(wrong());
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { host, port, tls, uri })
    }

    /// Whether it has a query.
    pub fn has_query(&self) -> bool {
        self.uri.query().is_some()
    }
}

/// Fetches documents.
#[derive(Clone)]
pub struct Fetcher {
    tls: TlsConnector,
}

impl Fetcher {
    /// Trusts the authorities of this PEM file, without one the system's.
    ///
    /// # Errors
    /// [`AuthoritiesError`].
    pub fn new(authorities: Option<&Path>) -> Result<Self, AuthoritiesError> {
        let mut roots = RootCertStore::empty();
        if let Some(file) = authorities {
            let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let certificates = read.map_err(|error| AuthoritiesError::File(file.to_owned(), error))?;
            if roots.add_parsable_certificates(certificates).0 == 0 {
                return Err(AuthoritiesError::None(file.to_owned()));
            }
        } else {
            // A machine without any speaks to nobody by TLS, and says so then.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(AuthoritiesError::Tls)?.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Fetches a document.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn get(&self, address: &Address) -> Result<Document, FetchError> {
        match timeout(TIME_MAX, self.ask(address)).await {
            Ok(answer) => answer,
            Err(_) => Err(FetchError::Time(address.uri.to_string())),
        }
    }

    async fn ask(&self, address: &Address) -> Result<Document, FetchError> {
        let failed = |error| FetchError::Connection(address.uri.to_string(), error);
        let stream = TcpStream::connect((&*address.host, address.port)).await.map_err(failed)?;
        if !address.tls {
            return exchange(stream, address).await;
        }
        let name = ServerName::try_from(address.host.clone());
        let name = name.map_err(|_| FetchError::Address(address.uri.to_string()))?;
        exchange(self.tls.connect(name, stream).await.map_err(failed)?, address).await
    }
}

async fn exchange<S>(stream: S, address: &Address) -> Result<Document, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error| FetchError::Protocol(address.uri.to_string(), error);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let request = Request::get(address.uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(header::HOST, address.uri.authority().map_or("", |authority| authority.as_str()))
        .header(header::ACCEPT, "application/json, application/jwk-set+json")
        .header(header::USER_AGENT, "anamnesis")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchError::Address(address.uri.to_string()))?;
    // The connection works while the answer is awaited, and is dropped with this set.
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    let response = sender.send_request(request).await.map_err(failed)?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(address.uri.to_string(), response.status()));
    }
    let told = response.headers().get(header::CACHE_CONTROL).and_then(|value| value.to_str().ok());
    let max_age = told.and_then(max_age);
    let body = Limited::new(response.into_body(), DOCUMENT_BYTES_MAX).collect().await;
    let body = body.map_err(|error| FetchError::Body(address.uri.to_string(), error))?.to_bytes();
    Ok(Document { body, max_age })
}

/// How long a document may be kept (RFC 9111, 5.2.2).
fn max_age(header: &str) -> Option<Duration> {
    let mut directives = header.split(',').map(str::trim);
    let seconds =
        directives.find_map(|directive| directive.strip_prefix("max-age="))?.trim_matches('"').parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_asked_by_tls_only() {
        let fits = |text: &str| Address::parse(text, false).is_ok();
        for text in ["https://idp.example.org/realms/x", "http://127.0.0.1:1/", "http://[::1]:1", "http://localhost"] {
            assert!(fits(text), "{text}");
        }
        for text in [
            "http://idp.example.org",
            "http://127.0.0.1.example.org",
            "http://localhost.example.org",
            "ftp://127.0.0.1",
            "file:///etc/passwd",
            "https://user@idp.example.org",
            "http://127.0.0.1@idp.example.org",
            "https://idp.example.org/#x",
            "/realms",
            "",
        ] {
            assert!(!fits(text), "{text}");
        }
        assert!(Address::parse("http://idp.example.org", true).is_ok());
    }

    #[test]
    fn a_server_says_how_long_to_keep() {
        assert_eq!(max_age("public, max-age=300"), Some(Duration::from_secs(300)));
        for header in ["no-store", "max-age=x", "max-age=-1", "s-maxage=3"] {
            assert_eq!(max_age(header), None, "{header}");
        }
    }
}
