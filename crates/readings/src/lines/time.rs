//! Times of devices: with an offset, or local ones in a zone that is told for the upload.

use chrono::{DateTime, NaiveDateTime, Timelike as _, Utc};
use events::TimeZone;
use events::time_zone::Instant;

use super::Fault;

/// A time, to the microsecond.
pub fn read(field: &'static str, text: &str, zone: Option<TimeZone>) -> Result<DateTime<Utc>, Fault> {
    let time = match DateTime::parse_from_rfc3339(text) {
        // A leap second would fall together with the second behind it.
        Ok(time) if time.nanosecond() >= 1_000_000_000 => return Err(malformed(field)),
        Ok(time) => time.to_utc(),
        Err(_) => local(field, text, zone)?,
    };
    DateTime::from_timestamp_micros(time.timestamp_micros()).ok_or_else(|| malformed(field))
}

fn malformed(field: &'static str) -> Fault {
    Fault::new(field, "malformed", "a time is written as 2026-01-31T12:00:00+01:00 (RFC 3339)")
}

fn local(field: &'static str, text: &str, zone: Option<TimeZone>) -> Result<DateTime<Utc>, Fault> {
    let local = text.parse::<NaiveDateTime>().map_err(|_| malformed(field))?;
    let zone = zone.ok_or_else(|| {
        Fault::new(
            field,
            "offset-missing",
            "a time without its offset needs the upload's `time_zone`, such as Europe/Oslo",
        )
    })?;
    match zone.instant(local) {
        Instant::One(time) => Ok(time),
        Instant::Two(..) => {
            let message = format!("clocks in {} showed this twice; give the offset", zone.name());
            Err(Fault::new(field, "ambiguous-time", message))
        }
        Instant::None => {
            let message = format!("clocks in {} never showed this; give the offset", zone.name());
            Err(Fault::new(field, "no-such-time", message))
        }
    }
}
