//! `anamnesis replay`: what happened to a patient, event by event, as the log tells it.

use std::fmt;
use std::io::IsTerminal;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};
use events::envelope::Actor;
use events::ids::{PatientId, StreamId};
use serde::Deserialize;
use serde_json::Value;

use client::ToolError;
use client::console;
use client::{Client, ClientArgs};

/// Events that are asked for at once.
const PAGE: &str = "500";
/// Fields that every event of a patient repeats.
const REPEATED: [&str; 4] = ["patient_id", "trial_id", "site_id", "subject_id"];

/// Replays a history.
#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Replays all events about a patient, in order.
    Patient(PatientArgs),
}

#[derive(Clone, Debug, Args)]
struct PatientArgs {
    /// The patient's id, or the subject number that the patient has in a trial.
    #[arg(value_name = "ID|SUBJECT NUMBER")]
    patient: String,
    /// In which form.
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    format: Format,
    /// The same as `--format json`: one JSON document.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// As it was known at this time, such as `2026-03-09T12:00:00Z`, or at the end of this day in UTC.
    #[arg(long, value_name = "TIME|DAY", conflicts_with = "at_position")]
    as_of: Option<String>,
    /// As it was known when the log stood here.
    #[arg(long, value_name = "POSITION")]
    at_position: Option<u64>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One JSON object an event.
    Ndjson,
    /// A table.
    Csv,
    /// One JSON document.
    Json,
}

/// A page of a history.
#[derive(Deserialize)]
struct Page {
    items: Vec<Value>,
    next: Option<String>,
    position: u64,
}

/// What the text form tells of an event.
#[derive(Deserialize)]
struct Event {
    position: u64,
    occurred_at: DateTime<Utc>,
    recorded_at: DateTime<Utc>,
    r#type: String,
    stream: StreamId,
    version: u64,
    actor: Actor,
    #[serde(default)]
    changes: Vec<Change>,
    payload: Value,
}

/// A field that a correction changed.
#[derive(Deserialize)]
struct Change {
    field: String,
    old: Value,
    new: Value,
}

/// Runs the command.
///
/// # Errors
/// [`ToolError`].
pub async fn run(args: ReplayArgs) -> Result<ExitCode, ToolError> {
    let What::Patient(mut args) = args.what;
    if args.json {
        args.format = Format::Json;
    }
    let client = Client::new(&args.client)?;
    let patient_id = patient(&client, &args.patient).await?;
    let path = format!("/v1/patients/{patient_id}/history");
    let mut query: Vec<(&str, String)> = Vec::new();
    if let Some(as_of) = &args.as_of {
        query.push(("as_of", as_of.clone()));
    }
    if let Some(position) = args.at_position {
        query.push(("at_position", position.to_string()));
    }
    match args.format {
        Format::Ndjson => query.push(("format", "ndjson".to_owned())),
        Format::Csv => query.push(("format", "csv".to_owned())),
        Format::Text | Format::Json => return paged(&client, args.format, patient_id, &path, &query).await,
    }
    let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
    console::print(&client.text(&path, &query).await?)?;
    Ok(ExitCode::SUCCESS)
}

/// The patient who is meant.
async fn patient(client: &Client, text: &str) -> Result<PatientId, ToolError> {
    if let Ok(id) = text.parse::<PatientId>() {
        return Ok(id);
    }
    let page: Value = client.get("/v1/subjects", &[("subject_number", text)]).await?;
    let items = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut patients: Vec<&str> = items.iter().filter_map(|subject| subject["patient_id"].as_str()).collect();
    patients.sort_unstable();
    patients.dedup();
    let id = |patient: &str| patient.parse::<PatientId>().ok();
    match patients.as_slice() {
        [patient] => id(patient).ok_or_else(|| ToolError::Input(format!("`{patient}` is no patient's id"))),
        [] => Err(ToolError::Input(format!("`{text}` is neither a patient's id (a UUID) nor the number of a subject"))),
        several => Err(ToolError::Input(format!(
            "{} patients in several trials have the subject number {text}: name one by id: {}",
            several.len(),
            several.join(", ")
        ))),
    }
}

async fn paged(
    client: &Client,
    format: Format,
    patient_id: PatientId,
    path: &str,
    query: &[(&str, String)],
) -> Result<ExitCode, ToolError> {
    let mut items = Vec::new();
    let mut after: Option<String> = None;
    let mut until: Option<u64> = None;
    loop {
        // All pages as of the first one's position, whatever happens meanwhile.
        let position = until.map(|position| position.to_string());
        let mut query: Vec<(&str, &str)> = match &position {
            Some(position) => vec![("at_position", position)],
            None => query.iter().map(|(name, value)| (*name, value.as_str())).collect(),
        };
        query.push(("limit", PAGE));
        query.extend(after.as_deref().map(|after| ("after", after)));
        let page: Page = client.get(path, &query).await?;
        until = Some(page.position);
        items.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let position = until.unwrap_or(0);
    if format == Format::Json {
        let document = serde_json::json!({"patient_id": patient_id, "position": position, "items": items});
        console::print(&format!("{document:#}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!("patient {patient_id}, as known at position {position}\n");
    for item in items {
        text.push_str(&told(item)?);
    }
    if std::io::stdout().is_terminal() {
        text = wrapped(&text, textwrap::termwidth());
    }
    console::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The text for a terminal of so many columns: lines break between words, and go on further in.
fn wrapped(text: &str, columns: usize) -> String {
    // Codes such as PAIN-NRS and ids stay whole.
    let options = |columns| textwrap::Options::new(columns).word_splitter(textwrap::WordSplitter::NoHyphenation);
    let lines = text.lines().map(|line| {
        let indented = line.len() - line.trim_start().len();
        let indent = " ".repeat(if indented > 8 { indented } else { 10 });
        textwrap::fill(line, options(columns).subsequent_indent(&indent)) + "\n"
    });
    lines.collect()
}

/// An event in two lines.
fn told(item: Value) -> Result<String, ToolError> {
    let event: Event = serde_json::from_value(item).map_err(|error| {
        ToolError::Input(format!("the history holds an event that this version cannot read: {error}"))
    })?;
    let role = serde_json::to_value(event.actor.role).unwrap_or_default();
    let time = |time: DateTime<Utc>| time.format("%Y-%m-%d %H:%M:%SZ");
    let mut text = format!(
        "{:>8}  {}  {}  {}/{} v{}  by {} ({})",
        event.position,
        time(event.occurred_at),
        event.r#type,
        event.stream.kind,
        short(event.stream),
        event.version,
        event.actor.id,
        role.as_str().unwrap_or_default(),
    );
    if event.recorded_at.date_naive() != event.occurred_at.date_naive() {
        text.push_str(&format!(", recorded {}", time(event.recorded_at)));
    }
    text.push('\n');
    let fields = fields(&event);
    if !fields.is_empty() {
        text.push_str(&format!("          {}\n", on_one_line(&fields)));
    }
    Ok(text)
}

/// What a person typed cannot pass for a line of the history, nor steer the terminal.
fn on_one_line(text: &str) -> String {
    let shown = |character: char| match character {
        character if character.is_control() => character.escape_default().to_string(),
        character => character.to_string(),
    };
    text.chars().map(shown).collect()
}

/// As much of an id as tells streams of one patient apart.
fn short(stream: StreamId) -> String {
    stream.id.simple().to_string()[..8].to_owned()
}

/// What a correction changed and why, else the fields of the payload that say something about this event.
fn fields(event: &Event) -> String {
    let Value::Object(fields) = &event.payload else { return String::new() };
    if !event.changes.is_empty() {
        let reason = fields.get("reason").and_then(Value::as_str).unwrap_or_default();
        let changes: Vec<String> = event.changes.iter().map(ToString::to_string).collect();
        // Which of several it was.
        let which = ["signature_number", "code", "observed_at"].iter().filter_map(|name| {
            let value = fields.get(*name)?;
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Some(format!("{name} {value}: "))
        });
        return format!("{}{}, reason: {reason}", which.collect::<String>(), changes.join(", "));
    }
    let telling = fields.iter().filter(|(name, value)| !REPEATED.contains(&name.as_str()) && !is_empty(value));
    let words = telling.map(|(name, value)| match value {
        Value::String(text) => format!("{name}: {text}"),
        value => format!("{name}: {value}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |value: &Value| match value {
            Value::Null => "nothing".to_owned(),
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        write!(formatter, "{}: {} → {}", self.field, told(&self.old), told(&self.new))
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn on_a_narrow_terminal_lines_break_between_words() {
        let text =
            "       7  2026-03-09 08:00:00  ReportSubmitted  by app\n          answers: 1, instrument: PAIN-NRS\n";
        assert_eq!(
            wrapped(text, 40),
            "       7  2026-03-09 08:00:00\n          ReportSubmitted  by app\n          answers: 1, instrument:\n          \
             PAIN-NRS\n"
        );
    }

    #[test]
    fn an_event_is_told_in_two_lines() {
        let item = json!({
            "position": 7, "occurred_at": "2026-03-09T08:00:00Z", "recorded_at": "2026-03-10T09:30:00Z",
            "type": "ReportSubmitted", "stream": {"type": "report", "id": "01890a5d-ac96-774b-bcce-b302099a8057"},
            "version": 1, "actor": {"id": "app", "role": "participant"},
            "payload": {"instrument": "PAIN-NRS", "answers": {"PAIN": 8}, "device": null, "triggered_rules": [],
                        "patient_id": "01890a5d-ac96-774b-bcce-b302099a8058"},
        });
        assert_eq!(
            told(item).expect("an event"),
            "       7  2026-03-09 08:00:00Z  ReportSubmitted  report/01890a5d v1  by app (participant), \
             recorded 2026-03-10 09:30:00Z\n          answers: {\"PAIN\":8}, instrument: PAIN-NRS\n"
        );
        assert!(told(json!({"position": 1})).is_err());
        assert_eq!(on_one_line("a\n     8  2026\u{1b}[2J ø"), "a\\n     8  2026\\u{1b}[2J ø");
    }
}
