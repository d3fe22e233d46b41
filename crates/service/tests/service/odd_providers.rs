//! What answers in an issuer's place and is none: nobody gets in.

use std::time::Duration;

use service::identity::{IdentityError, Verifier};
use testkit::oidc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::identity::{issuer, settings};

/// A server that answers each request as `answer` says, and where it is.
async fn server(answer: impl Fn(&str, &str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let own = url.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4_096];
            let length = stream.read(&mut request).await.unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default();
            // Who asks may have gone when it has read enough.
            drop(stream.write_all(answer(&own, path).as_bytes()).await);
        }
    });
    url
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn configuration(issuer: &str, jwks: &str) -> String {
    ok(&format!(r#"{{"issuer":"{issuer}","jwks_uri":"{jwks}"}}"#))
}

/// A token of a real provider's with this issuer instead: only its key could refuse it.
fn as_of(token: &str, issuer: &str) -> String {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    let parts: Vec<&str> = token.split('.').collect();
    let claims = BASE64_URL_SAFE_NO_PAD.decode(parts[1]).expect("base64url");
    let mut claims: serde_json::Value = serde_json::from_slice(&claims).expect("JSON");
    claims["iss"] = issuer.into();
    format!("{}.{}.{}", parts[0], BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()), parts[2])
}

async fn told(url: &str, token: &str) -> Result<String, IdentityError> {
    let verifier = Verifier::new(None, &settings(vec![issuer(url, "anamnesis")])).expect("good settings");
    verifier.verify(&as_of(token, url)).await.map(|identity| identity.subject)
}

#[tokio::test]
async fn what_is_no_issuer_lets_nobody_in() {
    let provider = oidc(None, None).await;
    let token = provider.token("nurse-1", "ES256").await;
    let real = provider.server.issuer();
    // The same server in the middle that does it right: it is its keys that count then.
    let keys = format!("{real}/jwks");
    let right = server(move |own, _| configuration(own, &keys)).await;
    assert_eq!(told(&right, &token).await, Err(IdentityError::BadSignature));

    let keys = format!("{real}/jwks");
    let anothers = server(move |_, _| configuration("http://127.0.0.1:1", &keys)).await;
    let keys = format!("{real}/jwks");
    let with_slash = server(move |own, _| configuration(&format!("{own}/"), &keys)).await;
    let place = format!("{real}/.well-known/openid-configuration");
    let elsewhere =
        server(move |_, _| format!("HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n")).await;
    let keys_elsewhere = server(|own, _| configuration(own, "http://idp.example.org/jwks")).await;
    let keys_in_a_file = server(|own, _| configuration(own, "file:///etc/passwd")).await;
    let no_keys =
        server(|own, path| if path == "/k" { ok("{}") } else { configuration(own, &format!("{own}/k")) }).await;
    let twice = server(|own, _| ok(&format!(r#"{{"issuer":"x","issuer":"{own}","jwks_uri":"{own}"}}"#))).await;
    let page = server(|_, _| ok("<html>")).await;
    let large = server(|_, _| ok(&" ".repeat(1_000_000))).await;
    let endless = server(|_, _| {
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFF\r\n{}", " ".repeat(1_000_000))
    })
    .await;
    let cut_off = server(|_, _| "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}".to_owned()).await;
    let no_http = server(|_, _| "SSH-2.0-OpenSSH_9.2\r\n".to_owned()).await;
    for (what, url) in [
        ("another's name", anothers),
        ("a slash", with_slash),
        ("a redirection", elsewhere),
        ("keys without TLS", keys_elsewhere),
        ("keys in a file", keys_in_a_file),
        ("no keys", no_keys),
        ("a name twice", twice),
        ("a page", page),
        ("too large", large),
        ("endless", endless),
        ("cut off", cut_off),
        ("no HTTP", no_http),
    ] {
        let told = told(&url, &token).await;
        assert!(matches!(told, Err(IdentityError::Unavailable { .. })), "{what}: {told:?}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for() {
    let provider = oidc(None, None).await;
    let token = provider.token("nurse-1", "ES256").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let waited = tokio::time::timeout(Duration::from_secs(20), told(&url, &token)).await.expect("it gives up");
    assert!(matches!(waited, Err(IdentityError::Unavailable { .. })), "{waited:?}");
}

#[test]
fn others_than_this_machine_are_not_asked_without_tls() {
    let plain = issuer("http://idp.example.org", "anamnesis");
    assert!(Verifier::new(None, &settings(vec![plain.clone()])).is_err());
    let waived = service::settings::OidcIssuer { plain: true, ..plain };
    assert!(Verifier::new(None, &settings(vec![waived])).is_ok());
    for url in ["https://idp.example.org/?x=1", "https://idp.example.org/#x", "https://u:p@idp.example.org", "idp"] {
        assert!(Verifier::new(None, &settings(vec![issuer(url, "anamnesis")])).is_err(), "{url}");
    }
}
