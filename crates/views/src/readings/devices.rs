//! The wearables: who has each, and how much came from it.

use events::readings::device::{DeviceAssigned, DeviceEvent};

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
    /// Who has it, or had it last.
    patient_id: PatientId,
    /// The same, as a subject of the trial.
    subject_id: SubjectId,
    /// Whether somebody has it.
    status: DeviceStatus,
    manufacturer: Option<String>,
    model: Option<String>,
    serial_number: Option<Personal<String>>,
    from: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
    /// Readings of whoever has it that were received.
    readings: u64,
    /// The time of the youngest of them.
    last_reading_at: Option<DateTime<Utc>>,
    /// By how many seconds its clock was ahead, as it told last.
    clock_ahead_seconds: Option<i64>,
}

/// How it is with a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceStatus {
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
        if let DeviceEvent::DeviceAssigned(assigned) = event {
            return Some(Device::assigned(assigned, DeviceId::from(envelope.stream.id)));
        }
        let mut device = document?;
        match event {
            DeviceEvent::DeviceReturned(returned) => {
                (device.status, device.until) = (DeviceStatus::Returned, Some(returned.until));
            }
            DeviceEvent::ReadingsReceived(received) if received.subject_id == device.subject_id => {
                device.readings += u64::from(received.chunk.count);
                device.last_reading_at = device.last_reading_at.max(Some(received.chunk.until));
                device.clock_ahead_seconds = received.chunk.clock_ahead_seconds.or(device.clock_ahead_seconds);
            }
            DeviceEvent::ReadingsReleased(released) if released.subject_id == device.subject_id => {
                device.readings += released.count;
            }
            DeviceEvent::DeviceAssigned(_)
            | DeviceEvent::ReadingsReceived(_)
            | DeviceEvent::ReadingsQuarantined(_)
            | DeviceEvent::ReadingsReleased(_)
            | DeviceEvent::ReadingsDiscarded(_) => {}
        }
        Some(device)
    }
}

impl Device {
    /// One that somebody has from now on: what came of it before was of somebody else.
    fn assigned(assigned: &DeviceAssigned, device_id: DeviceId) -> Self {
        Self {
            device_id,
            device: assigned.device.clone(),
            trial_id: assigned.trial_id,
            site_id: assigned.site_id,
            patient_id: assigned.patient_id,
            subject_id: assigned.subject_id,
            status: DeviceStatus::Assigned,
            manufacturer: assigned.manufacturer.clone(),
            model: assigned.model.clone(),
            serial_number: assigned.serial_number.clone(),
            from: assigned.from,
            until: None,
            readings: 0,
            last_reading_at: None,
            clock_ahead_seconds: None,
        }
    }
}
