//! NATS by TLS, as the shipped configuration has it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;
use testkit::eventually;

use crate::asyncapi::head;
use crate::system::{System, run, text};

const CONFIGURATION: &str = include_str!("../../../../deploy/nats/anamnesis.conf");
const PATIENCE: Duration = Duration::from_secs(60);

/// An authority, and a server's certificate from it: the authority's file.
fn certificates(folder: &Path) -> PathBuf {
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    for (name, text) in
        [("ca.pem", authority.pem()), ("server.pem", certificate.pem()), ("server.key", key.serialize_pem())]
    {
        std::fs::write(folder.join(name), text).expect("a file");
    }
    folder.join("ca.pem")
}

/// The line of the configuration that turns TLS on, with files of this folder.
fn shipped_tls(folder: &Path) -> String {
    let line = CONFIGURATION.lines().find_map(|line| line.strip_prefix("# ").filter(|line| line.starts_with("tls {")));
    format!("{}\n", line.expect("the line that turns TLS on").replace("/etc/nats", &folder.display().to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_said_to_nats_in_the_clear_or_to_whoever_cannot_prove_who_it_is() {
    let (folder, others) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    let (authority, other) = (certificates(folder.path()), certificates(others.path()));
    let [authority, other] = [authority, other].map(|file| file.to_string_lossy().into_owned());
    let nats = testkit::nats_with(&shipped_tls(folder.path())).await;
    let url = nats.url().replace("nats://", "tls://");
    // Another authority; the system's, which know nothing of ours.
    let data = folder.path().join("refused").to_string_lossy().into_owned();
    for more in [&["--nats-ca", &*other] as &[&str], &[]] {
        let words = [&["serve", "--listen", "127.0.0.1:0", "--data-dir", &data, "--nats-url", &url], more].concat();
        let output = run(&words, folder.path());
        let told = text(&output.stderr);
        assert!(output.status.code() == Some(2) && told.contains("no TLS connection to NATS"), "{more:?}: {told}");
    }
    let system = System::embedded_with(&["--nats-url", &url, "--nats-ca", &authority]).await;
    let end = head(&system.api).await;
    let relayed = async || {
        let metric = system.processes[0].metric("anamnesis_relay_published_total").await;
        metric.is_some_and(|published| published >= end as f64)
    };
    eventually("it is published", PATIENCE, relayed).await;
}
