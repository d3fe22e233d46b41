//! What a server tells when it has started: where it is, and what to do next. Every command in it works as it is
//! printed, pasted into any shell of any folder.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use client::Invocation;
use client::invocation::{absolute, curl_as_administrator};
use sealing::private_file;
use service::identity::{SigningKeys, Verifier};
use service::listen;
use service::settings::{MasterSource, ServerSettings};
use tokio_util::sync::CancellationToken;

use crate::administrator;
use crate::build::VERSION;
use crate::listeners::Addresses;
use crate::output::line;

/// How long the administrator's token of the embedded engine is good for.
const ADMIN_TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// How often it is looked whether it runs out; a new one is good for far longer.
const ADMIN_TOKEN_LOOK: Duration = Duration::from_secs(3600);

/// The administrator's token of the embedded engine, in a file.
pub struct AdminToken {
    file: PathBuf,
    keys: SigningKeys,
}

impl AdminToken {
    /// In this file, signed by these keys.
    pub const fn new(file: PathBuf, keys: SigningKeys) -> Self {
        Self { file, keys }
    }

    /// Keeps a good token there: the one that is there for as long as it is good for two more looks.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn keep(&self) -> io::Result<()> {
        let kept = std::fs::read_to_string(&self.file).unwrap_or_default();
        let good_until = event_store::clock::now() + 2 * ADMIN_TOKEN_LOOK;
        let identity = Verifier::own(self.keys.clone()).verify(kept.trim()).await;
        if identity.is_ok_and(|identity| identity.expires_at > good_until) {
            return Ok(());
        }
        let token = self.keys.signing().issue(administrator::USERNAME, ADMIN_TOKEN_LIFETIME, None);
        let token = token.map_err(io::Error::other)?;
        // The one that is there runs out, or is of another key.
        if self.file.exists() {
            std::fs::remove_file(&self.file)?;
        }
        private_file::create(&self.file, token.as_bytes())
    }

    /// Keeps it so for as long as the process lives.
    pub async fn renew(self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(ADMIN_TOKEN_LOOK) => {}
            }
            if let Err(error) = self.keep().await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the administrator's token cannot be renewed"
                );
            }
        }
    }
}

/// Tells the reader of the embedded engine where it is and what to do next.
pub fn embedded(settings: &ServerSettings, addresses: &Addresses) {
    let (url, folder) = (listen::url(addresses.http, settings.tls.is_on()), &settings.storage.data_dir);
    let token = absolute(&settings.storage.admin_token_file());
    let call = |words: &[&str]| Invocation::of(words).at(&url).data_dir(folder);
    let simulate = call(&["simulate"]).word("--subjects").word(200).word("--sites").word(5).word("--seed").word(1);
    let curl = curl_as_administrator(folder, &format!("{url}/v1/alerts?open=true"));
    // Where the key is in the environment, another terminal does not have it.
    let issue = match issue(settings, "investigator-701") {
        (issue, None) => format!("\n  {issue}"),
        (_, Some(_)) => String::new(),
    };
    line(&format!(
        "Anamnesis {VERSION} listens on {url}
  interface   {url}/docs  (OpenAPI: {url}/openapi.json; events: {url}/asyncapi.json){grpc}
  data        {data}
  token       {token}  (the administrator's)

Try next, in another terminal:
  {simulate}
  {curl}{issue}

Ctrl-C stops it; everything is kept.",
        grpc = grpc(settings, addresses),
        data = absolute(folder).display(),
        token = token.display(),
    ));
}

/// Where gRPC is spoken, as a line.
fn grpc(settings: &ServerSettings, addresses: &Addresses) -> String {
    let url = addresses.grpc.map(|address| listen::url(address, settings.tls.is_on()));
    url.map(|url| format!("\n  gRPC        {url}")).unwrap_or_default()
}

/// Tells the operator of one of several processes where it is, and how to come by an administrator and a token.
pub fn apart(settings: &ServerSettings, addresses: &Addresses) {
    let (url, (issue, with)) = (listen::url(addresses.http, settings.tls.is_on()), issue(settings, "admin"));
    let administrator = Invocation::of(&["administrator", "admin"]);
    let (administrator, also) = match settings.storage.sealing.master() {
        MasterSource::File(file) => (administrator.word("--master-key-file").word(absolute(file).display()), ""),
        MasterSource::DefaultFile => (administrator.data_dir(&settings.storage.data_dir), ""),
        MasterSource::Given(_) | MasterSource::Transit(..) => (administrator, ", and the master key's settings"),
    };
    line(&format!(
        "Anamnesis {VERSION} listens on {url}{grpc}
  the first administrator, once (where ANAMNESIS_DATABASE_URL is set{also}): {administrator}
  a token{with}: {issue}",
        grpc = grpc(settings, addresses),
        with = with.map(|with| format!(" ({with})")).unwrap_or_default()
    ));
}

/// The command that issues a token with the key of this server, and what it needs besides. The key itself is not shown.
fn issue(settings: &ServerSettings, account: &str) -> (Invocation, Option<&'static str>) {
    let issue = Invocation::of(&["token", "--account", account]);
    match (&settings.signing.signing_key, &settings.signing.signing_key_file) {
        (Some(_), _) => (issue, Some("where ANAMNESIS_SIGNING_KEY is set as it is here")),
        (None, Some(file)) => (issue.word("--signing-key-file").word(absolute(file).display()), None),
        (None, None) => (issue.data_dir(&settings.storage.data_dir), None),
    }
}
