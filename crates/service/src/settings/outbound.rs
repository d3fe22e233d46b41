//! Who takes messages to people.

use std::io;
use std::path::{Path, PathBuf};

use calls::Address;
use clap::Args;

/// Who takes messages to people. A channel of which nobody is named keeps its messages until they are of no use any more.
#[derive(Clone, Debug, Default, Args)]
pub struct OutboundSettings {
    /// Gateway of text messages, as docs/guides/notifications.md describes it: `https://…`; of several that do the same, with
    /// commas in between.
    #[arg(long = "sms-url", env = "ANAMNESIS_SMS_URL", value_delimiter = ',', value_name = "URL,…")]
    pub sms_urls: Vec<Address>,
    /// File of the token by which it knows us, mode 0600.
    #[arg(long, env = "ANAMNESIS_SMS_TOKEN_FILE", requires = "sms_urls", value_name = "FILE")]
    pub sms_token_file: Option<PathBuf>,
    /// Gateway of apps' messages, in the same form.
    #[arg(long = "push-url", env = "ANAMNESIS_PUSH_URL", value_delimiter = ',', value_name = "URL,…")]
    pub push_urls: Vec<Address>,
    /// File of the token by which it knows us, mode 0600.
    #[arg(long, env = "ANAMNESIS_PUSH_TOKEN_FILE", requires = "push_urls", value_name = "FILE")]
    pub push_token_file: Option<PathBuf>,
    /// Where another system is told, by signed requests (Standard Webhooks).
    #[arg(long, env = "ANAMNESIS_WEBHOOK_URL", requires = "webhook_secret_file", value_name = "URL")]
    pub webhook_url: Option<Address>,
    /// File of the secret that signs them, mode 0600: `whsec_` and at least 24 bytes in base64.
    #[arg(long, env = "ANAMNESIS_WEBHOOK_SECRET_FILE", requires = "webhook_url", value_name = "FILE")]
    pub webhook_secret_file: Option<PathBuf>,
    /// Mail server, as `smtps://user:password@host:465`, or `smtp://user:password@host:587?tls=required`.
    #[arg(long, env = "ANAMNESIS_SMTP_URL", requires = "email_from", hide_env_values = true, value_name = "URL")]
    pub smtp_url: Option<String>,
    /// From whom e-mails come, such as `Study office <study@hospital.example>`.
    #[arg(long, env = "ANAMNESIS_EMAIL_FROM", requires = "smtp_url", value_name = "ADDRESS")]
    pub email_from: Option<String>,
    /// File of the secret that providers sign receipts with, mode 0600, in the form of webhooks' secrets; without it receipts
    /// are not taken.
    #[arg(long, env = "ANAMNESIS_RECEIPT_SECRET_FILE", value_name = "FILE")]
    pub receipt_secret_file: Option<PathBuf>,
    /// Source of drug information in the form of openFDA's labels, such as `https://api.fda.gov`; without it there is none.
    #[arg(long, env = "ANAMNESIS_DRUG_SOURCE_URL", value_name = "URL")]
    pub drug_source_url: Option<Address>,
    /// Messages of a channel that are on their way at once; alerts beside them.
    #[arg(long, env = "ANAMNESIS_MESSAGES_AT_ONCE", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=1_000), value_name = "N")]
    pub messages_at_once: u64,
    /// Messages that may wait to be sent; beyond that bulk notifications are answered 503.
    #[arg(long, env = "ANAMNESIS_MESSAGE_BACKLOG_MAX", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000), value_name = "N")]
    pub message_backlog_max: u64,
}

impl OutboundSettings {
    /// Reads a file that only its owner reads.
    ///
    /// # Errors
    /// Where it cannot be, or others may.
    pub fn read(file: &Path) -> io::Result<String> {
        let bytes = sealing::private_file::read(file)?;
        String::from_utf8(bytes.to_vec())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
    }
}
