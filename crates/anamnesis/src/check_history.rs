//! `anamnesis check-history`: proves or refutes what was recorded of a concurrent run.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use history_checker::{History, HistoryError};
use serde_json::json;

use crate::output::line;

/// Faults that are told one by one.
const TOLD_MAX: usize = 50;

/// What was recorded.
#[derive(Args)]
pub struct CheckHistoryArgs {
    /// Records of one run: a JSON object per line, in any number of files; see docs/guides/check-a-history.md.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Prints a JSON object: `events`, `sent`, `acknowledged`, `refused`, `reads`, `consumers`, `faults` (texts).
    #[arg(long)]
    json: bool,
}

/// Why a history could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum CheckHistoryError {
    /// A file cannot be opened.
    #[error("{0} cannot be opened")]
    Open(PathBuf, #[source] std::io::Error),
    /// A file is not a record.
    #[error("{0} cannot be read as a history")]
    Read(PathBuf, #[source] HistoryError),
}

/// Tells every fault; the exit code is 1 where there is one.
pub fn run(args: &CheckHistoryArgs) -> Result<ExitCode, CheckHistoryError> {
    let mut history = History::default();
    for path in &args.files {
        let file = File::open(path).map_err(|source| CheckHistoryError::Open(path.clone(), source))?;
        history.read(BufReader::new(file)).map_err(|source| CheckHistoryError::Read(path.clone(), source))?;
    }
    let verdict = history.check();
    if args.json {
        let faults: Vec<String> = verdict.faults.iter().map(ToString::to_string).collect();
        let is_faultless = faults.is_empty();
        line(
            &json!({"events": verdict.events, "sent": verdict.sent, "acknowledged": verdict.acknowledged,
                "refused": verdict.refused, "reads": verdict.reads, "consumers": verdict.consumers, "faults": faults})
            .to_string(),
        );
        return Ok(if is_faultless { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    line(&format!(
        "{} events; {} appends sent, {} acknowledged, {} refused; {} reads; {} consumers",
        verdict.events, verdict.sent, verdict.acknowledged, verdict.refused, verdict.reads, verdict.consumers
    ));
    for fault in verdict.faults.iter().take(TOLD_MAX) {
        line(&format!("FAULT {fault}"));
    }
    let more = verdict.faults.len().saturating_sub(TOLD_MAX);
    if more > 0 {
        line(&format!("… and {more} faults more"));
    }
    if verdict.faults.is_empty() {
        line("No fault: one log that keeps its promises can have been seen so.");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}
