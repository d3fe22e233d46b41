//! A master key in OpenBao or Vault: its engine `transit` wraps and unwraps, and never gives the key away.
//!
//! The key is of type `aes256-gcm96` and *derived*: what wraps a data key is derived from the master key and the
//! context, so a data key that was moved to another owner is not unwrapped; and, unlike with associated data, the
//! engine can wrap it again by itself. <https://openbao.org/api-docs/secret/transit/>

mod connection;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use zeroize::{Zeroize as _, Zeroizing};

use self::connection::Connection;
use super::{Context, Master, MasterError, MasterVersion, Wrapped};
use crate::key::{Key, NotAuthentic};

/// Data keys that are sent in one request.
const BATCH: usize = 200;
/// How the server says that it did not wrap a key in this context.
const FOREIGN: &str = "cipher: message authentication failed";

/// Where the master key is, and how it is asked for.
#[derive(Clone, Debug)]
pub struct TransitOptions {
    /// The server's address: `https://…`, or `http://…` of this machine.
    pub url: String,
    /// The path under which the engine is mounted.
    pub mount: String,
    /// The name of the key.
    pub key: String,
    /// The file with the token. It is read again when the token is refused: something else renews it.
    pub token_file: PathBuf,
    /// Certificates (PEM) of further authorities that the server's may be of.
    pub ca_file: Option<PathBuf>,
    /// How long an answer may take.
    pub answer_within: Duration,
    /// For how long a request is repeated while the server is away.
    pub patience: Duration,
}

/// A master key in OpenBao or Vault.
#[derive(Debug)]
pub struct TransitMaster {
    connection: Connection,
    mount: String,
    key: String,
    name: String,
    /// Set once the key was found to be derived, which it stays.
    derived: OnceCell<()>,
}

/// The address or the name of something cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TransitError {
    /// The key of patients' keys would be on the wire for everybody.
    #[error("{0} cannot be used: the address must begin with `https://`, or with `http://` and be of this machine")]
    Address(String),
    /// A name that cannot stand in a path, or in the name of a master key.
    #[error("`{0}` cannot be used: letters, digits, `_`, `-` and, in a mount, `/` may stand there")]
    Name(String),
    /// The certificates cannot be read.
    #[error("the certificates in {0} cannot be used")]
    Certificates(PathBuf, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// The client could not be made.
    #[error("the HTTP client cannot be set up")]
    Setup(#[source] reqwest::Error),
}

/// What is asked for one data key.
#[derive(Serialize)]
struct Item<'item> {
    context: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext: Option<&'item str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext: Option<&'item str>,
}

#[derive(Serialize)]
struct Batch<'item> {
    batch_input: &'item [Item<'item>],
}

/// What is answered for one data key.
#[derive(Deserialize)]
struct Answer {
    ciphertext: Option<String>,
    plaintext: Option<Zeroizing<String>>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Answers {
    batch_results: Vec<Answer>,
}

#[derive(Deserialize)]
struct KeyState {
    derived: bool,
    latest_version: u32,
}

impl TransitOptions {
    /// The usual bounds.
    pub fn new(url: &str, key: &str, token_file: PathBuf) -> Self {
        Self {
            url: url.to_owned(),
            mount: "transit".to_owned(),
            key: key.to_owned(),
            token_file,
            ca_file: None,
            answer_within: Duration::from_secs(5),
            patience: Duration::from_secs(10),
        }
    }
}

impl TransitMaster {
    /// The master key there. Nothing is asked yet.
    ///
    /// # Errors
    /// [`TransitError`].
    pub fn new(options: &TransitOptions) -> Result<Self, TransitError> {
        for (name, further) in [(&options.mount, "_-/"), (&options.key, "_-")] {
            let allowed = |character: char| character.is_ascii_alphanumeric() || further.contains(character);
            if name.is_empty() || !name.chars().all(allowed) {
                return Err(TransitError::Name(name.clone()));
            }
        }
        Ok(Self {
            connection: Connection::new(options)?,
            mount: options.mount.clone(),
            key: options.key.clone(),
            name: format!("transit/{}/{}", options.mount, options.key),
            derived: OnceCell::new(),
        })
    }

    /// Makes the key; does nothing where there is one.
    ///
    /// # Errors
    /// [`MasterError`].
    pub async fn create(&self) -> Result<(), MasterError> {
        let body = json!({ "type": "aes256-gcm96", "derived": true });
        self.ask::<IgnoredAny>(Method::POST, &format!("keys/{}", self.key), Some(&body)).await.map(drop)
    }

    /// Adds a new version, which wraps from now on, and gives it.
    ///
    /// # Errors
    /// [`MasterError`].
    pub async fn rotate(&self) -> Result<MasterVersion, MasterError> {
        let body = json!({});
        self.ask::<IgnoredAny>(Method::POST, &format!("keys/{}/rotate", self.key), Some(&body)).await?;
        self.current().await
    }

    async fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, MasterError> {
        let body = body.map(|body| Zeroizing::new(body.to_string()));
        self.connection.ask(method, &format!("{}/{path}", self.mount), body.as_ref()).await
    }

    /// Asks for something for each of these items; one answer for each.
    async fn ask_for_all(&self, what: &str, items: &[Item<'_>]) -> Result<Vec<Answer>, MasterError> {
        // Of a key that is not, the server takes no notice of the context.
        self.derived.get_or_try_init(async || self.current().await.map(drop)).await?;
        let mut answers = Vec::with_capacity(items.len());
        for batch in items.chunks(BATCH) {
            // The text holds keys where some are wrapped.
            let body = Zeroizing::new(
                serde_json::to_string(&Batch { batch_input: batch }).expect("texts are JSON by construction"),
            );
            let path = format!("{}/{what}/{}", self.mount, self.key);
            let told: Answers = self.connection.ask(Method::POST, &path, Some(&body)).await?;
            if told.batch_results.len() != batch.len() {
                return Err(self.refused("it answered for fewer keys than it was asked for"));
            }
            answers.extend(told.batch_results);
        }
        Ok(answers)
    }

    fn refused(&self, reason: &str) -> MasterError {
        MasterError::Refused { master: self.name.clone(), reason: reason.to_owned() }
    }

    /// Why one of several keys could not be used.
    fn not_this_one(&self, error: &str, context: Context) -> MasterError {
        match error {
            FOREIGN => MasterError::Foreign(context.owner, NotAuthentic),
            other => self.refused(&format!("{}: {other}", context.owner)),
        }
    }

    /// A wrapped data key from an answer, such as `vault:v3:…`.
    fn wrapped(&self, answer: Answer, context: Context) -> Result<Wrapped, MasterError> {
        if let Some(error) = answer.error {
            return Err(self.not_this_one(&error, context));
        }
        let text = answer.ciphertext.unwrap_or_default();
        let version = text.split(':').nth(1).and_then(|version| version.strip_prefix('v')?.parse().ok());
        let version = version.ok_or_else(|| self.refused("its answer holds no wrapped key"))?;
        Ok(Wrapped { by: MasterVersion { name: self.name.clone(), version }, text })
    }
}

#[async_trait]
impl Master for TransitMaster {
    fn name(&self) -> &str {
        &self.name
    }

    async fn current(&self) -> Result<MasterVersion, MasterError> {
        let state: KeyState = self.ask(Method::GET, &format!("keys/{}", self.key), None).await?;
        if !state.derived {
            return Err(self.refused("the key is not derived: it would not bind what it wraps to an owner"));
        }
        Ok(MasterVersion { name: self.name.clone(), version: state.latest_version })
    }

    async fn wrap(&self, key: &Key, context: Context) -> Result<Wrapped, MasterError> {
        let plaintext = Zeroizing::new(STANDARD.encode(key.bytes()));
        let item = Item { context: encoded(context), plaintext: Some(&plaintext), ciphertext: None };
        let answer = self.ask_for_all("encrypt", &[item]).await?.pop();
        self.wrapped(answer.ok_or_else(|| self.refused("no answer"))?, context)
    }

    async fn unwrap(&self, wrapped: &Wrapped, context: Context) -> Result<Key, MasterError> {
        let unwrapped = self.unwrap_all(&[(wrapped.clone(), context)]).await?.pop();
        unwrapped.unwrap_or_else(|| Err(self.refused("no answer")))
    }

    async fn unwrap_all(&self, wrapped: &[(Wrapped, Context)]) -> Result<Vec<Result<Key, MasterError>>, MasterError> {
        let answers = self.ask_for_all("decrypt", &items(wrapped)).await?;
        let keys = answers.into_iter().zip(wrapped).map(|(answer, (_, context))| {
            let foreign = || MasterError::Foreign(context.owner, NotAuthentic);
            if let Some(error) = answer.error {
                return Err(self.not_this_one(&error, *context));
            }
            let text = answer.plaintext.ok_or_else(foreign)?;
            let mut bytes = STANDARD.decode(&*text).map_err(|_| foreign())?;
            let key = Key::from_bytes(&bytes).ok_or_else(foreign);
            bytes.zeroize();
            key
        });
        Ok(keys.collect())
    }

    async fn rewrap_all(
        &self,
        wrapped: &[(Wrapped, Context)],
    ) -> Result<Vec<Result<Wrapped, MasterError>>, MasterError> {
        let answers = self.ask_for_all("rewrap", &items(wrapped)).await?;
        Ok(answers.into_iter().zip(wrapped).map(|(answer, (_, context))| self.wrapped(answer, *context)).collect())
    }
}

fn items(wrapped: &[(Wrapped, Context)]) -> Vec<Item<'_>> {
    let mut items = Vec::with_capacity(wrapped.len());
    for (wrapped, context) in wrapped {
        items.push(Item { context: encoded(*context), plaintext: None, ciphertext: Some(&wrapped.text) });
    }
    items
}

fn encoded(context: Context) -> String {
    STANDARD.encode(context.to_string())
}
