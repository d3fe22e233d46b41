//! `anamnesis token`: issues a token with the key that the servers verify by.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use client::ClientArgs;
use client::accounts::Issue;
use serde_json::json;
use service::identity::{IssueError, SigningKeyError, SigningKeys};
use service::settings::SigningKeySettings;

use crate::output::line;

/// The longest lifetime of a token, in seconds: a day, beyond which servers take none unless they are set to. Whoever
/// has a token has it until it expires.
const LIFETIME_SECONDS_MAX: u64 = 24 * 3_600;

/// Issues a token.
#[derive(Clone, Debug, Args)]
pub struct TokenArgs {
    /// The account that the token names, by its username. What it may do is not in the token: roles are granted to it.
    #[arg(long, value_parser = username, value_name = "USERNAME")]
    account: String,
    /// How long the token is good for, such as `15m` or `8h`; at most a day.
    #[arg(long, default_value = "1h", value_parser = lifetime, value_name = "TIME")]
    ttl: Duration,
    /// Prints a JSON object: `token`, `account`, `expires_at`.
    #[arg(long)]
    json: bool,
    /// The keys that sign.
    #[command(flatten)]
    signing: SigningKeySettings,
    /// Data folder of the embedded engine, where its key is.
    #[arg(long, env = "ANAMNESIS_DATA_DIR", default_value = "anamnesis-data", value_name = "FOLDER")]
    data_dir: PathBuf,
}

/// Why no token was issued.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The key that signs tokens cannot be used.
    #[error(transparent)]
    Key(#[from] SigningKeyError),
    /// A token could not be signed.
    #[error(transparent)]
    Signing(#[from] IssueError),
}

/// Prints a token. Whoever can read the key has shown who they are by that, now.
///
/// # Errors
/// [`TokenError`] where the key cannot be used.
pub fn run(args: &TokenArgs) -> Result<ExitCode, TokenError> {
    let keys = args.signing.keys(&args.data_dir)?;
    let token = keys.signing().issue(&args.account, args.ttl, Some(event_store::clock::now()))?;
    if args.json {
        let expires_at = event_store::clock::now() + args.ttl;
        line(&json!({"token": token, "account": args.account, "expires_at": expires_at}).to_string());
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
    let keys = (client.token.is_none() && client.token_file.is_none())
        .then(|| SigningKeys::load(&client.data_dir.join("signing.pem")).ok())??;
    Some(Arc::new(move |username| {
        keys.signing().issue(username, PLAYERS_LIFETIME, Some(event_store::clock::now())).ok()
    }))
}

fn username(text: &str) -> Result<String, String> {
    domain::access::account::username("account", text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time such as 90s, 15m or 8h, of at most a day");
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
        assert_eq!(lifetime("1d"), Ok(Duration::from_secs(86_400)));
        for text in ["", "8", "h", "-1h", "0s", "1y", "2d", "99999999999999999999d"] {
            assert!(lifetime(text).is_err(), "{text}");
        }
    }
}
