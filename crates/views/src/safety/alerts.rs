//! The inbox of alerts.

use chrono::{DateTime, Utc};
use event_store::views::{ColumnKind, ColumnValue, ViewSchema};
use events::alert::{AlertEvent, Severity};
use events::any::AnyEvent;
use events::envelope::{Envelope, Role};
use events::ids::{AdverseEventId, AlertId, PatientId, SiteId, StreamId, SubjectId, TrialId};
use serde::{Deserialize, Serialize};

use super::column;
use crate::view::View;

/// The view.
pub struct Alerts;

/// An alert. `status` is `raised`, `escalated`, `acknowledged` or `resolved`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Document {
    alert_id: AlertId,
    subject_id: SubjectId,
    patient_id: PatientId,
    trial_id: TrialId,
    site_id: SiteId,
    rule: String,
    severity: Severity,
    finding: String,
    source: StreamId,
    status: String,
    escalation_level: u32,
    recipients: Vec<Role>,
    raised_at: DateTime<Utc>,
    acknowledge_by: Option<DateTime<Utc>>,
    acknowledged_at: Option<DateTime<Utc>>,
    acknowledged_by: Option<String>,
    seconds_to_acknowledge: Option<i64>,
    resolved_at: Option<DateTime<Utc>>,
    action_taken: Option<String>,
    adverse_event_id: Option<AdverseEventId>,
}

impl View for Alerts {
    const SCHEMA: ViewSchema = ViewSchema {
        name: "alerts",
        version: 1,
        columns: &[
            column("trial_id", ColumnKind::Uuid),
            column("site_id", ColumnKind::Uuid),
            column("patient_id", ColumnKind::Uuid),
            column("status", ColumnKind::Text),
            column("severity", ColumnKind::Text),
            // Sorts by urgency, which the names do not.
            column("severity_rank", ColumnKind::Integer),
            column("raised_at", ColumnKind::Time),
        ],
        access_paths: &[],
    };
    type Document = Document;

    fn keys(event: &AnyEvent, envelope: &Envelope) -> Vec<String> {
        match event {
            AnyEvent::Alert(_) => vec![envelope.stream.id.to_string()],
            _ => Vec::new(),
        }
    }

    fn fold(document: Option<Document>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Document> {
        let AnyEvent::Alert(event) = event else { return document };
        let at = envelope.occurred_at;
        match event {
            AlertEvent::AlertRaised(raised) => Some(Document {
                alert_id: AlertId::from(envelope.stream.id),
                subject_id: raised.subject_id,
                patient_id: raised.patient_id,
                trial_id: raised.trial_id,
                site_id: raised.site_id,
                rule: raised.rule.clone(),
                severity: raised.severity,
                finding: raised.finding.clone(),
                source: raised.source,
                status: "raised".to_owned(),
                escalation_level: 0,
                recipients: raised.recipients.clone(),
                raised_at: at,
                acknowledge_by: Some(raised.acknowledge_by),
                acknowledged_at: None,
                acknowledged_by: None,
                seconds_to_acknowledge: None,
                resolved_at: None,
                action_taken: None,
                adverse_event_id: None,
            }),
            AlertEvent::AlertAcknowledged(_) => document.map(|document| Document {
                status: "acknowledged".to_owned(),
                acknowledged_at: Some(at),
                acknowledged_by: Some(envelope.actor.id.clone()),
                seconds_to_acknowledge: Some((at - document.raised_at).num_seconds()),
                acknowledge_by: None,
                ..document
            }),
            AlertEvent::AlertEscalated(escalated) => document.map(|document| Document {
                status: "escalated".to_owned(),
                escalation_level: escalated.level,
                recipients: escalated.recipients.clone(),
                acknowledge_by: escalated.acknowledge_by,
                ..document
            }),
            AlertEvent::AlertResolved(resolved) => document.map(|document| Document {
                status: "resolved".to_owned(),
                resolved_at: Some(at),
                action_taken: Some(resolved.action_taken.clone()),
                adverse_event_id: resolved.adverse_event_id,
                acknowledge_by: None,
                ..document
            }),
        }
    }

    fn columns(document: &Document) -> Vec<ColumnValue> {
        let (severity, rank) = match document.severity {
            Severity::Low => ("low", 1_u32),
            Severity::Medium => ("medium", 2),
            Severity::High => ("high", 3),
            Severity::Critical => ("critical", 4),
        };
        vec![
            document.trial_id.uuid().into(),
            document.site_id.uuid().into(),
            document.patient_id.uuid().into(),
            document.status.clone().into(),
            severity.into(),
            rank.into(),
            document.raised_at.into(),
        ]
    }
}
