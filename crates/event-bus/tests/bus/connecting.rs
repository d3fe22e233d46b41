//! How a process comes to NATS: on servers that let only the right ones in.

use std::path::{Path, PathBuf};

use async_nats::Client;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use event_bus::{ConnectionError, NatsOptions, WhileAway, connect};
use nkeys::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::NatsServer;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Connects and asks the server something.
async fn try_connect(options: NatsOptions) -> Result<Client, ConnectionError> {
    let client = connect(&options, WhileAway::Fail).await?;
    client.flush().await.expect("the server answers");
    Ok(client)
}

fn at(url: impl Into<String>) -> NatsOptions {
    NatsOptions { url: url.into(), ..NatsOptions::default() }
}

/// The address of a server with somebody before its host.
fn somebody(nats: &NatsServer, who: &str) -> String {
    nats.url().replace("nats://", &format!("nats://{who}@"))
}

fn write(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let file = folder.path().join(name);
    std::fs::write(&file, text).expect("a file");
    file
}

#[tokio::test]
async fn with_user_and_password() {
    let nats = testkit::nats_with("authorization { user: trial, password: \"s:e/c\" }\n").await;
    let url = nats.url();
    let given = NatsOptions { user: Some("trial".to_owned()), password: Some("s:e/c".to_owned()), ..at(url.as_str()) };
    try_connect(given).await.expect("by settings");
    try_connect(at(somebody(&nats, "trial:s%3Ae%2Fc"))).await.expect("in the address");
    let refused = try_connect(at(somebody(&nats, "trial:wrong"))).await;
    assert!(matches!(refused, Err(ConnectionError::Refused(_))), "{refused:?}");
    let options = at(url.as_str());
    let refused = connect(&options, WhileAway::Retry).await;
    assert!(matches!(refused, Err(ConnectionError::Refused(_))), "a server that starts hears it as well: {refused:?}");
}

#[tokio::test]
async fn with_a_token() {
    let nats = testkit::nats_with("authorization { token: \"t0k3n\" }\n").await;
    try_connect(NatsOptions { token: Some("t0k3n".to_owned()), ..at(nats.url()) }).await.expect("by settings");
    try_connect(at(somebody(&nats, "t0k3n"))).await.expect("in the address");
    let refused = try_connect(NatsOptions { token: Some("other".to_owned()), ..at(nats.url()) }).await;
    assert!(matches!(refused, Err(ConnectionError::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn with_an_nkey() {
    let (pair, folder) = (KeyPair::new_user(), TempDir::new().expect("a folder"));
    let users = format!("authorization {{ users: [ {{ nkey: {} }} ] }}\n", pair.public_key());
    let nats = testkit::nats_with(&users).await;
    let seed =
        format!("-----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n", pair.seed().expect("a seed"));
    let file = write(&folder, "user.nk", &seed);
    try_connect(NatsOptions { nkey_file: Some(file), ..at(nats.url()) }).await.expect("the right one");
    let seed = Some(pair.seed().expect("a seed"));
    try_connect(NatsOptions { nkey: seed, ..at(nats.url()) }).await.expect("the right one, as it is");
    let file = write(&folder, "other.nk", &KeyPair::new_user().seed().expect("a seed"));
    let refused = try_connect(NatsOptions { nkey_file: Some(file), ..at(nats.url()) }).await;
    assert!(matches!(refused, Err(ConnectionError::Refused(_))), "{refused:?}");
}

/// A token of NATS's decentralised authentication.
fn jwt(issuer: &KeyPair, subject: &KeyPair, nats: Value) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({
        "jti": subject.public_key(), "iat": 1_700_000_000, "iss": issuer.public_key(),
        "sub": subject.public_key(), "name": "test", "nats": nats,
    });
    let signed = format!("{}.{}", part(json!({"typ": "JWT", "alg": "ed25519-nkey"})), part(claims));
    let signature = issuer.sign(signed.as_bytes()).expect("a signature");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn with_a_credentials_file() {
    let folder = TempDir::new().expect("a folder");
    let (operator, account, user) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_user());
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
    });
    let of_operator = jwt(&operator, &operator, json!({"type": "operator", "version": 2}));
    let system = KeyPair::new_account();
    let of_system = jwt(&operator, &system, json!({"type": "account", "version": 2, "limits": limits}));
    let of_account = jwt(&operator, &account, json!({"type": "account", "version": 2, "limits": limits}));
    let of_user = jwt(&account, &user, json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1}));
    let file = write(&folder, "operator.jwt", &of_operator);
    let further = format!(
        "operator: \"{}\"\nsystem_account: {system}\nresolver: MEMORY\n\
         resolver_preload: {{ {account}: {of_account}, {system}: {of_system} }}\n",
        file.display(),
        account = account.public_key(),
        system = system.public_key(),
    );
    let nats = testkit::nats_with(&further).await;
    let creds = |seed: &str| {
        format!(
            "-----BEGIN NATS USER JWT-----\n{of_user}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    };
    let file = write(&folder, "user.creds", &creds(&user.seed().expect("a seed")));
    try_connect(NatsOptions { creds_file: Some(file), ..at(nats.url()) }).await.expect("the right ones");
    let file = write(&folder, "other.creds", &creds(&KeyPair::new_user().seed().expect("a seed")));
    let refused = try_connect(NatsOptions { creds_file: Some(file), ..at(nats.url()) }).await;
    assert!(matches!(refused, Err(ConnectionError::Refused(_))), "{refused:?}");
}

/// An authority, with a server's and a client's certificate from it, as files.
struct Authority {
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = rcgen::KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
        write(&folder, "ca.pem", &authority.pem());
        for (name, usage) in
            [("server", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)]
        {
            let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
            params.extended_key_usages = vec![usage];
            let key = rcgen::KeyPair::generate().expect("a key");
            let certificate = params.signed_by(&key, &authority).expect("a certificate");
            write(&folder, &format!("{name}.pem"), &certificate.pem());
            write(&folder, &format!("{name}-key.pem"), &key.serialize_pem());
        }
        Self { folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn server(&self, further: &str) -> NatsServer {
        let path = |name: &str| self.file(name).display().to_string();
        let (certificate, key, authority) = (path("server.pem"), path("server-key.pem"), path("ca.pem"));
        let tls = format!(
            "tls {{ cert_file: \"{certificate}\", key_file: \"{key}\", ca_file: \"{authority}\" {further} }}\n"
        );
        testkit::nats_with(&tls).await
    }
}

#[tokio::test]
async fn with_tls_and_a_certificate_of_ours() {
    let (authority, other) = (Authority::new(), Authority::new());
    let nats = authority.server(", verify: true").await;
    let with = |ca: PathBuf, certificate: Option<&Authority>| NatsOptions {
        ca_file: Some(ca),
        cert_file: certificate.map(|authority| authority.file("client.pem")),
        key_file: certificate.map(|authority| authority.file("client-key.pem")),
        ..at(nats.url())
    };
    try_connect(with(authority.file("ca.pem"), Some(&authority))).await.expect("both know each other");
    let unknown = try_connect(with(other.file("ca.pem"), Some(&authority))).await;
    assert!(unknown.is_err(), "a server of another authority");
    let nobody = try_connect(with(authority.file("ca.pem"), None)).await;
    assert!(nobody.is_err(), "without a certificate");
    let stranger = try_connect(with(authority.file("ca.pem"), Some(&other))).await;
    assert!(stranger.is_err(), "with one of another authority");
}

#[tokio::test]
async fn without_tls_nothing_is_said_where_it_is_required() {
    let (authority, nats) = (Authority::new(), testkit::nats().await);
    try_connect(at(nats.url())).await.expect("in the clear");
    let required = [
        NatsOptions { require_tls: true, ..at(nats.url()) },
        NatsOptions { ca_file: Some(authority.file("ca.pem")), ..at(nats.url()) },
        at(nats.url().replace("nats://", "tls://")),
    ];
    for options in required {
        assert!(try_connect(options).await.is_err());
    }
}

/// By the authority alone, where the server asks for no certificate of ours.
#[tokio::test]
async fn with_tls_and_the_servers_authority() {
    let (authority, other) = (Authority::new(), Authority::new());
    let nats = authority.server("").await;
    let with = |ca: PathBuf, url: String| NatsOptions { ca_file: Some(ca), ..at(url) };
    try_connect(with(authority.file("ca.pem"), nats.url())).await.expect("it is the authority's");
    let wrong = try_connect(with(other.file("ca.pem"), nats.url())).await;
    assert!(matches!(wrong, Err(ConnectionError::Tls(_))), "{wrong:?}");
    // The certificate is of 127.0.0.1.
    let name = try_connect(with(authority.file("ca.pem"), nats.url().replace("127.0.0.1", "localhost"))).await;
    assert!(matches!(name, Err(ConnectionError::Tls(_))), "{name:?}");
    let unknown = try_connect(at(nats.url())).await;
    assert!(matches!(unknown, Err(ConnectionError::Tls(_))), "the system's authorities do not know it: {unknown:?}");
    let server = connect(&with(other.file("ca.pem"), nats.url()), WhileAway::Retry).await.map(drop);
    assert!(matches!(server, Err(ConnectionError::Tls(_))), "a process that starts hears it as well: {server:?}");
}

/// What goes over the wire: who says anything in the clear is shut out.
#[tokio::test]
async fn a_server_with_tls_takes_nothing_in_the_clear() {
    let nats = Authority::new().server("").await;
    let address = nats.url().replace("nats://", "");
    let mut plain = BufReader::new(TcpStream::connect(address).await.expect("it listens"));
    let mut greeting = String::new();
    plain.read_line(&mut greeting).await.expect("a greeting");
    assert!(greeting.starts_with("INFO ") && greeting.contains("\"tls_required\":true"), "{greeting}");
    plain.write_all(b"CONNECT {\"verbose\":false}\r\nPUB anamnesis.x 2\r\n{}\r\nPING\r\n").await.expect("it is sent");
    let mut answer = Vec::new();
    // Whether it says why or just hangs up.
    drop(plain.read_to_end(&mut answer).await);
    assert!(!answer.windows(4).any(|word| word == b"PONG"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn one_of_several_addresses_is_enough() {
    let (mut gone, nats) = (testkit::nats().await, testkit::nats().await);
    gone.kill();
    let list = format!("{}, {}", gone.url(), nats.url());
    for _ in 0..4 {
        try_connect(at(list.as_str())).await.expect("the one that is there");
    }
    let away = try_connect(at(gone.url())).await;
    assert!(matches!(away, Err(ConnectionError::Away(_))), "{away:?}");
    let client = connect(&at(gone.url()), WhileAway::Retry).await.expect("a client that tries on");
    gone.resume().expect("nats-server starts again");
    client.flush().await.expect("it is connected");
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_named() {
    let folder = TempDir::new().expect("a folder");
    let rubbish = write(&folder, "rubbish", "rubbish");
    let missing = || Some(Path::new("/no/such/file").to_owned());
    let here = || at("nats://localhost");
    let text = |text: &str| Some(text.to_owned());
    let cases = [
        (at(""), "address 1 of --nats-url"),
        (at("nats://a,"), "address 2 of --nats-url"),
        (at("nats://a,http://b"), "address 2 of --nats-url cannot be used: invalid scheme"),
        (at("ws://a"), "`ws://`"),
        (at("nats://a?tls=true"), "nothing may follow host and port"),
        (at("nats://a/path"), "nothing may follow host and port"),
        (at("nats://a:port"), "address 1 of --nats-url"),
        (at("nats://:p@a"), "a password and no user"),
        (at("nats://u:p@a,nats://v:p@b"), "address 2 of --nats-url cannot be used: it names another user"),
        (NatsOptions { user: text("u"), ..here() }, "--nats-user needs --nats-password"),
        (NatsOptions { password: text("p"), ..here() }, "--nats-password needs --nats-user"),
        (NatsOptions { token: text(""), ..here() }, "--nats-token cannot be used"),
        (NatsOptions { token: text("t"), ..at("nats://u:p@a") }, "--nats-url and --nats-token"),
        (NatsOptions { password: text("p"), ..at("nats://u:p@a") }, "--nats-url and --nats-password"),
        (NatsOptions { nkey_file: missing(), creds_file: missing(), ..here() }, "--nats-nkey-file and --nats-creds"),
        (NatsOptions { nkey: text("SUx"), ..here() }, "--nats-nkey holds no seed"),
        (NatsOptions { nkey_file: missing(), ..here() }, "the file /no/such/file of --nats-nkey-file"),
        (NatsOptions { nkey_file: Some(rubbish.clone()), ..here() }, "--nats-nkey-file holds no seed"),
        (NatsOptions { creds_file: missing(), ..here() }, "the file /no/such/file of --nats-creds"),
        (NatsOptions { creds_file: Some(rubbish.clone()), ..here() }, "--nats-creds holds no credentials"),
        (NatsOptions { ca_file: missing(), ..here() }, "the file /no/such/file of --nats-ca"),
        (NatsOptions { ca_file: Some(rubbish.clone()), ..here() }, "--nats-ca holds no certificate"),
        (NatsOptions { cert_file: Some(rubbish), ..here() }, "--nats-cert needs --nats-key"),
        (NatsOptions { key_file: missing(), ..here() }, "--nats-key needs --nats-cert"),
    ];
    for (options, said) in cases {
        let error = connect(&options, WhileAway::Retry).await.expect_err(said).to_string();
        assert!(error.contains(said), "{error}, not {said}");
        assert!(!error.contains("u:p"), "no password: {error}");
    }
}
