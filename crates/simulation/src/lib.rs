//! `anamnesis simulate`: a believable trial from a seed, sent as commands like any other client's.
//!
//! `cast` makes up everybody and everything from the seed alone; `play` sends
//! it, leaves to the process managers what is theirs, and waits for them. The
//! same seed gives the same trial; running it again changes nothing.

mod cast;
mod play;
mod story;

use std::process::ExitCode;

use chrono::NaiveDate;
use clap::Args;
use futures::future::BoxFuture;

use cast::Cast;
use client::ToolError;
use client::console::{print, table};
use client::{Client, ClientArgs};
use play::{Outcome, play};

/// Plays a believable trial from a seed.
#[derive(Clone, Debug, Args)]
pub struct SimulateArgs {
    /// Number of patients who sign a consent.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "N")]
    subjects: u32,
    /// Number of sites.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=500), value_name = "N")]
    sites: u32,
    /// The same seed gives the same trial.
    #[arg(long, default_value_t = 1, value_name = "S")]
    seed: u64,
    /// Protocol number; by default made from seed and size.
    #[arg(long, value_name = "NUMBER")]
    protocol: Option<String>,
    /// First day of the trial; it lasts about a year and must be over.
    #[arg(long, default_value = "2024-01-08", value_name = "DATE")]
    start: NaiveDate,
    /// Patients that are played at once.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256), value_name = "N")]
    concurrency: u16,
    #[command(flatten)]
    client: ClientArgs,
}

/// Plays the trial and tells what came of it (boxed: its code is compiled here, not where it is awaited).
///
/// # Errors
/// [`ToolError`] where it could not go on; running it again goes on.
pub fn run(args: SimulateArgs) -> BoxFuture<'static, Result<ExitCode, ToolError>> {
    Box::pin(async move {
        let client = Client::new(&args.client)?;
        let protocol = args.protocol.clone();
        let protocol = protocol.unwrap_or_else(|| format!("SIM-{}-{}-{}", args.seed, args.subjects, args.sites));
        let cast = Cast::new(args.seed, protocol, args.subjects, args.sites, args.start);
        let outcome = play(&client, &cast, args.concurrency.into()).await?;
        print(&summary(&cast, &outcome))?;
        Ok(ExitCode::SUCCESS)
    })
}

fn summary(cast: &Cast, outcome: &Outcome) -> String {
    let figure = |name: &str| outcome.enrolment[name].to_string();
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let mut rows = vec![
        row("consented", figure("consented")),
        row("screened", figure("screened")),
        row("screen failures", figure("screen_failed")),
        row("enrolled", figure("enrolled")),
        row("randomised", figure("randomised")),
        row("completed", figure("completed")),
    ];
    for (reason, count) in outcome.enrolment["discontinued"].as_object().into_iter().flatten() {
        rows.push(row(&format!("discontinued: {}", reason.to_lowercase()), count.to_string()));
    }
    rows.push(row("alerts raised", outcome.alerts.to_string()));
    rows.push(row("events new", outcome.new_events.to_string()));
    let mut text = format!("\nTrial {} ({})\n\n{}", cast.protocol, cast.trial_id, table(&rows));
    if let Some(patient_id) = outcome.patient_with_alert {
        text.push_str(&format!("\nTry next:\n  anamnesis replay patient {patient_id}\n"));
    }
    text
}
