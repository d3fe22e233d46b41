//! `anamnesis token`: issues a token with the key that the servers verify by.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use events::envelope::{Actor, Role};
use serde_json::Value;
use service::auth::Key;
use service::settings::KeySettings;

use crate::output::line;

/// The longest lifetime of a token, in seconds: ten years.
const LIFETIME_SECONDS_MAX: u64 = 10 * 366 * 24 * 3_600;

/// Issues a token.
#[derive(Clone, Debug, Args)]
pub struct TokenArgs {
    /// Role, such as `investigator`, `participant` or `auditor`.
    #[arg(long, value_parser = role, value_name = "ROLE")]
    role: Role,
    /// The account that the token speaks for; never a person's name.
    #[arg(long, value_parser = account, value_name = "ACCOUNT")]
    subject: String,
    /// The organisation for which the account acts.
    #[arg(long, value_name = "ORGANISATION")]
    org: Option<String>,
    /// How long the token is good for, such as `15m`, `8h` or `30d`.
    #[arg(long, default_value = "8h", value_parser = lifetime, value_name = "TIME")]
    ttl: Duration,
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
            Key::load_or_create(&file.unwrap_or_else(|| args.data_dir.join("jwt.key")))?
        }
    };
    let actor = Actor { id: args.subject.clone(), role: args.role, organisation: args.org.clone() };
    let token = key.issue(&actor, args.ttl).map_err(|error| TokenError::Signing(Box::new(error)))?;
    line(&token);
    Ok(ExitCode::SUCCESS)
}

fn role(text: &str) -> Result<Role, String> {
    serde_json::from_value(Value::String(text.to_lowercase())).map_err(|error| error.to_string())
}

fn account(text: &str) -> Result<String, String> {
    let fits = (1..=255).contains(&text.len()) && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned()).ok_or_else(|| "an account has 1 to 255 characters".to_owned())
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time such as 90s, 15m, 8h or 30d, of at most ten years");
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
        for text in ["", "8", "h", "-1h", "0s", "1y", "4000d", "99999999999999999999d"] {
            assert!(lifetime(text).is_err(), "{text}");
        }
    }

    #[test]
    fn roles_are_named_as_in_tokens() {
        assert_eq!(role("medical-monitor"), Ok(Role::MedicalMonitor));
        assert!(role("surgeon").is_err_and(|error| error.contains("investigator")));
    }
}
