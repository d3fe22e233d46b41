//! What the readings of each subject come to, by day and by what was measured.

use chrono::Datelike as _;
use events::envelope::References;
use events::readings::device::{DayOfReadings, DeviceEvent};
use events::readings::kind::ReadingKind;

use uuid::Uuid;

use crate::prelude::*;

/// The view.
pub struct ReadingsDaily;

/// The readings of one kind on one day of one subject.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ReadingsOfDay {
    trial_id: TrialId,
    site_id: SiteId,
    patient_id: PatientId,
    subject_id: SubjectId,
    /// The day, at the subject's site.
    day: NaiveDate,
    /// What was measured.
    kind: ReadingKind,
    /// The UCUM unit of the values.
    unit: String,
    /// How many readings there are.
    count: u64,
    /// The smallest value.
    min: Quantity,
    /// The greatest value.
    max: Quantity,
    /// Their arithmetic mean, to six decimals.
    mean: Quantity,
    /// All of them added: how many steps it was, or how long the sleep.
    sum: Quantity,
}

impl Table for ReadingsDaily {
    type Document = ReadingsOfDay;
    const NAME: &'static str = "readings_daily";
    const COLUMNS: &'static [Column<ReadingsOfDay>] = &[
        uuid("trial_id", |day| day.trial_id.uuid().into()),
        uuid("site_id", |day| day.site_id.uuid().into()),
        uuid("patient_id", |day| day.patient_id.uuid().into()),
        uuid("subject_id", |day| day.subject_id.uuid().into()),
        text("kind", |day| day.kind.name().to_owned().into()),
        text("day", |day| day.day.to_string().into()),
    ];
    const ACCESS_PATHS: &'static [&'static [&'static str]] = &[
        &["trial_id", "day"],
        &["site_id", "day"],
        &["patient_id", "kind", "day"],
        &["subject_id", "kind", "day"],
        &["patient_id", "day"],
        &["kind", "day"],
        &["day"],
    ];
    const COLLECTION: Collection = Collection::new(
        "readings-daily",
        "day of readings",
        &[TRIAL, SITE, PATIENT, SUBJECT, is("kind").meaning("What was measured"), is("day").meaning("On this day")],
        &[Sort::by_greatest("day")],
    );
    const AREA: Area = Area::Clinical;
    const SCOPE: Scope = Scope::SUBJECT;
}

/// Whose, and what each day came to.
fn told(event: &AnyEvent) -> Option<(SubjectId, &[DayOfReadings])> {
    match event {
        AnyEvent::Device(DeviceEvent::ReadingsReceived(event)) => Some((event.subject_id, &event.chunk.days)),
        AnyEvent::Device(DeviceEvent::ReadingsReleased(event)) => Some((event.subject_id, &event.days)),
        _ => None,
    }
}

/// The key of a day: the subject's id with day and kind laid over it, so that both can be read off it again. Ids of subjects are hashes,
/// of which no two are that much alike.
fn key(subject_id: SubjectId, day: &DayOfReadings) -> String {
    let kind = ReadingKind::ALL.iter().position(|kind| *kind == day.kind).unwrap_or_default();
    let mask = ((kind as u128) << 32) | u128::from(day.day.num_days_from_ce().cast_unsigned());
    Uuid::from_u128(subject_id.uuid().as_u128() ^ mask).to_string()
}

/// Which of the days a key is of.
fn of_key<'event>(key: &str, subject_id: SubjectId, days: &'event [DayOfReadings]) -> Option<&'event DayOfReadings> {
    let mask = Uuid::try_parse(key).ok()?.as_u128() ^ subject_id.uuid().as_u128();
    let kind = *ReadingKind::ALL.get(usize::try_from(mask >> 32).ok()?)?;
    let day = NaiveDate::from_num_days_from_ce_opt(i32::try_from(mask & 0xffff_ffff).ok()?)?;
    days.iter().find(|known| known.day == day && known.kind == kind)
}

impl View for ReadingsDaily {
    const OF: StreamType = StreamType::Device;

    fn keys(event: &AnyEvent, _envelope: &Envelope) -> Vec<String> {
        let Some((subject_id, days)) = told(event) else { return Vec::new() };
        days.iter().map(|day| key(subject_id, day)).collect()
    }

    fn fold(
        document: Option<ReadingsOfDay>,
        key: &str,
        event: &AnyEvent,
        envelope: &Envelope,
    ) -> Option<ReadingsOfDay> {
        let Some((subject_id, days)) = told(event) else { return document };
        let Some(day) = of_key(key, subject_id, days) else { return document };
        let References { trial_id, site_id, patient_id } = envelope.references;
        let known = document.as_ref();
        let count = known.map_or(0, |known| known.count) + u64::from(day.count);
        let sum = known.map_or(day.sum, |known| known.sum.plus(day.sum));
        Some(ReadingsOfDay {
            trial_id: trial_id?,
            site_id: site_id?,
            patient_id: patient_id?,
            subject_id,
            day: day.day,
            kind: day.kind,
            unit: day.kind.unit().to_owned(),
            count,
            min: known.map_or(day.min, |known| known.min.min(day.min)),
            max: known.map_or(day.max, |known| known.max.max(day.max)),
            mean: sum.mean_of(count),
            sum,
        })
    }
}
