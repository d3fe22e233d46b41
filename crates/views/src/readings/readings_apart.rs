//! What is stored apart: readings of devices that are not known to be the subject's, until somebody releases or discards them.

use events::readings::device::{DeviceEvent, ReadingsQuarantined};

use crate::prelude::*;

/// The view.
pub struct ReadingsApart;

/// Readings of one device that were sent for one subject.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ApartReadings {
    device_id: DeviceId,
    /// As the device is called in them.
    device: String,
    trial_id: TrialId,
    site_id: SiteId,
    patient_id: PatientId,
    subject_id: SubjectId,
    /// How many readings there are.
    readings: u64,
    /// The time of the first.
    from: DateTime<Utc>,
    /// The time of the last.
    until: DateTime<Utc>,
    /// Since when they wait.
    since: DateTime<Utc>,
}

impl Table for ReadingsApart {
    type Document = ApartReadings;
    const NAME: &'static str = "readings_apart";
    const COLUMNS: &'static [Column<ApartReadings>] = &[
        uuid("trial_id", |apart| apart.trial_id.uuid().into()),
        uuid("site_id", |apart| apart.site_id.uuid().into()),
        uuid("patient_id", |apart| apart.patient_id.uuid().into()),
        uuid("subject_id", |apart| apart.subject_id.uuid().into()),
        time("since", |apart| apart.since.into()),
    ];
    const ACCESS_PATHS: &'static [&'static [&'static str]] = &[
        &["trial_id", "since"],
        &["site_id", "since"],
        &["patient_id", "since"],
        &["subject_id", "since"],
        &["since"],
    ];
    const COLLECTION: Collection = Collection::new(
        "readings-apart",
        "set of readings that are stored apart",
        &[TRIAL, SITE, PATIENT, SUBJECT],
        &[Sort::by_greatest("since")],
    );
    const AREA: Area = Area::Clinical;
    const SCOPE: Scope = Scope::SUBJECT;
}

impl View for ReadingsApart {
    const OF: StreamType = StreamType::Device;

    fn keys(event: &AnyEvent, envelope: &Envelope) -> Vec<String> {
        let AnyEvent::Device(event) = event else { return Vec::new() };
        let subject_id = match event {
            DeviceEvent::ReadingsQuarantined(event) => event.subject_id,
            DeviceEvent::ReadingsReleased(event) => event.subject_id,
            DeviceEvent::ReadingsDiscarded(event) => event.subject_id,
            DeviceEvent::DeviceAssigned(_) | DeviceEvent::DeviceReturned(_) | DeviceEvent::ReadingsReceived(_) => {
                return Vec::new();
            }
        };
        vec![DeviceId::from(envelope.stream.id).apart(subject_id).to_string()]
    }

    fn fold(
        document: Option<ApartReadings>,
        _key: &str,
        event: &AnyEvent,
        envelope: &Envelope,
    ) -> Option<ApartReadings> {
        let AnyEvent::Device(DeviceEvent::ReadingsQuarantined(event)) = event else { return None };
        let ReadingsQuarantined { device, subject_id, chunk } = event;
        let known = document.as_ref();
        Some(ApartReadings {
            device_id: DeviceId::from(envelope.stream.id),
            device: device.clone(),
            trial_id: envelope.references.trial_id?,
            site_id: envelope.references.site_id?,
            patient_id: envelope.references.patient_id?,
            subject_id: *subject_id,
            readings: known.map_or(0, |known| known.readings) + u64::from(chunk.count),
            from: known.map_or(chunk.from, |known| known.from.min(chunk.from)),
            until: known.map_or(chunk.until, |known| known.until.max(chunk.until)),
            since: known.map_or(envelope.recorded_at, |known| known.since),
        })
    }
}
