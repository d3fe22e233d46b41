//! `anamnesis import sdtm`: carries a study's SDTM tables over as commands, like any other client.
//!
//! The stages: find and read the tables (`source`, `rows`, `study`), plan the
//! commands (`plan`), send them (`send`), tell what became of every row
//! (`accounts`, `report`).

mod accounts;
mod dates;
mod json;
mod numbers;
mod plan;
mod report;
mod rows;
mod send;
mod source;
mod study;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use events::access::account::Scope;
use events::envelope::Role;
use futures::future::BoxFuture;
use serde_json::Value;

use self::accounts::Accounts;
use self::plan::plan_trial;
use self::send::{Sender, Sent};
use self::source::{Found, SourceError, Table, file_name};
use self::study::Collector;
use client::ToolError;
use client::accounts::{Issue, Member};
use client::console;
use client::invocation::{absolute, curl};
use client::{Client, ClientArgs, Invocation};

/// What the process ends with where the import could not go on.
const COULD_NOT_GO_ON: u8 = 2;

/// Carries data of other systems over.
#[derive(Clone, Debug, Args)]
pub struct ImportArgs {
    #[command(subcommand)]
    source: Source,
}

#[derive(Clone, Debug, Subcommand)]
enum Source {
    /// Imports a study's SDTM tables (CSV, Dataset-JSON or SAS transport files) from a folder, at first or again.
    ///
    /// Read are DM, TS, TA, TI, TV, DS, IE, SV, AE, QS and VS, whole or split. Of every row is told what became of it:
    /// "taken"; "noted", where it has no place here or changes nothing; "rejected", where something is wrong. A later
    /// transfer of the same study adds what is new and corrects what changed, with the reason "Changed in a later
    /// transfer"; what it no longer says stays.
    ///
    /// Ends with 0 where every file was read and every row accounted for, also where rows were rejected; with 2 where it
    /// could not begin or go on, where a file cannot be read to its end, and where nothing was taken.
    Sdtm(SdtmArgs),
}

/// Imports a study's SDTM tables.
#[derive(Clone, Debug, Args)]
struct SdtmArgs {
    /// Folder with the tables as .csv, .tsv, .json, .ndjson or .xpt (SAS transport, version 5 or 8).
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Server and token.
    #[command(flatten)]
    client: ClientArgs,
    /// CSV file for every row that was rejected or noted, with file, line and reason.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Prints a JSON object: `study`, `trial_id`, `files` (`file`, `read`, `taken`, `noted`, `rejected`), `notes`,
    /// `new_events`, `corrections`, `position`, `complete`.
    #[arg(long)]
    json: bool,
    /// Subjects that are sent at once.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256), value_name = "N")]
    concurrency: u16,
}

/// Runs the command (boxed: its code is compiled here, not where it is awaited). The process ends with 0 if every row was read and accounted for, with 2 where
/// it could not go on.
///
/// # Errors
/// [`ToolError`] where it could not begin.
pub fn run(
    args: ImportArgs,
    issue: impl FnOnce(&ClientArgs) -> Option<Issue>,
) -> BoxFuture<'static, Result<ExitCode, ToolError>> {
    let Source::Sdtm(args) = args.source;
    let issue = issue(&args.client);
    Box::pin(async move {
        match console::unless_interrupted(import(&args, issue)).await {
            None => {
                eprintln!("\nstopped; what was sent is kept: run the same command again to go on");
                Ok(ExitCode::from(console::INTERRUPTED))
            }
            Some(Ok(code)) => Ok(code),
            Some(Err(error)) => {
                eprintln!("error: {}", chain(&error));
                Ok(ExitCode::from(COULD_NOT_GO_ON))
            }
        }
    })
}

async fn import(args: &SdtmArgs, issue: Option<Issue>) -> Result<ExitCode, ToolError> {
    let client = Client::new(&args.client)?;
    let found = source::find(&args.folder).map_err(ToolError::file(&args.folder, "read"))?;
    if let Some(report) = &args.report {
        // Rather now than after all the work.
        std::fs::File::create(report).map_err(ToolError::file(report, "written"))?;
    }
    let mut collector = Collector::default();
    tell_what_is_there(&found, &mut collector.accounts);
    let (Collector { mut study, mut accounts, .. }, unreadable) = read(collector, &found, &args.folder)?;
    let name = study.id.clone().ok_or_else(|| ToolError::Input("no row has a STUDYID".to_owned()))?;
    let plan = plan_trial(&study, &name, &mut accounts);
    let client = as_importer(client, issue).await?;
    let sender = Sender::new(&client, accounts);
    let subjects = std::mem::take(&mut study.subjects);
    drop(study);
    sender.set_up(&plan).await;
    // Where the trial could not be set up nothing is sent, but every row is accounted for.
    sender.send_subjects(&plan.frame, subjects.into_values(), usize::from(args.concurrency)).await;
    let sent = sender.finish();
    tell_the_end(args, &found, &sent, &plan.frame, &client).await?;
    let whole = sent.stopped_by.is_none() && unreadable.is_empty();
    if let Some(error) = &sent.stopped_by {
        eprintln!("error: {}; what was sent is kept: run the import again to go on", chain(error));
    }
    for error in &unreadable {
        eprintln!("error: {}", chain(error));
    }
    let refused = sent.accounts.rows_settled() > 0 && sent.position == 0;
    Ok(if whole && !refused { ExitCode::SUCCESS } else { ExitCode::from(COULD_NOT_GO_ON) })
}

/// Who brings records over acts as an integration: an account of its own, where one can be opened.
async fn as_importer(client: Client, issue: Option<Issue>) -> Result<Client, ToolError> {
    let Some(issue) = issue else { return Ok(client) };
    let importer = Member { username: "importer".to_owned(), role: Role::Integration, scope: Scope::Installation };
    let opened = client::accounts::Accounts::new(client.clone(), issue).client(&importer).await?;
    Ok(opened.unwrap_or(client))
}

fn tell_what_is_there(found: &Found, accounts: &mut Accounts) {
    for table in found.missing.iter().filter(|table| **table != Table::Dm) {
        eprintln!("{}: no such table; the import goes on without it", table.name());
    }
    for (path, reason) in &found.ignored {
        eprintln!("{}: {reason}", file_name(path));
        accounts.remark(format!("{}: {reason}", file_name(path)));
    }
}

/// Reads every table. One that breaks off is kept as far as it goes; without subjects there is nothing to do.
fn read(mut collector: Collector, found: &Found, folder: &Path) -> Result<(Collector, Vec<SourceError>), ToolError> {
    let mut unreadable = Vec::new();
    for (file, number) in found.tables.iter().zip(0..) {
        let table = file.table;
        match source::read(file, &mut |read| collector.take(table, number, read)) {
            Ok(columns) => collector.take_columns(table, &file.name(), columns),
            Err(error) => {
                collector.accounts.remark(chain(&error));
                unreadable.push(error);
            }
        }
    }
    if collector.study.subjects.is_empty() {
        let cause = unreadable.first().map_or_else(String::new, |error| format!(": {}", chain(error)));
        return Err(ToolError::Input(format!("{} holds no dm table with subjects{cause}", folder.display())));
    }
    Ok((collector, unreadable))
}

async fn tell_the_end(
    args: &SdtmArgs,
    found: &Found,
    sent: &Sent,
    frame: &plan::Frame,
    client: &Client,
) -> Result<(), ToolError> {
    let accounts: &Accounts = &sent.accounts;
    if let Some(path) = &args.report {
        report::write(path, accounts, &found.tables).map_err(ToolError::file(path, "written"))?;
    }
    if args.json {
        return Ok(console::print(&format!("{}\n", json::told(accounts, &found.tables, frame, sent)))?);
    }
    let mut text = report::summary(accounts, &found.tables);
    text.push_str(&format!("events added: {}\n", sent.new_events));
    if sent.corrections > 0 {
        text.push_str(&format!("corrected, because an earlier transfer said otherwise: {}\n", sent.corrections));
    }
    match &args.report {
        Some(path) => text.push_str(&format!("report: {}\n", path.display())),
        None if accounts.rejected().is_empty() && accounts.left_out().is_empty() && accounts.notes().is_empty() => {}
        None => {
            let again = Invocation::of(&["import", "sdtm"]).word(absolute(&args.folder).display()).server(&args.client);
            let again = again.word("--report").word("rejected.csv");
            text.push_str(&format!("for every row with its file, line and reason:\n  {again}\n"));
        }
    }
    if sent.stopped_by.is_none() && sent.position > 0 {
        text.push_str(&figures(args, sent, frame, client).await);
    }
    Ok(console::print(&text)?)
}

/// Where the trial stands now, as the server tells it.
async fn figures(args: &SdtmArgs, sent: &Sent, frame: &plan::Frame, client: &Client) -> String {
    let path = format!("/v1/trials/{}/enrolment", frame.trial_id);
    let position = sent.position.to_string();
    // Only for information: the import is done whether or not the views are up.
    let Ok(figures) = client.get::<Value>(&path, &[("at_least", &position)]).await else { return String::new() };
    let figure = |name: &str| figures.get(name).map_or_else(|| "?".to_owned(), Value::to_string);
    let mut text = format!(
        "trial {}: screened {}, screen failures {}, enrolled {}, randomised {}, completed {}\n",
        frame.study,
        figure("screened"),
        figure("screen_failed"),
        figure("enrolled"),
        figure("randomised"),
        figure("completed"),
    );
    text.push_str(&format!("more:\n  {}\n", curl(&args.client, &path)));
    text
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
