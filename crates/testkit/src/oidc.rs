//! A real OpenID Connect provider, and what tests have it do.

use serde_json::Value;
use xtask::servers::{OidcOptions, OidcProvider};

/// A provider of its own, with the clients `nurse-1` and `nurse-2`.
pub struct Oidc {
    /// The server: to be ended and started again.
    pub server: OidcProvider,
    /// For whom its tokens are meant.
    pub audience: String,
    http: reqwest::Client,
}

/// A provider whose keys may be kept for `max_age` seconds; with a certificate and its key it is asked by TLS.
///
/// # Panics
/// Where it does not start.
pub async fn oidc(max_age: Option<u64>, tls: Option<(String, String)>) -> Oidc {
    let audience = "anamnesis".to_owned();
    let clients = vec!["nurse-1".to_owned(), "nurse-2".to_owned()];
    let options = OidcOptions { audience: audience.clone(), clients, max_age, tls };
    let started = tokio::task::spawn_blocking(move || OidcProvider::start(options)).await;
    let server = started.expect("the start does not panic").expect("oidc-provider starts");
    // TLS has one provider in a process; whoever was first has installed it.
    drop(rustls::crypto::ring::default_provider().install_default());
    Oidc { server, audience, http: reqwest::Client::new() }
}

impl Oidc {
    /// A token of `client`'s, signed by `RS256`, `ES256` or `EdDSA`.
    ///
    /// # Panics
    /// Where it is not given.
    pub async fn token(&self, client: &str, algorithm: &str) -> String {
        let form = format!(
            "grant_type=client_credentials&scope=anamnesis&client_id={client}&client_secret=secret+of+{client}\
             &resource=urn:test:{algorithm}"
        );
        let request = self.http.post(format!("{}/token", self.server.admin_url())).body(form);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer: Value = request.send().await.expect("the provider answers").json().await.expect("JSON");
        let token = answer["access_token"].as_str();
        token.unwrap_or_else(|| panic!("no token: {answer}")).to_owned()
    }

    /// Gives it new keys; it goes on publishing those before, or takes them back.
    ///
    /// # Panics
    /// Where it does not answer.
    pub async fn rotate(&self, keep: bool) {
        let url = format!("{}/admin/rotate?keep={keep}", self.server.admin_url());
        let answer = self.http.post(url).send().await.expect("the provider answers");
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// How often its keys were looked up since it was started.
    ///
    /// # Panics
    /// Where it does not answer.
    pub async fn looked_up(&self) -> u64 {
        let url = format!("{}/admin/looked-up", self.server.admin_url());
        let answer = self.http.get(url).send().await.expect("the provider answers");
        answer.text().await.expect("text").parse().expect("a number")
    }
}
