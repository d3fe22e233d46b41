//! The alert: raised by a rule, never closed by itself.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use decider::{Aggregate, Command, Context, Decision, Facts, Halt, Need};
use events::envelope::{References, Role};
use events::ids::{AdverseEventId, AlertId, PatientId, SiteId, StreamId, StreamType, SubjectId, TrialId};
use events::safety::alert::{
    AlertAcknowledged, AlertEscalated, AlertEvent, AlertNoteAdded, AlertRaised, AlertResolved, Severity,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::consent::participant::{Participant, participant};
use crate::enrolment::subject::Subject;
use crate::epro::report::Report;
use crate::place::Place;
use crate::safety::adverse_event::{self, AdverseEvent};
use crate::validate::{self, NotFound};
use crate::when::When;

/// Who is told at each escalation, in order.
const ESCALATION: [&[Role]; 2] = [&[Role::Investigator, Role::Coordinator], &[Role::Sponsor, Role::MedicalMonitor]];
/// Longest time that an alert may wait: thirty days.
pub const ACKNOWLEDGE_MINUTES_MAX: u32 = 43_200;

/// An alert.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Alert {
    /// Not raised.
    #[default]
    Absent,
    /// Nobody took notice yet.
    Open(Matter),
    /// Somebody took notice.
    Acknowledged(Matter),
    /// Done with.
    Resolved(Matter),
}

impl Alert {
    /// What it is about, where it was raised.
    pub fn references(&self) -> Option<References> {
        match self {
            Alert::Absent => None,
            Alert::Open(matter) | Alert::Acknowledged(matter) | Alert::Resolved(matter) => Some(matter.references()),
        }
    }
}

/// What an alert is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matter {
    trial_id: TrialId,
    site_id: SiteId,
    patient_id: PatientId,
    subject_id: SubjectId,
    acknowledge_within_minutes: u32,
    acknowledge_by: Option<DateTime<Utc>>,
    level: u32,
    /// When it was raised.
    raised_at: DateTime<Utc>,
    /// When it was raised or acknowledged.
    since: DateTime<Utc>,
}

/// Raises an alert. Its id must be the one that follows from source event and rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RaiseAlert {
    /// The event that met the rule.
    pub source_event_id: Uuid,
    /// The stream of that event.
    pub source: StreamId,
    /// The rule's code.
    pub rule: String,
    /// How urgent.
    pub severity: Severity,
    /// What was seen.
    pub finding: String,
    /// The subject that it is about.
    pub subject_id: SubjectId,
    /// Who is told first.
    pub recipients: Vec<Role>,
    /// Minutes until it is escalated unless somebody acknowledges it.
    pub acknowledge_within_minutes: u32,
    /// Its source was brought in from a record of the past: nobody is told, and no clock runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub historical: bool,
}

/// Takes notice of an alert. Where somebody did already, the note is kept beside theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcknowledgeAlert {
    /// What is to be said about it.
    #[serde(default)]
    pub note: Option<String>,
    /// When it happened; by default now.
    pub occurred_at: When,
}

/// Tells the next level, because nobody acknowledged in time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EscalateAlert {}

/// Records that what had to be done was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolveAlert {
    /// What was done.
    pub action_taken: String,
    /// The adverse event that was reported in consequence.
    #[serde(default)]
    pub adverse_event_id: Option<AdverseEventId>,
    /// When it happened; by default now.
    pub occurred_at: When,
}

rules! {
    /// Why a command to an alert is refused.
    pub enum AlertError {
        ForeignId => FOREIGN_ID = "alert-id-foreign":
            "the alert's id must be the one that follows from its source event and rule";
        Resolved => RESOLVED = "alert-resolved": "the alert is resolved";
        HandledBefore(since: NaiveDate) => HANDLED_BEFORE = "alert-handled-before-raised":
            "the alert was raised or acknowledged on {0}, later than this", field "occurred_at";
        OtherSubject => OTHER_SUBJECT = "adverse-event-of-another-subject":
            "the adverse event is not one of the alert's subject", field "adverse_event_id";
        NotDue(until: DateTime<Utc>) => NOT_DUE = "alert-not-due": "the alert may still be acknowledged until {0}";
        _ => NOT_FOUND = "alert-not-found";
    }
}

impl Command for RaiseAlert {
    type Target = AlertId;
    const NAME: &'static str = "RaiseAlert";

    fn reads(&self, alert_id: AlertId) -> Vec<Need> {
        vec![Need::of::<Alert>(alert_id), Need::of::<Subject>(self.subject_id)]
    }

    fn decide(&self, alert_id: AlertId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        let minutes = self.acknowledge_within_minutes;
        validate::all([
            validate::code("rule", &self.rule),
            validate::prose("finding", &self.finding),
            validate::list("recipients", &self.recipients),
            validate::range("acknowledge_within_minutes", minutes, 1, ACKNOWLEDGE_MINUTES_MAX),
        ])?;
        if alert_id != AlertId::of(self.source_event_id, &self.rule) {
            return Err(AlertError::ForeignId.into());
        }
        let participant = self.participant(facts)?;
        let decision = Decision::new(participant.references(), context.now);
        if *facts.get::<Alert>(alert_id)? != Alert::Absent {
            return Ok(decision);
        }
        let raised = AlertRaised {
            source_event_id: self.source_event_id,
            source: self.source,
            rule: self.rule.clone(),
            severity: self.severity,
            finding: self.finding.clone(),
            subject_id: self.subject_id,
            trial_id: participant.trial_id,
            site_id: participant.site_id,
            patient_id: participant.patient_id,
            recipients: self.recipients.clone(),
            acknowledge_by: (!self.historical).then(|| context.now + TimeDelta::minutes(minutes.into())),
            acknowledge_within_minutes: minutes,
            historical: self.historical,
        };
        Ok(decision.append(alert_id, raised))
    }
}

impl RaiseAlert {
    /// Whom it is about, with the site that recorded the source: what one site corrects after the subject went to another is
    /// told to that one.
    fn participant(&self, facts: &Facts) -> Result<Participant, Halt> {
        let now = participant(facts, self.subject_id, Some("subject_id"))?;
        let then = match self.source.kind {
            StreamType::Report => facts.get::<Report>(self.source.id.into())?.participant(),
            StreamType::AdverseEvent => facts.get::<AdverseEvent>(self.source.id.into())?.participant(),
            _ => None,
        };
        Ok(then.filter(|then| then.subject_id == self.subject_id).unwrap_or(now))
    }
}

impl Command for AcknowledgeAlert {
    type Target = AlertId;
    const NAME: &'static str = "AcknowledgeAlert";

    fn decide(&self, alert_id: AlertId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::optional_prose("note", self.note.as_deref())?;
        let alert = facts.get::<Alert>(alert_id)?;
        let matter = alert.matter(alert_id)?;
        // Of two who took notice the second to be heard may have been the first.
        let occurred_at = matter.handled_at(self.occurred_at, matter.raised_at, context, facts)?;
        let decision = Decision::new(matter.references(), occurred_at);
        match (alert, &self.note) {
            (Alert::Open(_), note) => {
                Ok(decision.append(alert_id, AlertAcknowledged { note: note.clone().map(Into::into) }))
            }
            (Alert::Acknowledged(_), Some(note)) => {
                Ok(decision.append(alert_id, AlertNoteAdded { note: note.clone().into() }))
            }
            (Alert::Acknowledged(_) | Alert::Absent, _) => Ok(decision),
            (Alert::Resolved(_), _) => Err(AlertError::Resolved.into()),
        }
    }
}

impl Command for EscalateAlert {
    type Target = AlertId;
    const NAME: &'static str = "EscalateAlert";

    fn decide(&self, alert_id: AlertId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        let alert = facts.get::<Alert>(alert_id)?;
        let matter = alert.matter(alert_id)?;
        let decision = Decision::new(matter.references(), context.now);
        let (Alert::Open(_), Some(acknowledge_by)) = (alert, matter.acknowledge_by) else { return Ok(decision) };
        if context.now < acknowledge_by {
            return Err(AlertError::NotDue(acknowledge_by).into());
        }
        let level = matter.level + 1;
        let recipients = ESCALATION.get(matter.level as usize).copied().unwrap_or_default();
        let last = level as usize >= ESCALATION.len();
        let wait = TimeDelta::minutes(matter.acknowledge_within_minutes.into());
        let escalated = AlertEscalated {
            level,
            recipients: recipients.to_vec(),
            acknowledge_by: (!last).then(|| context.now + wait),
        };
        Ok(decision.append(alert_id, escalated))
    }
}

impl Command for ResolveAlert {
    type Target = AlertId;
    const NAME: &'static str = "ResolveAlert";

    fn decide(&self, alert_id: AlertId, context: &Context, facts: &Facts) -> Result<Decision, Halt> {
        validate::prose("action_taken", &self.action_taken)?;
        let alert = facts.get::<Alert>(alert_id)?;
        let matter = alert.matter(alert_id)?;
        let occurred_at = matter.handled_at(self.occurred_at, matter.since, context, facts)?;
        if let Some(adverse_event_id) = self.adverse_event_id
            && adverse_event::subject_of(facts, adverse_event_id, Some("adverse_event_id"))? != matter.subject_id
        {
            return Err(AlertError::OtherSubject.into());
        }
        let decision = Decision::new(matter.references(), occurred_at);
        match alert {
            Alert::Resolved(_) => Err(AlertError::Resolved.into()),
            Alert::Open(_) | Alert::Acknowledged(_) | Alert::Absent => {
                let (action_taken, adverse_event_id) = (self.action_taken.clone().into(), self.adverse_event_id);
                Ok(decision.append(alert_id, AlertResolved { action_taken, adverse_event_id }))
            }
        }
    }
}

impl Alert {
    fn matter(&self, alert_id: AlertId) -> Result<&Matter, Halt> {
        match self {
            Alert::Absent => Err(NotFound::halt(AlertError::NOT_FOUND, "alert", alert_id, None)),
            Alert::Open(matter) | Alert::Acknowledged(matter) | Alert::Resolved(matter) => Ok(matter),
        }
    }
}

impl Matter {
    /// When somebody handled it: not before what that answers.
    fn handled_at(
        &self,
        when: When,
        earlier: DateTime<Utc>,
        context: &Context,
        facts: &Facts,
    ) -> Result<DateTime<Utc>, Halt> {
        let place = Place::site(facts, self.site_id);
        let time = when.time(context, "occurred_at", &place)?;
        place.require_not_before(time, earlier, AlertError::HandledBefore)?;
        Ok(time)
    }

    const fn references(&self) -> References {
        References::subject(self.trial_id, self.site_id, self.patient_id)
    }
}

impl Aggregate for Alert {
    type Id = AlertId;
    type Event = AlertEvent;
    const SNAPSHOT_VERSION: u16 = 3;

    fn evolve(self, event: &AlertEvent, occurred_at: DateTime<Utc>) -> Self {
        match (self, event) {
            (Alert::Absent, AlertEvent::AlertRaised(raised)) => Alert::Open(Matter {
                trial_id: raised.trial_id,
                site_id: raised.site_id,
                patient_id: raised.patient_id,
                subject_id: raised.subject_id,
                acknowledge_within_minutes: raised.acknowledge_within_minutes,
                acknowledge_by: raised.acknowledge_by,
                level: 0,
                raised_at: occurred_at,
                since: occurred_at,
            }),
            (Alert::Open(matter), AlertEvent::AlertAcknowledged(_)) => {
                Alert::Acknowledged(Matter { since: occurred_at.max(matter.since), ..matter })
            }
            (Alert::Open(matter), AlertEvent::AlertEscalated(escalated)) => {
                let (acknowledge_by, level) = (escalated.acknowledge_by, escalated.level);
                Alert::Open(Matter { acknowledge_by, level, ..matter })
            }
            (Alert::Open(matter) | Alert::Acknowledged(matter), AlertEvent::AlertResolved(_)) => {
                Alert::Resolved(matter)
            }
            // Not decided by any command; the log is read all the same.
            (
                alert,
                AlertEvent::AlertRaised(_)
                | AlertEvent::AlertAcknowledged(_)
                | AlertEvent::AlertNoteAdded(_)
                | AlertEvent::AlertEscalated(_)
                | AlertEvent::AlertResolved(_),
            ) => alert,
        }
    }
}
