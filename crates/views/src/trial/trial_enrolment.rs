//! How far enrolment of a trial is: the funnel, by site and by arm.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use event_store::views::{ColumnKind, ColumnValue, ViewSchema};
use events::any::AnyEvent;
use events::consent::ConsentEvent;
use events::envelope::Envelope;
use events::ids::{SiteId, TrialId};
use events::site::SiteEvent;
use events::subject::SubjectEvent;
use events::trial::{Blinding, EnrolmentMode, TrialEvent};
use serde::{Deserialize, Serialize};

use super::column;
use crate::view::View;

/// The view.
pub struct TrialEnrolment;

/// A trial and its figures. `screened` counts everybody who was screened, also
/// those who failed; `enrolled` everybody who ever was.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Document {
    trial_id: TrialId,
    protocol: String,
    title: String,
    phase: Option<String>,
    blinding: Blinding,
    enrolment_mode: EnrolmentMode,
    status: Status,
    registered_at: DateTime<Utc>,
    planned: u32,
    consented: u32,
    screened: u32,
    screen_failed: u32,
    enrolled: u32,
    randomised: u32,
    discontinued: BTreeMap<String, u32>,
    completed: u32,
    by_site: Vec<SiteFigures>,
    by_arm: Vec<ArmFigures>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Status {
    Registered,
    Open,
    Paused,
    Closed,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SiteFigures {
    site: String,
    site_id: SiteId,
    consented: u32,
    screened: u32,
    screen_failed: u32,
    enrolled: u32,
    randomised: u32,
    discontinued: u32,
    completed: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ArmFigures {
    arm: String,
    name: String,
    randomised: u32,
}

impl View for TrialEnrolment {
    const SCHEMA: ViewSchema = ViewSchema {
        name: "trial_enrolment",
        version: 1,
        columns: &[
            column("protocol", ColumnKind::Text),
            column("status", ColumnKind::Text),
            column("registered_at", ColumnKind::Time),
            column("enrolled", ColumnKind::Integer),
        ],
        access_paths: &[],
    };
    type Document = Document;

    fn keys(event: &AnyEvent, envelope: &Envelope) -> Vec<String> {
        let counts = match event {
            AnyEvent::Trial(_) | AnyEvent::Subject(_) | AnyEvent::Site(SiteEvent::SiteRegistered(_)) => true,
            AnyEvent::Consent(ConsentEvent::ConsentSigned(signed)) => signed.signature_number == 1,
            _ => false,
        };
        let trial_id = envelope.references.trial_id.filter(|_| counts);
        trial_id.iter().map(ToString::to_string).collect()
    }

    fn fold(document: Option<Document>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Document> {
        let Some(mut document) = document else {
            return registered(event, envelope);
        };
        match event {
            AnyEvent::Trial(event) => document.trial(event),
            AnyEvent::Subject(event) => document.subject(event, envelope.references.site_id),
            AnyEvent::Consent(_) => {
                document.consented += 1;
                document.at_site(envelope.references.site_id, |site| site.consented += 1);
            }
            _ => {}
        }
        Some(document)
    }

    fn columns(document: &Document) -> Vec<ColumnValue> {
        let status = match document.status {
            Status::Registered => "registered",
            Status::Open => "open",
            Status::Paused => "paused",
            Status::Closed => "closed",
        };
        vec![document.protocol.clone().into(), status.into(), document.registered_at.into(), document.enrolled.into()]
    }
}

fn registered(event: &AnyEvent, envelope: &Envelope) -> Option<Document> {
    let AnyEvent::Trial(TrialEvent::TrialRegistered(registered)) = event else { return None };
    Some(Document {
        trial_id: TrialId::from(envelope.stream.id),
        protocol: registered.protocol.clone(),
        title: registered.title.clone(),
        phase: registered.phase.clone(),
        blinding: registered.blinding,
        enrolment_mode: registered.enrolment_mode,
        status: Status::Registered,
        registered_at: envelope.occurred_at,
        planned: registered.planned_enrolment,
        consented: 0,
        screened: 0,
        screen_failed: 0,
        enrolled: 0,
        randomised: 0,
        discontinued: BTreeMap::new(),
        completed: 0,
        by_site: Vec::new(),
        by_arm: Vec::new(),
    })
}

impl Document {
    fn trial(&mut self, event: &TrialEvent) {
        match event {
            TrialEvent::SiteJoined(joined) => self.by_site.push(SiteFigures {
                site: joined.code.clone(),
                site_id: joined.site_id,
                consented: 0,
                screened: 0,
                screen_failed: 0,
                enrolled: 0,
                randomised: 0,
                discontinued: 0,
                completed: 0,
            }),
            TrialEvent::ArmAdded(arm) => {
                self.by_arm.push(ArmFigures { arm: arm.code.clone(), name: arm.name.clone(), randomised: 0 });
            }
            TrialEvent::EnrolmentOpened(_) => self.status = Status::Open,
            TrialEvent::EnrolmentPaused(_) => self.status = Status::Paused,
            TrialEvent::EnrolmentClosed(_) => self.status = Status::Closed,
            TrialEvent::TrialRegistered(_)
            | TrialEvent::EligibilityDefined(_)
            | TrialEvent::ConsentFormPublished(_)
            | TrialEvent::QuestionnaireDefined(_) => {}
        }
    }

    fn subject(&mut self, event: &SubjectEvent, site_id: Option<SiteId>) {
        match event {
            SubjectEvent::PatientScreened(_) => {
                self.screened += 1;
                self.at_site(site_id, |site| site.screened += 1);
            }
            SubjectEvent::EligibilityRecorded(_) => {}
            SubjectEvent::ScreeningFailed(_) => {
                self.screen_failed += 1;
                self.at_site(site_id, |site| site.screen_failed += 1);
            }
            SubjectEvent::SubjectEnrolled(_) => {
                self.enrolled += 1;
                self.at_site(site_id, |site| site.enrolled += 1);
            }
            SubjectEvent::SubjectRandomised(randomised) => {
                self.randomised += 1;
                self.at_site(site_id, |site| site.randomised += 1);
                if let Some(arm) = self.by_arm.iter_mut().find(|arm| arm.arm == randomised.arm) {
                    arm.randomised += 1;
                }
            }
            SubjectEvent::SubjectDiscontinued(discontinued) => {
                *self.discontinued.entry(discontinued.reason.clone()).or_default() += 1;
                self.at_site(site_id, |site| site.discontinued += 1);
            }
            SubjectEvent::SubjectCompleted(_) => {
                self.completed += 1;
                self.at_site(site_id, |site| site.completed += 1);
            }
        }
    }

    fn at_site(&mut self, site_id: Option<SiteId>, count: impl FnOnce(&mut SiteFigures)) {
        if let Some(site) = self.by_site.iter_mut().find(|site| Some(site.site_id) == site_id) {
            count(site);
        }
    }
}
