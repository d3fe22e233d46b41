//! TLS, spoken by a client that believes one certificate only.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use service::connections::ConnectionLimits;
use service::limits::Limits;
use service::tls::{Tls, TlsError};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::client::{Client, answer, get, status};
use crate::server::{CONNECTIONS, LONG, Server};

const NAME: &str = "trials.example.org";

/// A certificate and its key in files.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("server.crt")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("server.key")
    }

    /// Writes a new pair; gives the certificate.
    fn renew(&self) -> CertificateDer<'static> {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec![NAME.to_owned()]).expect("a certificate");
        std::fs::write(self.certificate(), cert.pem()).expect("it is written");
        std::fs::write(self.key(), signing_key.serialize_pem()).expect("it is written");
        cert.der().clone()
    }

    fn load(&self) -> Result<Tls, TlsError> {
        Tls::load(&self.certificate(), &self.key())
    }
}

/// What the server answers to who believes this certificate; `None` where TLS does not come about.
async fn ask(server: &Server, believed: &CertificateDer<'static>, request: &str) -> Option<String> {
    let mut roots = RootCertStore::empty();
    roots.add(believed.clone()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config.expect("protocols").with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = TcpStream::connect(server.address).await.expect("a connection");
    let name = ServerName::try_from(NAME).expect("a name");
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
    let request = request.replace("Host: x", "Host: x\r\nConnection: close");
    stream.write_all(request.as_bytes()).await.expect("it is sent");
    let mut told = String::new();
    stream.read_to_string(&mut told).await.expect("an answer, ended as TLS ends");
    Some(told)
}

#[tokio::test]
async fn clients_who_believe_the_certificate_are_answered_and_no_plain_text_is() {
    let files = Files::new();
    let certificate = files.renew();
    let tls = files.load().expect("a pair");
    let server = Server::start_with(CONNECTIONS, Limits::new(1024, LONG, 10), Some(tls)).await;
    let told = ask(&server, &certificate, &server.post(0)).await.expect("TLS");
    assert_eq!(status(&told), "200", "{told}");
    assert!(told.contains("strict-transport-security: max-age=31536000\r\n"), "{told}");
    let other = Files::new().renew();
    assert!(ask(&server, &other, &get("/healthz")).await.is_none(), "the certificate is of nobody who is believed");
    assert!(!answer(server.address, &get("/healthz")).await.contains("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_and_half_of_one_is_not() {
    let files = Files::new();
    let first = files.renew();
    let tls = files.load().expect("a pair");
    let server = Server::start_with(CONNECTIONS, Limits::new(1024, LONG, 10), Some(tls.clone())).await;
    let key = std::fs::read(files.key()).expect("a key");
    let second = files.renew();
    let new_key = std::fs::read(files.key()).expect("a key");
    std::fs::write(files.key(), key).expect("it is written");
    assert!(matches!(tls.reload(), Err(TlsError::Pair { .. })), "the key is of the first certificate");
    assert!(ask(&server, &first, &get("/healthz")).await.is_some());
    std::fs::write(files.key(), new_key).expect("it is written");
    tls.reload().expect("a pair");
    assert!(ask(&server, &second, &get("/healthz")).await.is_some());
    assert!(ask(&server, &first, &get("/healthz")).await.is_none());
}

#[tokio::test]
async fn who_says_nothing_is_closed_within_the_bound() {
    let files = Files::new();
    files.renew();
    let bounded = ConnectionLimits { header_time_max: Duration::from_millis(200), ..CONNECTIONS };
    let tls = files.load().expect("a pair");
    let server = Server::start_with(bounded, Limits::new(1024, LONG, 10), Some(tls)).await;
    // Nothing, and the beginning of a greeting.
    for sent in ["", "\u{16}\u{3}\u{1}"] {
        assert_eq!(Client::send(server.address, sent).await.rest().await, "");
    }
}

#[test]
fn files_that_hold_no_certificate_or_no_key_are_told_by_name() {
    let files = Files::new();
    files.renew();
    std::fs::write(files.certificate(), "").expect("it is written");
    let Err(error) = files.load() else { panic!("there is no certificate") };
    assert!(matches!(error, TlsError::NoCertificate(_)) && error.to_string().contains("server.crt"), "{error}");
    files.renew();
    std::fs::write(files.key(), "nothing").expect("it is written");
    let Err(error) = files.load() else { panic!("there is no key") };
    assert!(matches!(error, TlsError::Key(..)) && error.to_string().contains("server.key"), "{error}");
}
