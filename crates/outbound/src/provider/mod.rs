//! Who takes messages: gateways over HTTP, a mail server, another system.

mod email;
mod gateway;
mod webhook;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use calls::{CallError, Failure, Reply};
use domain::messaging::delivery::Outgoing;
use events::messaging::contact::Channel;
use events::messaging::message::SendingFault;
use serde::Deserialize;
use service::settings::OutboundSettings;

use crate::signature::{Secret, SignatureError};
use email::Mail;
use gateway::Gateway;
use webhook::Webhook;

/// What became of handing a message over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handed {
    /// It was taken.
    Taken {
        /// By which the provider knows it.
        provider_message_id: Option<String>,
    },
    /// It was not, as far as is known.
    NotTaken {
        /// Why.
        fault: SendingFault,
        /// The status of the answer.
        status: Option<u16>,
        /// Whether it may have been taken all the same.
        may_have_arrived: bool,
    },
    /// The provider was not asked: too much failed of late.
    LeftAlone,
}

/// Takes messages.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Whether it knows a message again by its id, and sends it once however often it is handed over.
    fn knows_again(&self) -> bool;

    /// Whether it is left alone now, as far as is known before it is asked.
    fn is_left_alone(&self) -> bool {
        false
    }

    /// Hands a message over.
    async fn hand_over(&self, outgoing: &Outgoing) -> Handed;
}

/// Who takes messages, by channel.
#[derive(Clone, Default)]
pub struct Providers {
    sms: Option<Arc<dyn Provider>>,
    push: Option<Arc<dyn Provider>>,
    email: Option<Arc<dyn Provider>>,
    webhook: Option<Arc<dyn Provider>>,
}

/// Why a provider cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A file of the settings cannot be read.
    #[error("the file of --{setting} cannot be read")]
    File {
        /// The setting.
        setting: &'static str,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// What stands in it is no token.
    #[error("the file of --{0} holds no token: one line of printable characters")]
    Token(&'static str),
    /// What stands in it is no secret.
    #[error("the file of --{setting} holds no secret")]
    Secret {
        /// The setting.
        setting: &'static str,
        /// The cause.
        #[source]
        source: SignatureError,
    },
    /// The mail server cannot be used as the settings say.
    #[error("--smtp-url cannot be used")]
    Smtp(#[source] lettre::transport::smtp::Error),
    /// The sender is no address.
    #[error("--email-from is no address such as `Study office <study@hospital.example>`")]
    From(#[source] lettre::address::AddressError),
}

impl Providers {
    /// As the settings name them.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(settings: &OutboundSettings) -> Result<Self, SetupError> {
        let token = |setting, file: &Option<PathBuf>| file.as_ref().map(|file| token(setting, file)).transpose();
        let gateway = |channel: Channel, urls: &[calls::Address], token| -> Option<Arc<dyn Provider>> {
            (!urls.is_empty()).then(|| Arc::new(Gateway::new(channel, urls.to_vec(), token)) as Arc<dyn Provider>)
        };
        let webhook = match (&settings.webhook_url, &settings.webhook_secret_file) {
            (Some(url), Some(file)) => {
                let secret = read_secret("webhook-secret-file", file)?;
                Some(Arc::new(Webhook::new(url.clone(), secret)) as Arc<dyn Provider>)
            }
            _ => None,
        };
        let email = match (&settings.smtp_url, &settings.email_from) {
            (Some(url), Some(from)) => Some(Arc::new(Mail::new(url, from)?) as Arc<dyn Provider>),
            _ => None,
        };
        Ok(Self {
            sms: gateway(Channel::Sms, &settings.sms_urls, token("sms-token-file", &settings.sms_token_file)?),
            push: gateway(Channel::Push, &settings.push_urls, token("push-token-file", &settings.push_token_file)?),
            email,
            webhook,
        })
    }

    /// Who takes the messages of a channel, where somebody does.
    pub fn of(&self, channel: Channel) -> Option<Arc<dyn Provider>> {
        match channel {
            Channel::Sms => self.sms.clone(),
            Channel::Push => self.push.clone(),
            Channel::Email => self.email.clone(),
            Channel::Webhook => self.webhook.clone(),
        }
    }

    /// The channels that nobody takes messages of.
    pub fn missing(&self) -> Vec<&'static str> {
        Channel::ALL.into_iter().filter(|channel| self.of(*channel).is_none()).map(Channel::name).collect()
    }
}

/// The secret of receipts, where the settings name one.
///
/// # Errors
/// [`SetupError`].
pub fn receipt_secret(settings: &OutboundSettings) -> Result<Option<Secret>, SetupError> {
    settings.receipt_secret_file.as_deref().map(|file| read_secret("receipt-secret-file", file)).transpose()
}

fn read_secret(setting: &'static str, file: &Path) -> Result<Secret, SetupError> {
    let text = read(setting, file)?;
    Secret::parse(&text).map_err(|source| SetupError::Secret { setting, source })
}

fn read(setting: &'static str, file: &Path) -> Result<String, SetupError> {
    OutboundSettings::read(file).map_err(|source| SetupError::File { setting, source })
}

fn token(setting: &'static str, file: &Path) -> Result<String, SetupError> {
    let text = read(setting, file)?;
    let token = text.trim();
    let is_one = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    if is_one { Ok(token.to_owned()) } else { Err(SetupError::Token(setting)) }
}

/// What a provider may answer with.
#[derive(Default, Deserialize)]
struct Answer {
    #[serde(default)]
    id: Option<String>,
}

/// Greatest length of an id that a provider gives.
const PROVIDER_ID_LENGTH_MAX: usize = 100;

/// What became of a call by which a message was handed over.
fn handed(called: Result<Reply, CallError>) -> Handed {
    let reply = match called {
        Ok(reply) => reply,
        Err(CallError { last: Failure::LeftAlone, may_have_arrived: false, .. }) => return Handed::LeftAlone,
        Err(CallError { may_have_arrived, .. }) => {
            let fault = if may_have_arrived { SendingFault::Unanswered } else { SendingFault::Unreachable };
            return Handed::NotTaken { fault, status: None, may_have_arrived };
        }
    };
    if reply.status.is_success() {
        // Whatever else it says: it may repeat the address, which stands in no event.
        let answer: Answer = serde_json::from_slice(&reply.body).unwrap_or_default();
        let is_plain = |id: &String| {
            (1..=PROVIDER_ID_LENGTH_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        };
        return Handed::Taken { provider_message_id: answer.id.filter(is_plain) };
    }
    let passes = reply.status.is_server_error() || matches!(reply.status.as_u16(), 408 | 409 | 425 | 429);
    let fault = if passes { SendingFault::Unavailable } else { SendingFault::Rejected };
    Handed::NotTaken { fault, status: Some(reply.status.as_u16()), may_have_arrived: false }
}
