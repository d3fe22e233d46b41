//! `anamnesis simulate`: a believable trial from a seed, sent as commands like any other client's.
//!
//! `cast` makes up everybody and everything from the seed alone; `play` sends
//! it, leaves to the process managers what is theirs, and waits for them. The
//! same seed gives the same trial; running it again changes nothing.

mod accounts;
mod cast;
mod play;
mod story;

use std::process::ExitCode;

use chrono::{DateTime, Days, NaiveDate, Utc};
use clap::Args;
use futures::future::BoxFuture;

use accounts::{Accounts, monitor};
use cast::{Cast, LENGTH_DAYS};
use client::ToolError;
use client::console::{INTERRUPTED, print, table, unless_interrupted};
use client::{Client, ClientArgs, Invocation};
use events::envelope::Role;
use play::{Outcome, play};
use serde_json::{Value, json};

use client::accounts::Issue;

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
    /// First day of the trial, which lasts 306 days and must be over. By default so that it ends today, or as the trial
    /// has been played before.
    #[arg(long, value_name = "DATE")]
    start: Option<NaiveDate>,
    /// Patients that are played at once.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256), value_name = "N")]
    concurrency: u16,
    /// Token of those who play a role, as `investigator=eyJ…`; several times. On the embedded engine each role gets an
    /// account of its own by itself, by the key in the data folder.
    #[arg(long = "role-token", value_parser = role_token, value_name = "ROLE=TOKEN")]
    role_tokens: Vec<(Role, String)>,
    /// Prints a JSON object: `protocol`, `trial_id`, `from`, `to`, `enrolment`, `alerts`, `new_events`,
    /// `patient_with_alert`.
    #[arg(long)]
    json: bool,
    /// Server and token.
    #[command(flatten)]
    pub client: ClientArgs,
}

fn role_token(text: &str) -> Result<(Role, String), String> {
    let (role, token) = text.split_once('=').ok_or("give it as ROLE=TOKEN, such as investigator=eyJ…")?;
    let role = serde_json::from_value(role.into()).map_err(|error| error.to_string())?;
    Ok((role, token.to_owned()))
}

/// Plays the trial and tells what came of it (boxed: its code is compiled here, not where it is awaited). `today` is
/// when the story may end at the latest; `issue` gives tokens to those who take part, where the key is at hand.
///
/// # Errors
/// [`ToolError`] where it could not go on; running it again goes on.
pub fn run(
    args: SimulateArgs,
    today: NaiveDate,
    issue: Option<Issue>,
) -> BoxFuture<'static, Result<ExitCode, ToolError>> {
    Box::pin(async move {
        match unless_interrupted(simulate(&args, today, issue)).await {
            Some(done) => done.map(|()| ExitCode::SUCCESS),
            None => {
                eprintln!("\nstopped; what was sent is kept: run the same command again to go on");
                Ok(ExitCode::from(INTERRUPTED))
            }
        }
    })
}

async fn simulate(args: &SimulateArgs, today: NaiveDate, issue: Option<Issue>) -> Result<(), ToolError> {
    let client = Client::new(&args.client)?;
    let protocol = args.protocol.clone();
    let protocol = protocol.unwrap_or_else(|| format!("SIM-{}-{}-{}", args.seed, args.subjects, args.sites));
    let accounts = Accounts::new(client, issue, &args.role_tokens)?;
    let start = start(args, today, &protocol, &accounts).await?;
    let cast = Cast::new(args.seed, protocol, args.subjects, args.sites, start);
    let outcome = play(&accounts, &cast, args.concurrency.into()).await?;
    let text = if args.json {
        let told = json!({
            "protocol": cast.protocol, "trial_id": cast.trial_id, "from": start, "to": start + Days::new(LENGTH_DAYS),
            "enrolment": outcome.enrolment, "alerts": outcome.alerts, "new_events": outcome.new_events,
            "patient_with_alert": outcome.patient_with_alert,
        });
        format!("{told}\n")
    } else {
        summary(args, &cast, start, &outcome)
    };
    Ok(print(&text)?)
}

/// The first day: as given, as the trial has it that was played before, or so that everything is over today.
async fn start(
    args: &SimulateArgs,
    today: NaiveDate,
    protocol: &str,
    accounts: &Accounts,
) -> Result<NaiveDate, ToolError> {
    let latest = today - Days::new(LENGTH_DAYS);
    if let Some(start) = args.start {
        if start > latest {
            let told =
                format!("--start {start}: the trial lasts {LENGTH_DAYS} days and must be over; the latest is {latest}");
            return Err(ToolError::Input(told));
        }
        return Ok(start);
    }
    let reader = accounts.client(&monitor()).await?;
    let page: Value = reader.get("/v1/trials", &[("protocol", protocol)]).await?;
    let played = page["items"][0]["registered_at"].as_str().and_then(|time| time.parse::<DateTime<Utc>>().ok());
    Ok(played.map_or(latest, |time| time.date_naive()))
}

fn summary(args: &SimulateArgs, cast: &Cast, start: NaiveDate, outcome: &Outcome) -> String {
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
    let end = start + Days::new(LENGTH_DAYS);
    text.push_str(&format!(
        "\nIt tells of {start} to {end}. Alerts, and what process\nmanagers did, bear the time at which it was \
         received: now.\n"
    ));
    if let Some(patient_id) = outcome.patient_with_alert {
        let replay = Invocation::of(&["replay", "patient"]).word(patient_id).server(&args.client);
        text.push_str(&format!("\nTry next:\n  {replay}\n"));
    }
    text
}
