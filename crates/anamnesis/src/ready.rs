//! Asking a server whether it is ready: for whoever watches it where there is nothing else to ask with, such as in its container.

use std::process::ExitCode;
use std::time::Duration;

use calls::Address;
use clap::Args;

use crate::output;

/// Which server is asked.
#[derive(Clone, Debug, Args)]
pub struct ReadyArgs {
    /// Address of the server.
    #[arg(long, env = "ANAMNESIS_READY_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    url: Address,
    /// Milliseconds that it may take.
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u64).range(1..=60_000), value_name = "MS")]
    timeout_ms: u64,
}

/// Why nothing is known.
#[derive(Debug, thiserror::Error)]
#[error("the server does not answer")]
pub struct ReadyError(#[source] reqwest::Error);

/// Tells what it says: ends with 0 where it is ready, with 1 where it is not.
///
/// # Errors
/// [`ReadyError`].
pub async fn run(args: ReadyArgs) -> Result<ExitCode, ReadyError> {
    let http = calls::http().timeout(Duration::from_millis(args.timeout_ms)).build().map_err(ReadyError)?;
    let address = args.url.url().join("readyz").unwrap_or_else(|_| args.url.url().clone());
    let answer = http.get(address).send().await.map_err(ReadyError)?;
    let is_ready = answer.status().is_success();
    output::line(answer.text().await.map_err(ReadyError)?.trim_end());
    Ok(if is_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
