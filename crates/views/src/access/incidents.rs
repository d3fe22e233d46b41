//! What somebody tried and may not.

use authority::Area;
use chrono::{DateTime, Utc};
use events::access::incident::{IncidentEvent, IncidentKind};
use events::envelope::Envelope;
use events::ids::{AccountId, IncidentId, StreamType};
use events::registry::AnyEvent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::column::{Column, name_of, text, time, uuid};
use crate::table::{Collection, Scope, Sort, Table, is, since, until};
use crate::view::View;

/// The view.
pub struct Incidents;

/// Somebody tried what they may not, once or several times.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    incident_id: IncidentId,
    kind: IncidentKind,
    /// The rule that refused it.
    rule: String,
    account_id: Option<AccountId>,
    username: Option<String>,
    /// What was asked for, without ids.
    operation: String,
    /// From where.
    address: Option<String>,
    /// How often.
    count: u32,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
}

impl Table for Incidents {
    type Document = Incident;
    const NAME: &'static str = "incidents";
    const VERSION: u32 = 1;
    const COLUMNS: &'static [Column<Incident>] = &[
        text("kind", |incident| name_of(&incident.kind)),
        uuid("account_id", |incident| incident.account_id.map(|account_id| account_id.uuid())),
        time("last_at", |incident| incident.last_at.into()),
    ];
    const ACCESS_PATHS: &'static [&'static [&'static str]] =
        &[&["kind", "last_at"], &["account_id", "last_at"], &["last_at"]];
    const COLLECTION: Collection = Collection::new(
        "incidents",
        "thing that somebody tried and may not",
        &[is("kind"), is("account_id"), since("last_at"), until("last_at")],
        &[Sort::by_greatest("last_at")],
    );
    const AREA: Area = Area::Access;
    const SCOPE: Scope = Scope::INSTALLATION;
}

impl View for Incidents {
    const OF: StreamType = StreamType::Incident;

    fn fold(document: Option<Incident>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Incident> {
        let AnyEvent::Incident(IncidentEvent::IncidentRecorded(recorded)) = event else { return document };
        Some(Incident {
            incident_id: IncidentId::from(envelope.stream.id),
            kind: recorded.kind,
            rule: recorded.rule.clone(),
            account_id: recorded.account_id,
            username: recorded.username.clone(),
            operation: recorded.operation.clone(),
            address: recorded.address.clone(),
            count: recorded.count,
            first_at: recorded.first_at,
            last_at: recorded.last_at,
        })
    }
}
