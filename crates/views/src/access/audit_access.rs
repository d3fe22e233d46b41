//! Who was shown who a person is, or given a copy of what is known: the accounting of disclosures.

use authority::Area;
use chrono::{DateTime, Utc};
use events::access::disclosure::{DisclosureEvent, DisclosureKind};
use events::envelope::{Envelope, Role};
use events::ids::{DisclosureId, PatientId, StreamType};
use events::registry::AnyEvent;
use events::values::Prose;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::column::{Column, name_of, text, time, uuid};
use crate::table::{Collection, PATIENT, Scope, Sort, Table, is, since, until};
use crate::view::View;

/// The view.
pub struct AuditAccess;

/// Something about a person that somebody was shown.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Disclosure {
    disclosure_id: DisclosureId,
    patient_id: PatientId,
    /// The account that was shown it.
    username: String,
    /// The role in which it was.
    role: Role,
    /// The organisation for which it acted.
    organisation: Option<String>,
    kind: DisclosureKind,
    /// Whether personal data were in it as they are.
    unmasked: bool,
    /// What for, as whoever asked said it.
    purpose: Option<Prose>,
    /// From where it was asked.
    address: Option<String>,
    disclosed_at: DateTime<Utc>,
}

impl Table for AuditAccess {
    type Document = Disclosure;
    const NAME: &'static str = "audit_access";
    const VERSION: u32 = 1;
    const COLUMNS: &'static [Column<Disclosure>] = &[
        uuid("patient_id", |disclosure| Some(disclosure.patient_id.uuid())),
        text("username", |disclosure| disclosure.username.clone().into()),
        text("kind", |disclosure| name_of(&disclosure.kind)),
        time("disclosed_at", |disclosure| disclosure.disclosed_at.into()),
    ];
    const ACCESS_PATHS: &'static [&'static [&'static str]] =
        &[&["patient_id", "disclosed_at"], &["username", "disclosed_at"], &["kind", "disclosed_at"], &["disclosed_at"]];
    const COLLECTION: Collection = Collection::new(
        "disclosures",
        "disclosure",
        &[PATIENT, is("username"), is("kind"), since("disclosed_at"), until("disclosed_at")],
        &[Sort::by_greatest("disclosed_at")],
    );
    const AREA: Area = Area::Access;
    const SCOPE: Scope = Scope::INSTALLATION;
}

impl View for AuditAccess {
    const OF: StreamType = StreamType::Disclosure;

    fn fold(document: Option<Disclosure>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Disclosure> {
        let AnyEvent::Disclosure(DisclosureEvent::DisclosureRecorded(recorded)) = event else { return document };
        Some(Disclosure {
            disclosure_id: DisclosureId::from(envelope.stream.id),
            patient_id: recorded.patient_id,
            username: envelope.actor.id.clone(),
            role: envelope.actor.role,
            organisation: envelope.actor.organisation.clone(),
            kind: recorded.kind,
            unmasked: recorded.unmasked,
            purpose: recorded.purpose.clone(),
            address: recorded.address.clone(),
            disclosed_at: envelope.occurred_at,
        })
    }
}
