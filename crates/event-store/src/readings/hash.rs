//! The hash that binds stored readings to their event.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use sha2::{Digest as _, Sha256};

/// A reading as it is hashed: what was measured, when, for how many milliseconds, the value.
pub type Canonical<'reading> = (&'reading str, DateTime<Utc>, i64, f64);

/// SHA-256, as hexadecimal digits, of the readings of a chunk: a line for each, sorted by kind, time and length, of kind, time in
/// UTC to the microsecond, milliseconds and value, with tabs in between.
pub fn sha256<'reading>(readings: impl IntoIterator<Item = Canonical<'reading>>) -> String {
    let mut sorted: Vec<Canonical<'_>> = readings.into_iter().collect();
    sorted.sort_unstable_by_key(|(kind, at, lasts, _)| (*kind, *at, *lasts));
    let (mut hasher, mut line) = (Sha256::new(), String::new());
    for (kind, at, lasts, value) in sorted {
        line.clear();
        let at = at.to_rfc3339_opts(SecondsFormat::Micros, true);
        // Writing to a string does not fail.
        let _ = writeln!(line, "{kind}\t{at}\t{lasts}\t{value}");
        hasher.update(line.as_bytes());
    }
    hasher.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_lines() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
        let readings = [
            ("step-count", at("2026-01-05T10:00:00Z"), 60_000, 12.0),
            ("heart-rate", at("2026-01-05T10:00:01.5Z"), 0, 61.25),
            ("heart-rate", at("2026-01-05T10:00:00Z"), 0, 60.0),
        ];
        // By `printf 'heart-rate\t2026-01-05T10:00:00.000000Z\t0\t60\n…' | sha256sum`.
        let expected = "3c48851a1a28d7c18d5b3f191d012731dfafb25371e9ec2f31279bbea5afaefd";
        assert_eq!(sha256(readings), expected);
    }
}
