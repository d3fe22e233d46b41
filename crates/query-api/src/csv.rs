//! A history as a table: for each event a row, and for a correction one for each field that it changed.

use chrono::{DateTime, SecondsFormat, Utc};
use events::envelope::Envelope;

use crate::blinding::{Payload, Shown};
use crate::changes::{self, FieldChange, cell};

/// The columns.
pub const HEADER: &str = "position,recorded_at,occurred_at,type,stream_type,stream_id,version,actor,role,organisation,\
     trial_id,site_id,patient_id,field,old_value,new_value,reason,command_id,correlation_id,causation_id,event_id,\
     payload\n";

/// The rows of an event.
pub fn rows(event: &Envelope, shown: Shown) -> String {
    let payload = Payload::of(event, shown);
    let changes = changes::of(event, &payload);
    let payload = serde_json::to_string(&payload).unwrap_or_default();
    let reason = serde_json::from_str::<serde_json::Value>(&payload).map(|fields| cell(&fields["reason"]));
    let reason = reason.unwrap_or_default();
    match changes.as_slice() {
        [] => row(event, None, &reason, &payload),
        changes => changes.iter().map(|change| row(event, Some(change), &reason, &payload)).collect(),
    }
}

fn row(event: &Envelope, change: Option<&FieldChange>, reason: &str, payload: &str) -> String {
    let role = serde_json::to_value(event.actor.role).unwrap_or_default();
    let references = event.references;
    let (field, old, new) =
        change.map_or_else(Default::default, |change| (change.field.clone(), cell(&change.old), cell(&change.new)));
    let cells = [
        event.position.to_string(),
        time(event.recorded_at),
        time(event.occurred_at),
        event.event_type.clone(),
        event.stream.kind.to_string(),
        event.stream.id.to_string(),
        event.version.to_string(),
        event.actor.id.clone(),
        role.as_str().unwrap_or_default().to_owned(),
        event.actor.organisation.clone().unwrap_or_default(),
        references.trial_id.map(|id| id.to_string()).unwrap_or_default(),
        references.site_id.map(|id| id.to_string()).unwrap_or_default(),
        references.patient_id.map(|id| id.to_string()).unwrap_or_default(),
        field,
        old,
        new,
        reason.to_owned(),
        event.command_id.to_string(),
        event.correlation_id.to_string(),
        event.causation_id.map(|id| id.to_string()).unwrap_or_default(),
        event.event_id.to_string(),
        payload.to_owned(),
    ];
    format!("{}\n", cells.map(quoted).join(","))
}

/// As in the JSON form.
fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn quoted(cell: String) -> String {
    // What begins so is a formula to programs for tables, which would carry out what somebody wrote: an apostrophe before
    // it makes it a text there (OWASP, CSV injection). A number stays one.
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err();
    let cell = if is_formula { format!("'{cell}") } else { cell };
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn nothing_that_somebody_wrote_is_a_formula() {
        for (cell, written) in [
            ("=1+1", "'=1+1"),
            ("+47 2", "'+47 2"),
            ("-x", "'-x"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            ("=HYPERLINK(\"x\",1)", "\"'=HYPERLINK(\"\"x\"\",1)\""),
            ("-7.5", "-7.5"),
            ("+3", "+3"),
            ("a=b", "a=b"),
            ("", ""),
        ] {
            assert_eq!(quoted(cell.to_owned()), written);
        }
    }
}
