//! That somebody tried what they may not: recorded by the program itself.

use chrono::{DateTime, Utc};
use decider::{Aggregate, Command, Context, Decision, Facts, Halt};
use events::access::incident::{IncidentEvent, IncidentKind, IncidentRecorded};
use events::envelope::References;
use events::ids::{AccountId, IncidentId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An incident; nothing is decided on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// How often it was recorded.
    records: u32,
}

/// Records that somebody tried what they may not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordIncident {
    /// What was tried.
    pub kind: IncidentKind,
    /// The rule that refused it.
    pub rule: String,
    /// The account, where it is known.
    #[serde(default)]
    pub account_id: Option<AccountId>,
    /// Its username.
    #[serde(default)]
    pub username: Option<String>,
    /// What was asked for, without ids.
    pub operation: String,
    /// From where.
    #[serde(default)]
    pub address: Option<String>,
    /// How often.
    pub count: u32,
    /// The first time.
    pub first_at: DateTime<Utc>,
    /// The last time.
    pub last_at: DateTime<Utc>,
}

rules! {
    /// Why an incident is not recorded.
    pub enum IncidentError {
        Nothing => NOTHING = "incident-without-tries": "what never happened is no incident", field "count";
    }
}

impl Command for RecordIncident {
    type Target = IncidentId;
    const NAME: &'static str = "RecordIncident";

    fn decide(&self, incident_id: IncidentId, _context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        if self.count == 0 {
            return Err(IncidentError::Nothing.into());
        }
        facts.get::<Incident>(incident_id)?;
        let recorded = IncidentRecorded {
            kind: self.kind,
            rule: self.rule.clone(),
            account_id: self.account_id,
            username: self.username.clone(),
            operation: self.operation.clone(),
            address: self.address.clone(),
            count: self.count,
            first_at: self.first_at,
            last_at: self.last_at,
        };
        Ok(Decision::new(References::default(), self.last_at).append(incident_id, recorded))
    }
}

impl Aggregate for Incident {
    type Id = IncidentId;
    type Event = IncidentEvent;
    const SNAPSHOT_VERSION: u16 = 1;

    fn evolve(self, _event: &IncidentEvent, _occurred_at: DateTime<Utc>) -> Self {
        Self { records: self.records.saturating_add(1) }
    }
}
