//! The third stage: what is known of who wears what, and of their consent, decides on each reading.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use domain::readings::receipt::DAYS_MAX;
use domain::readings::terms::{Terms, lies_in};
use event_store::readings::{Parcel, Reading, RefusedLine};
use events::ids::{DeviceId, TrialId};
use uuid::Uuid;

use crate::lines::{Draft, Parsed};

/// How far a clock may be ahead of ours.
const CLOCK_AHEAD_MAX: TimeDelta = TimeDelta::minutes(5);
/// Days and kinds of a chunk by UTC: at the site there may be one day more for each kind.
const UTC_DAYS_MAX: usize = DAYS_MAX / 2;

/// What the time is, here and at the device.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// Our own.
    pub now: DateTime<Utc>,
    /// By how many seconds the device's is ahead, where it was told.
    pub ahead_seconds: Option<i64>,
}

impl Clocks {
    /// The latest time that a reading can be of.
    fn latest(self) -> DateTime<Utc> {
        let ahead = TimeDelta::try_seconds(self.ahead_seconds.unwrap_or(0).max(0)).unwrap_or_default();
        (self.now + CLOCK_AHEAD_MAX).checked_add_signed(ahead).unwrap_or(self.now)
    }
}

/// Readings by the chunks that they are stored in, and those that are not taken.
pub fn judge(
    parsed: &Parsed,
    terms: &Terms,
    trial_id: TrialId,
    clocks: Clocks,
    new_id: impl Fn() -> Uuid,
) -> (Vec<Parcel>, Vec<RefusedLine>) {
    let mut refused = Vec::new();
    // Those of one device in one span in which the subject had it, or outside of all.
    let mut groups: BTreeMap<(usize, Option<usize>), Vec<&Draft>> = BTreeMap::new();
    for draft in &parsed.drafts {
        match fault(draft, terms, clocks) {
            Some((rule, message)) => refused.push(RefusedLine {
                line: draft.line,
                field: "at".to_owned(),
                rule: rule.to_owned(),
                message: message.to_owned(),
            }),
            None => {
                let worn = terms.worn.get(draft.device).map_or(&[][..], Vec::as_slice);
                let span = worn.iter().position(|span| lies_in(&[*span], draft.at) && lies_in(&[*span], end(draft)));
                groups.entry((draft.device, span)).or_default().push(draft);
            }
        }
    }
    let parcel = |device: &str, apart: bool, drafts: &[&Draft]| {
        let mut readings: Vec<Reading> = drafts.iter().map(|draft| reading(draft)).collect();
        readings.sort_by_key(Reading::key);
        Parcel {
            chunk_id: new_id(),
            device_id: DeviceId::of(trial_id, device),
            device: device.to_owned(),
            apart,
            clock_ahead_seconds: clocks.ahead_seconds,
            readings,
        }
    };
    let of_group = |((device, span), drafts): ((usize, Option<usize>), Vec<&Draft>)| {
        let device = parsed.devices.get(device).map_or("", String::as_str);
        in_few_days(&drafts).into_iter().map(|part| parcel(device, span.is_none(), part)).collect::<Vec<_>>()
    };
    let mut parcels: Vec<Parcel> = groups.into_iter().flat_map(of_group).collect();
    // Two uploads that store the same at once take rows in the same order: neither waits for the other in turn.
    parcels.sort_by_key(|parcel| parcel.device_id);
    (parcels, refused)
}

/// The last moment that a reading is of.
fn end(draft: &Draft) -> DateTime<Utc> {
    match draft.lasts {
        0 => draft.at,
        lasts => draft.at + TimeDelta::milliseconds(lasts) - TimeDelta::microseconds(1),
    }
}

fn fault(draft: &Draft, terms: &Terms, clocks: Clocks) -> Option<(&'static str, &'static str)> {
    if end(draft) > clocks.latest() {
        let message = "the time lies in the future; where the device's clock is ahead, tell `device_time`";
        return Some(("in-the-future", message));
    }
    let is_covered =
        |span: &(DateTime<Utc>, Option<DateTime<Utc>>)| lies_in(&[*span], draft.at) && lies_in(&[*span], end(draft));
    if !terms.covered.iter().any(is_covered) {
        return Some(("consent-not-in-force", "no consent of the patient to this trial covers that time"));
    }
    None
}

fn reading(draft: &Draft) -> Reading {
    let Draft { line, kind, at, lasts, value, .. } = *draft;
    Reading { kind: kind.name(), at, lasts, value, line }
}

/// Cut so that none is of more days than one event tells of.
fn in_few_days<'group, 'drafts>(mut drafts: &'group [&'drafts Draft]) -> Vec<&'group [&'drafts Draft]> {
    let mut parts = Vec::new();
    while !drafts.is_empty() {
        let mut days = HashSet::new();
        let fits = |draft: &&&Draft| {
            days.insert((draft.at.date_naive(), draft.kind));
            days.len() <= UTC_DAYS_MAX
        };
        let fitting = drafts.iter().take_while(fits).count();
        let (part, rest) = drafts.split_at(fitting.max(1));
        parts.push(part);
        drafts = rest;
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use domain::consent::participant::Participant;
    use events::TimeZone;
    use events::ids::{PatientId, SiteId, SubjectId};
    use events::readings::kind::ReadingKind;

    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    fn terms(worn: Vec<(&str, Option<&str>)>) -> Terms {
        let (patient_id, trial_id) = (PatientId::from(Uuid::from_u128(1)), TrialId::from(Uuid::from_u128(2)));
        let span = |(from, until): (&str, Option<&str>)| (time(from), until.map(time));
        Terms {
            participant: Participant {
                subject_id: SubjectId::of(patient_id, trial_id),
                trial_id,
                site_id: SiteId::from(Uuid::from_u128(3)),
                patient_id,
            },
            zone: TimeZone::UTC,
            covered: vec![span(("2026-01-01T00:00:00Z", Some("2026-03-01T00:00:00Z")))],
            worn: vec![worn.into_iter().map(span).collect(), Vec::new()],
        }
    }

    fn parsed(drafts: &[(usize, &str)]) -> Parsed {
        let draft = |(index, (device, at)): (usize, &(usize, &str))| Draft {
            line: index as u64 + 1,
            device: *device,
            kind: ReadingKind::HeartRate,
            at: time(at),
            lasts: 0,
            value: 60.0,
        };
        let drafts = drafts.iter().enumerate().map(draft).collect();
        Parsed { devices: vec!["known".to_owned(), "unknown".to_owned()], drafts, ..Parsed::default() }
    }

    #[test]
    fn each_reading_is_taken_stored_apart_or_refused() {
        let worn = vec![("2026-01-05T00:00:00Z", Some("2026-01-10T00:00:00Z")), ("2026-02-01T00:00:00Z", None)];
        let parsed = parsed(&[
            (0, "2026-01-06T00:00:00Z"),
            (0, "2026-01-11T00:00:00Z"),
            (1, "2026-01-06T00:00:00Z"),
            (0, "2026-02-02T00:00:00Z"),
            (0, "2025-12-31T00:00:00Z"),
            (0, "2026-03-01T00:00:00Z"),
            (0, "2026-02-15T00:00:00Z"),
        ]);
        let next = Cell::new(0);
        let new_id = || {
            next.set(next.get() + 1);
            Uuid::from_u128(next.get())
        };
        let terms = terms(worn);
        let clocks = Clocks { now: time("2026-02-14T00:00:00Z"), ahead_seconds: None };
        let (parcels, refused) = judge(&parsed, &terms, terms.participant.trial_id, clocks, new_id);
        let mut told: Vec<_> = parcels
            .iter()
            .map(|parcel| (parcel.device.as_str(), parcel.apart, parcel.readings.iter().map(|it| it.line).collect()))
            .collect();
        told.sort();
        let expected: Vec<(&str, bool, Vec<u64>)> = vec![
            ("known", false, vec![1]),
            ("known", false, vec![4]),
            ("known", true, vec![2]),
            ("unknown", true, vec![3]),
        ];
        assert_eq!(told, expected);
        let told: Vec<_> = refused.iter().map(|line| (line.line, line.rule.as_str())).collect();
        assert_eq!(
            told,
            [(5, "consent-not-in-force"), (6, "in-the-future"), (7, "in-the-future")],
            "the later fault is told first"
        );
        let ahead = Clocks { ahead_seconds: Some(2 * 86_400), ..clocks };
        let (_, refused) = judge(&parsed, &terms, terms.participant.trial_id, ahead, new_id);
        let told: Vec<_> = refused.iter().map(|line| (line.line, line.rule.as_str())).collect();
        assert_eq!(told, [(5, "consent-not-in-force"), (6, "in-the-future")], "the device's clock is two days ahead");
    }

    #[test]
    fn no_chunk_is_of_more_days_than_its_event_tells() {
        let first = time("2026-01-01T00:00:00Z");
        let drafts: Vec<Draft> = (0..2_600)
            .map(|day| Draft {
                line: 1,
                device: 0,
                kind: ReadingKind::HeartRate,
                at: first + TimeDelta::hours(12 * day),
                lasts: 0,
                value: 60.0,
            })
            .collect();
        let all: Vec<&Draft> = drafts.iter().collect();
        let parts: Vec<usize> = in_few_days(&all).iter().map(|part| part.len()).collect();
        assert_eq!(parts, [500, 500, 500, 500, 500, 100]);
    }
}
