//! The wearables: who has each, and what is stored apart because nobody knows whose it is.

use events::readings::device::DeviceEvent;

use crate::prelude::*;

/// The view.
pub struct Devices;

/// A wearable in a trial.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Device {
    device_id: DeviceId,
    /// The sponsor's identifier of the device, unique in the trial (CDISC `SPDEVID`).
    device: String,
    trial_id: TrialId,
    site_id: SiteId,
    /// Who has it, had it last, or for whom readings of it were sent.
    patient_id: PatientId,
    /// The same, as a subject of the trial.
    subject_id: SubjectId,
    /// Whether somebody has it, had it, or nobody is known to.
    status: DeviceStatus,
    manufacturer: Option<String>,
    model: Option<String>,
    serial_number: Option<Personal<String>>,
    from: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    /// Readings that were received from it.
    readings: u64,
    /// The time of the youngest of them.
    last_reading_at: Option<DateTime<Utc>>,
    /// Readings that are stored apart until somebody releases or discards them.
    readings_apart: u64,
    /// By how many seconds its clock was ahead, as it told last.
    clock_ahead_seconds: Option<i64>,
}

/// How it is with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceStatus {
    /// Readings came that call it so; it was never given to anybody.
    Unknown,
    /// Somebody has it.
    Assigned,
    /// Somebody had it.
    Returned,
}

impl Table for Devices {
    type Document = Device;
    const NAME: &'static str = "devices";
    const COLUMNS: &'static [Column<Device>] = &[
        uuid("trial_id", |device| device.trial_id.uuid().into()),
        uuid("site_id", |device| device.site_id.uuid().into()),
        uuid("patient_id", |device| device.patient_id.uuid().into()),
        uuid("subject_id", |device| device.subject_id.uuid().into()),
        named("device", |device| device.device.clone().into()),
        text("status", |device| name_of(&device.status)),
        time("last_reading_at", |device| device.last_reading_at),
    ];
    const ACCESS_PATHS: &'static [&'static [&'static str]] = &[
        &["trial_id", "device"],
        &["site_id", "device"],
        &["patient_id", "device"],
        &["subject_id", "device"],
        &["status", "device"],
        &["device"],
        &["last_reading_at"],
    ];
    const COLLECTION: Collection = Collection::new(
        "devices",
        "device",
        &[
            TRIAL,
            SITE,
            PATIENT,
            SUBJECT,
            is("device").meaning("The sponsor's identifier of the device"),
            STATUS.meaning("Whether somebody has it"),
        ],
        &[Sort::by("device"), Sort::by_greatest("last_reading_at")],
    );
    const AREA: Area = Area::Clinical;
    const SCOPE: Scope = Scope::SUBJECT;
}

impl View for Devices {
    const OF: StreamType = StreamType::Device;

    fn fold(document: Option<Device>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Device> {
        let AnyEvent::Device(event) = event else { return document };
        let mut device = match document {
            Some(device) => device,
            None => Device::begun(event, envelope)?,
        };
        match event {
            DeviceEvent::DeviceAssigned(assigned) => {
                device.device = assigned.device.clone();
                (device.trial_id, device.site_id) = (assigned.trial_id, assigned.site_id);
                (device.patient_id, device.subject_id) = (assigned.patient_id, assigned.subject_id);
                (device.manufacturer, device.model) = (assigned.manufacturer.clone(), assigned.model.clone());
                device.serial_number = assigned.serial_number.clone();
                (device.status, device.from, device.until) = (DeviceStatus::Assigned, Some(assigned.from), None);
            }
            DeviceEvent::DeviceReturned(returned) => {
                (device.status, device.until) = (DeviceStatus::Returned, Some(returned.until));
            }
            DeviceEvent::ReadingsReceived(received) => {
                device.readings += u64::from(received.chunk.count);
                device.last_reading_at = device.last_reading_at.max(Some(received.chunk.until));
                device.clock_ahead_seconds = received.chunk.clock_ahead_seconds.or(device.clock_ahead_seconds);
            }
            DeviceEvent::ReadingsQuarantined(quarantined) => {
                device.readings_apart += u64::from(quarantined.chunk.count);
            }
            DeviceEvent::ReadingsReleased(released) => {
                device.readings += released.count;
                device.readings_apart = device.readings_apart.saturating_sub(released.count);
            }
            DeviceEvent::ReadingsDiscarded(discarded) => {
                device.readings_apart = device.readings_apart.saturating_sub(discarded.count);
            }
        }
        Some(device)
    }
}

impl Device {
    /// One of which nothing was known before.
    fn begun(event: &DeviceEvent, envelope: &Envelope) -> Option<Self> {
        let (name, subject_id) = match event {
            DeviceEvent::DeviceAssigned(event) => (&event.device, event.subject_id),
            DeviceEvent::ReadingsReceived(event) => (&event.device, event.subject_id),
            DeviceEvent::ReadingsQuarantined(event) => (&event.device, event.subject_id),
            DeviceEvent::DeviceReturned(_) | DeviceEvent::ReadingsReleased(_) | DeviceEvent::ReadingsDiscarded(_) => {
                return None;
            }
        };
        Some(Self {
            device_id: DeviceId::from(envelope.stream.id),
            device: name.clone(),
            trial_id: envelope.references.trial_id?,
            site_id: envelope.references.site_id?,
            patient_id: envelope.references.patient_id?,
            subject_id,
            status: DeviceStatus::Unknown,
            manufacturer: None,
            model: None,
            serial_number: None,
            from: None,
            until: None,
            readings: 0,
            last_reading_at: None,
            readings_apart: 0,
            clock_ahead_seconds: None,
        })
    }
}
