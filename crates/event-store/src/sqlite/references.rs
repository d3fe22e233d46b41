//! Where the events about a trial, a site and a patient are.
//!
//! In an index nearly every new event changes a page of its own for each of them,
//! and SQLite writes pages whole. So events are merged in by the thousand, in order,
//! and the newest are looked through
//! (docs/adr/0017-references-are-merged-in.md).

use crate::log::Reference;
use crate::log::row::COLUMNS;

/// References are merged in when the log crosses a multiple of this: about so
/// many events at most are looked through, in a millisecond.
const RUN: u64 = 8_192;

/// Merges in what was appended since it was last done, in the transaction that moved the head. In the
/// order of the index, so that each page of it is changed once. What is there already is the same.
pub const MERGE: &str = "
    INSERT OR IGNORE INTO events_of_trial SELECT trial_id, position FROM events INDEXED BY events_newest
        WHERE position > (SELECT merged FROM log_head WHERE partition = 0) AND trial_id IS NOT NULL
        ORDER BY trial_id, position;
    INSERT OR IGNORE INTO events_of_site SELECT site_id, position FROM events INDEXED BY events_newest
        WHERE position > (SELECT merged FROM log_head WHERE partition = 0) AND site_id IS NOT NULL
        ORDER BY site_id, position;
    INSERT OR IGNORE INTO events_of_patient SELECT patient_id, position FROM events INDEXED BY events_newest
        WHERE position > (SELECT merged FROM log_head WHERE partition = 0) AND patient_id IS NOT NULL
        ORDER BY patient_id, position;
    UPDATE log_head SET merged = position WHERE partition = 0;";

/// Whether references are to be merged in when the head moves so far.
pub const fn are_due(before: u64, after: u64) -> bool {
    before / RUN != after / RUN
}

/// The events of a reference `$1` after position `$2` up to `$3`, at most `$4`, by position.
pub fn select(reference: Reference) -> String {
    let (column, _) = reference.column();
    let table = column.trim_end_matches("_id");
    format!(
        "SELECT {COLUMNS} FROM events WHERE position IN (
             SELECT position FROM events_of_{table} WHERE {column} = $1 AND position > $2 AND position <= $3
             UNION
             SELECT position FROM events INDEXED BY events_newest
             WHERE position > max($2, (SELECT merged FROM log_head WHERE partition = 0))
                 AND position <= $3 AND {column} = $1
             ORDER BY position LIMIT $4
         ) AND {column} = $1 ORDER BY position"
    )
}

/// The events of a reference `$1` before position `$2`, at most `$3`, newest first.
pub fn select_back(reference: Reference) -> String {
    let (column, _) = reference.column();
    let table = column.trim_end_matches("_id");
    format!(
        "SELECT {COLUMNS} FROM events WHERE position IN (
             SELECT position FROM events_of_{table} WHERE {column} = $1 AND position < $2
             UNION
             SELECT position FROM events INDEXED BY events_newest
             WHERE position > (SELECT merged FROM log_head WHERE partition = 0)
                 AND position < $2 AND {column} = $1
             ORDER BY position DESC LIMIT $3
         ) AND {column} = $1 ORDER BY position DESC"
    )
}
