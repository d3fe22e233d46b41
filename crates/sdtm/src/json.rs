//! The end of an import in the words of a machine.

use serde_json::{Value, json};

use super::accounts::{Accounts, Count};
use super::plan::Frame;
use super::send::Sent;
use super::source::TableFile;

/// Figures by file and in all, and what came of it.
pub fn told(accounts: &Accounts, files: &[TableFile], frame: &Frame, sent: &Sent) -> Value {
    let figures = |count: Count| json!({"read": count.read, "taken": count.taken, "noted": count.noted, "rejected": count.rejected});
    let by_file = files.iter().zip(0..).map(|(file, number)| {
        let mut told = figures(accounts.count(number));
        told["file"] = file.name().into();
        told
    });
    json!({
        "study": frame.study, "trial_id": frame.trial_id, "files": by_file.collect::<Vec<_>>(),
        "notes": accounts.notes().len(), "new_events": sent.new_events, "corrections": sent.corrections,
        "position": sent.position, "complete": sent.stopped_by.is_none(),
    })
}
