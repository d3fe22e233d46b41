//! How far enrolment of a trial is: the funnel, by site and by arm.

use std::collections::BTreeMap;

use authority::Area;
use chrono::{DateTime, Utc};
use events::consent::ConsentEvent;
use events::enrolment::subject::{SubjectEnd, SubjectEndCorrected, SubjectEvent};
use events::envelope::Envelope;
use events::ids::{SiteId, StreamType, TrialId};
use events::registry::AnyEvent;
use events::trial::{Blinding, EnrolmentMode, TrialEvent};
use events::values::Blinded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::column::{Column, integer, name_of, named, text, time};
use crate::table::{Collection, Place, STATUS, Scope, Sort, Table, is};
use crate::view::View;

/// The view.
pub struct TrialEnrolment;

/// A trial and its figures. `screened` counts every screening, also those that
/// failed and those of a patient who was screened before; `enrolled` everybody who ever was.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Trial {
    trial_id: TrialId,
    protocol: String,
    title: String,
    phase: Option<String>,
    blinding: Blinding,
    enrolment_mode: EnrolmentMode,
    status: TrialStatus,
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
    /// Only for roles that may see allocation.
    by_arm: Blinded<Vec<ArmFigures>>,
}

/// Whether a trial enrols.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum TrialStatus {
    /// Not yet.
    Registered,
    /// It does.
    Open,
    /// Not for the moment.
    Paused,
    /// No longer.
    Closed,
}

/// The figures of one site.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
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

/// The figures of one arm.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct ArmFigures {
    arm: String,
    name: String,
    randomised: u32,
}

impl Table for TrialEnrolment {
    type Document = Trial;
    const NAME: &'static str = "trial_enrolment";
    const VERSION: u32 = 1;
    const COLUMNS: &'static [Column<Trial>] = &[
        named("protocol", |trial| trial.protocol.clone().into()),
        text("status", |trial| name_of(&trial.status)),
        time("registered_at", |trial| trial.registered_at.into()),
        integer("enrolled", |trial| i64::from(trial.enrolled).into()),
    ];
    const ACCESS_PATHS: &'static [&'static [&'static str]] =
        &[&["protocol"], &["status", "protocol"], &["registered_at"], &["enrolled"]];
    const COLLECTION: Collection = Collection::new(
        "trials",
        "trial",
        &[is("protocol"), STATUS],
        &[Sort::by("protocol"), Sort::by("registered_at"), Sort::by("enrolled")],
    );
    const AREA: Area = Area::Conduct;
    const SCOPE: Scope = Scope { trial: Some(Place::Key), ..Scope::INSTALLATION };
}

impl View for TrialEnrolment {
    const OF: StreamType = StreamType::Trial;

    fn keys(event: &AnyEvent, envelope: &Envelope) -> Vec<String> {
        let counts = match event {
            AnyEvent::Trial(_) | AnyEvent::Subject(_) => true,
            AnyEvent::Consent(ConsentEvent::ConsentSigned(signed)) => signed.signature_number == 1,
            _ => false,
        };
        let trial_id = envelope.references.trial_id.filter(|_| counts);
        trial_id.iter().map(ToString::to_string).collect()
    }

    fn fold(document: Option<Trial>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Trial> {
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
}

fn registered(event: &AnyEvent, envelope: &Envelope) -> Option<Trial> {
    let AnyEvent::Trial(TrialEvent::TrialRegistered(registered)) = event else { return None };
    Some(Trial {
        trial_id: TrialId::from(envelope.stream.id),
        protocol: registered.protocol.clone(),
        title: registered.title.clone(),
        phase: registered.phase.clone(),
        blinding: registered.blinding,
        enrolment_mode: registered.enrolment_mode,
        status: TrialStatus::Registered,
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
        by_arm: Blinded::new(Vec::new()),
    })
}

impl Trial {
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
                let figures = ArmFigures { arm: arm.code.clone(), name: arm.name.clone(), randomised: 0 };
                if let Some(by_arm) = self.by_arm.expose_mut() {
                    by_arm.push(figures);
                }
            }
            TrialEvent::EnrolmentOpened(_) => self.status = TrialStatus::Open,
            TrialEvent::EnrolmentPaused(_) => self.status = TrialStatus::Paused,
            TrialEvent::EnrolmentClosed(_) => self.status = TrialStatus::Closed,
            TrialEvent::TrialRegistered(_)
            | TrialEvent::EligibilityDefined(_)
            | TrialEvent::ConsentFormPublished(_)
            | TrialEvent::QuestionnaireDefined(_)
            | TrialEvent::MessageTemplateDefined(_)
            | TrialEvent::ReadingRulesDefined(_) => {}
        }
    }

    fn subject(&mut self, event: &SubjectEvent, site_id: Option<SiteId>) {
        match event {
            SubjectEvent::PatientScreened(_) | SubjectEvent::PatientRescreened(_) => {
                self.screened += 1;
                self.at_site(site_id, |site| site.screened += 1);
            }
            SubjectEvent::EligibilityRecorded(_) | SubjectEvent::SubjectUnblinded(_) => {}
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
                if let Some(arm) = randomised.arm.expose().and_then(|arm| self.arm(arm)) {
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
            SubjectEvent::SubjectEndCorrected(corrected) => self.end_corrected(corrected, site_id),
        }
    }

    fn end_corrected(&mut self, corrected: &SubjectEndCorrected, site_id: Option<SiteId>) {
        if let Some(reason) = corrected.previous.discontinuation_reason.value()
            && let Some(count) = self.discontinued.get_mut(reason)
        {
            *count = count.saturating_sub(1);
            self.discontinued.retain(|_, count| *count > 0);
        }
        if let Some(reason) = corrected.changes.discontinuation_reason.value() {
            *self.discontinued.entry(reason.clone()).or_default() += 1;
        }
        match corrected.changes.end.value() {
            None => {}
            Some(SubjectEnd::Completed) => {
                self.completed += 1;
                self.at_site(site_id, |site| {
                    site.completed += 1;
                    site.discontinued = site.discontinued.saturating_sub(1);
                });
            }
            Some(SubjectEnd::Discontinued) => {
                self.completed = self.completed.saturating_sub(1);
                self.at_site(site_id, |site| {
                    site.discontinued += 1;
                    site.completed = site.completed.saturating_sub(1);
                });
            }
        }
    }

    fn arm(&mut self, code: &str) -> Option<&mut ArmFigures> {
        self.by_arm.expose_mut()?.iter_mut().find(|arm| arm.arm == code)
    }

    fn at_site(&mut self, site_id: Option<SiteId>, count: impl FnOnce(&mut SiteFigures)) {
        if let Some(site) = self.by_site.iter_mut().find(|site| Some(site.site_id) == site_id) {
            count(site);
        }
    }
}
