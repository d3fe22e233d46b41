//! `anamnesis token`: issues a token with the key that the servers verify by.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use client::ClientArgs;
use events::envelope::{Actor, Role};
use serde_json::{Value, json};
use service::auth::Key;
use service::settings::KeySettings;
use simulation::Issue;

use crate::output::line;

/// The longest lifetime of a token, in seconds: 90 days. Whoever has a token has it until it expires, so it must be
/// renewed as a password is.
const LIFETIME_SECONDS_MAX: u64 = 90 * 24 * 3_600;
/// Greatest length of an account's name.
const ACCOUNT_LENGTH_MAX: usize = 128;

/// Issues a token.
#[derive(Clone, Debug, Args)]
pub struct TokenArgs {
    /// Role, such as `investigator`, `participant` or `auditor`.
    #[arg(long, value_parser = role, value_name = "ROLE")]
    role: Role,
    /// The account that the token speaks for, such as `site-701.nurse2` or `u4711@clinic.example`: letters, digits and
    /// `. _ - @`. It stands in the history for ever, so never a person's name.
    #[arg(long, value_parser = account, value_name = "ACCOUNT")]
    subject: String,
    /// The organisation for which the account acts.
    #[arg(long, value_parser = account, value_name = "ORGANISATION")]
    org: Option<String>,
    /// How long the token is good for, such as `15m`, `8h` or `30d`; at most 90 days.
    #[arg(long, default_value = "8h", value_parser = lifetime, value_name = "TIME")]
    ttl: Duration,
    /// Prints a JSON object: `token`, `subject`, `role`, `expires_at`.
    #[arg(long)]
    json: bool,
    /// The key that signs.
    #[command(flatten)]
    key: KeySettings,
    /// Data folder of the embedded engine, where its key is.
    #[arg(long, env = "ANAMNESIS_DATA_DIR", default_value = "anamnesis-data", value_name = "FOLDER")]
    data_dir: PathBuf,
}

/// Why no token was issued.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The key that signs tokens cannot be used.
    #[error(transparent)]
    Key(#[from] service::auth::KeyError),
    /// A token could not be signed.
    #[error("the token could not be signed")]
    Signing(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Prints a token.
///
/// # Errors
/// [`TokenError`] where the key cannot be used.
pub fn run(args: &TokenArgs) -> Result<ExitCode, TokenError> {
    let key = match &args.key.jwt_key {
        Some(key) => Key::parse(key)?,
        None => {
            let file = args.key.jwt_key_file.clone();
            Key::load(&file.unwrap_or_else(|| args.data_dir.join("jwt.key")))?
        }
    };
    let actor = Actor { id: args.subject.clone(), role: args.role, organisation: args.org.clone() };
    let token = key.issue(&actor, args.ttl).map_err(|error| TokenError::Signing(Box::new(error)))?;
    if args.json {
        let expires_at = event_store::clock::now() + args.ttl;
        line(
            &json!({"token": token, "subject": args.subject, "role": args.role, "expires_at": expires_at}).to_string(),
        );
    } else {
        line(&token);
    }
    Ok(ExitCode::SUCCESS)
}

/// How long those who play in a simulation have their tokens.
const PLAYERS_LIFETIME: Duration = Duration::from_secs(24 * 3_600);

/// Issues tokens by the key in the data folder where the server is the embedded engine of it: where nobody gave a token
/// of another.
pub fn issuer(client: &ClientArgs) -> Option<Issue> {
    let key = (client.token.is_none() && client.token_file.is_none())
        .then(|| Key::load(&client.data_dir.join("jwt.key")).ok())??;
    Some(Arc::new(move |role, account| {
        let actor = Actor { id: account.to_owned(), role, organisation: None };
        key.issue(&actor, PLAYERS_LIFETIME).ok()
    }))
}

fn role(text: &str) -> Result<Role, String> {
    serde_json::from_value(Value::String(text.to_lowercase())).map_err(|error| error.to_string())
}

/// Blanks and letters beyond ASCII are how people are called, and `:` is how the process managers are
/// (`system:enrolment`), for whom no token may speak.
fn account(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    let begins = text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if begins && text.len() <= ACCOUNT_LENGTH_MAX && text.bytes().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "an account is 1 to {ACCOUNT_LENGTH_MAX} letters, digits and `. _ - @`, such as `site-701.nurse2`: it stands in \
         the history for ever, so never give a person's name"
    ))
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time such as 90s, 15m, 8h or 30d, of at most 90 days");
    let digits = text.trim_end_matches(|character: char| !character.is_ascii_digit());
    let unit_seconds = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 24 * 3_600,
        _ => return Err(wrong()),
    };
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    let seconds = count.checked_mul(unit_seconds).filter(|seconds| (1..=LIFETIME_SECONDS_MAX).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_have_a_unit_and_bounds() {
        assert_eq!(lifetime("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(lifetime("30d"), Ok(Duration::from_secs(2_592_000)));
        for text in ["", "8", "h", "-1h", "0s", "1y", "91d", "99999999999999999999d"] {
            assert!(lifetime(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_account_is_no_persons_name() {
        for text in ["a", "site-701.nurse2", "u4711@clinic.example", "test_1", "7"] {
            assert_eq!(account(text), Ok(text.to_owned()));
        }
        let long = "a".repeat(129);
        for text in ["", "Kari Nordmann", "Åse", "system:enrolment", ".a", "-a", "a\u{200b}b", "a\n", &long] {
            assert!(account(text).is_err_and(|told| told.contains("person's name")), "{text:?}");
        }
    }

    #[test]
    fn roles_are_named_as_in_tokens() {
        assert_eq!(role("medical-monitor"), Ok(Role::MedicalMonitor));
        assert!(role("surgeon").is_err_and(|error| error.contains("investigator")));
    }
}
