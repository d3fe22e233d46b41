//! The inbox of alerts.

use authority::Area;
use chrono::{DateTime, SecondsFormat, Utc};
use events::envelope::{Envelope, Role};
use events::ids::{AdverseEventId, AlertId, PatientId, SiteId, StreamId, StreamType, SubjectId, TrialId};
use events::registry::AnyEvent;
use events::safety::alert::{AlertEvent, Severity};
use events::values::Prose;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::column::{Column, boolean, integer, name_of, text, time, uuid};
use crate::table::{Collection, PATIENT, SITE, STATUS, SUBJECT, Scope, Sort, TRIAL, Table, is};
use crate::view::View;

/// The view.
pub struct Alerts;

/// An alert.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Alert {
    alert_id: AlertId,
    subject_id: SubjectId,
    patient_id: PatientId,
    trial_id: TrialId,
    site_id: SiteId,
    rule: String,
    severity: Severity,
    finding: String,
    source: StreamId,
    status: AlertStatus,
    escalation_level: u32,
    recipients: Vec<Role>,
    raised_at: DateTime<Utc>,
    acknowledge_by: Option<DateTime<Utc>>,
    acknowledged_at: Option<DateTime<Utc>>,
    acknowledged_by: Option<String>,
    seconds_to_acknowledge: Option<i64>,
    resolved_at: Option<DateTime<Utc>>,
    action_taken: Option<Prose>,
    adverse_event_id: Option<AdverseEventId>,
    /// What was said about it, by each.
    notes: Vec<AlertNote>,
    /// Whether its source was brought in from a record of the past.
    historical: bool,
}

/// What somebody said about an alert.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct AlertNote {
    at: DateTime<Utc>,
    by: String,
    note: Prose,
}

/// How far an alert is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum AlertStatus {
    /// Nobody has taken notice yet.
    Raised,
    /// Nobody took notice in time: others were told.
    Escalated,
    /// Somebody took notice.
    Acknowledged,
    /// Settled.
    Resolved,
}

impl Table for Alerts {
    type Document = Alert;
    const NAME: &'static str = "alerts";
    const VERSION: u32 = 1;
    const COLUMNS: &'static [Column<Alert>] = &[
        uuid("trial_id", |alert| alert.trial_id.uuid().into()),
        uuid("site_id", |alert| alert.site_id.uuid().into()),
        uuid("patient_id", |alert| alert.patient_id.uuid().into()),
        uuid("subject_id", |alert| alert.subject_id.uuid().into()),
        text("status", |alert| name_of(&alert.status)),
        text("severity", |alert| name_of(&alert.severity)),
        // Sorts by severity, which the names do not.
        integer("severity_rank", |alert| rank(alert.severity).into()),
        boolean("open", |alert| alert.is_open().into()),
        boolean("acknowledged", |alert| alert.acknowledged_at.is_some().into()),
        boolean("historical", |alert| alert.historical.into()),
        text("urgency", |alert| alert.urgency().into()),
        time("raised_at", |alert| alert.raised_at.into()),
    ];
    const ACCESS_PATHS: &'static [&'static [&'static str]] = &[
        &["trial_id", "urgency"],
        &["trial_id", "open", "urgency"],
        &["trial_id", "status", "urgency"],
        &["trial_id", "raised_at"],
        &["site_id", "urgency"],
        &["site_id", "open", "urgency"],
        &["patient_id", "urgency"],
        &["subject_id", "urgency"],
        &["status", "urgency"],
        &["severity", "urgency"],
        &["open", "urgency"],
        &["acknowledged", "urgency"],
        &["historical", "urgency"],
        &["urgency"],
        &["severity_rank"],
        &["raised_at"],
    ];
    const COLLECTION: Collection = Collection::new(
        "alerts",
        "alert",
        &[
            TRIAL,
            SITE,
            PATIENT,
            SUBJECT,
            STATUS,
            is("severity"),
            is("open").meaning("Whether it waits for anybody: it does until it is resolved, acknowledged or not"),
            is("acknowledged").meaning("Whether somebody took notice"),
            is("historical").meaning("Whether its source was brought in from a record of the past"),
        ],
        &[
            Sort::by("urgency").meaning(
                "the most urgent first: those that wait for somebody to take notice, the most severe of them first and \
                 of these what was escalated and what runs out of time first; then what was acknowledged, what is of the past, what is \
                 resolved",
            ),
            Sort::by_greatest("raised_at"),
            Sort::by_greatest("severity_rank").called("severity").meaning("from low to critical"),
        ],
    );
    const AREA: Area = Area::Clinical;
    const SCOPE: Scope = Scope::SUBJECT;
}

impl Alert {
    /// Whether it waits for anybody.
    const fn is_open(&self) -> bool {
        !matches!(self.status, AlertStatus::Resolved)
    }

    /// Sorts as whoever looks after alerts should take them: smaller is more urgent. Until when is compared among
    /// alerts of one severity, so that a critical one never stands behind a lesser one that is overdue.
    fn urgency(&self) -> String {
        let class = match self.status {
            AlertStatus::Resolved => 3,
            _ if self.historical => 2,
            AlertStatus::Acknowledged => 1,
            AlertStatus::Raised | AlertStatus::Escalated => 0,
        };
        // Whose time ran out once waits longer than its new time says.
        let is_in_time = u8::from(self.escalation_level == 0);
        let due = self.acknowledge_by.unwrap_or(self.raised_at);
        let due = due.to_rfc3339_opts(SecondsFormat::Micros, true);
        format!("{class} {} {is_in_time} {due}", rank(Severity::Critical) - rank(self.severity))
    }
}

impl AlertNote {
    fn of(note: &Prose, envelope: &Envelope) -> Self {
        Self { at: envelope.occurred_at, by: envelope.actor.id.clone(), note: note.clone() }
    }
}

const fn rank(severity: Severity) -> i64 {
    match severity {
        Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    }
}

impl View for Alerts {
    const OF: StreamType = StreamType::Alert;

    fn fold(document: Option<Alert>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Alert> {
        let AnyEvent::Alert(event) = event else { return document };
        let at = envelope.occurred_at;
        match event {
            AlertEvent::AlertRaised(raised) => Some(Alert {
                alert_id: AlertId::from(envelope.stream.id),
                subject_id: raised.subject_id,
                patient_id: raised.patient_id,
                trial_id: raised.trial_id,
                site_id: raised.site_id,
                rule: raised.rule.clone(),
                severity: raised.severity,
                finding: raised.finding.clone(),
                source: raised.source,
                status: AlertStatus::Raised,
                escalation_level: 0,
                recipients: raised.recipients.clone(),
                raised_at: at,
                acknowledge_by: raised.acknowledge_by,
                acknowledged_at: None,
                acknowledged_by: None,
                seconds_to_acknowledge: None,
                resolved_at: None,
                action_taken: None,
                adverse_event_id: None,
                notes: Vec::new(),
                historical: raised.historical,
            }),
            AlertEvent::AlertAcknowledged(acknowledged) => document.map(|document| {
                let note = acknowledged.note.iter().map(|note| AlertNote::of(note, envelope));
                Alert {
                    status: AlertStatus::Acknowledged,
                    acknowledged_at: Some(at),
                    acknowledged_by: Some(envelope.actor.id.clone()),
                    seconds_to_acknowledge: Some((at - document.raised_at).num_seconds().max(0)),
                    acknowledge_by: None,
                    notes: document.notes.into_iter().chain(note).collect(),
                    ..document
                }
            }),
            AlertEvent::AlertNoteAdded(added) => document.map(|mut document| {
                document.notes.push(AlertNote::of(&added.note, envelope));
                document
            }),
            AlertEvent::AlertEscalated(escalated) => document.map(|document| Alert {
                status: AlertStatus::Escalated,
                escalation_level: escalated.level,
                recipients: escalated.recipients.clone(),
                acknowledge_by: escalated.acknowledge_by,
                ..document
            }),
            AlertEvent::AlertResolved(resolved) => document.map(|document| Alert {
                status: AlertStatus::Resolved,
                resolved_at: Some(at),
                action_taken: Some(resolved.action_taken.clone()),
                adverse_event_id: resolved.adverse_event_id,
                acknowledge_by: None,
                ..document
            }),
        }
    }
}
