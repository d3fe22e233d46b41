//! Patients, masked: nothing here tells who somebody is.

use std::collections::BTreeMap;

use authority::Area;
use chrono::{DateTime, Utc};
use events::TimeZone;
use events::envelope::Envelope;
use events::identifier;
use events::ids::{PatientId, SiteId, StreamType, TrialId};
use events::patient::{ObservationCorrected, PatientEvent};
use events::registry::AnyEvent;
use events::trial::ObservationValue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::column::{Column, time, uuid};
use crate::table::{Collection, Place, SITE, Scope, Sort, TRIAL, Table, since, until};
use crate::view::View;

/// The view.
pub struct Patients;

/// A patient. Which fields are known is told, not what they say.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Patient {
    patient_id: PatientId,
    registered_at: DateTime<Utc>,
    known: Vec<String>,
    /// The time zone in which the patient lives, where it is known.
    time_zone: Option<TimeZone>,
    /// The site that registered the patient, or else the first that takes care of them.
    site_id: Option<SiteId>,
    /// The trial of that site.
    trial_id: Option<TrialId>,
    /// The latest observation of each code.
    observations: BTreeMap<String, PatientObservation>,
    /// The ones before, in the order of their times.
    earlier_observations: BTreeMap<String, Vec<PatientObservation>>,
}

/// An observation.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct PatientObservation {
    value: ObservationValue,
    unit: Option<String>,
    observed_at: DateTime<Utc>,
}

impl Table for Patients {
    type Document = Patient;
    const NAME: &'static str = "patients";
    const VERSION: u32 = 3;
    const COLUMNS: &'static [Column<Patient>] = &[
        uuid("site_id", |patient| patient.site_id.map(|site_id| site_id.uuid())),
        uuid("trial_id", |patient| patient.trial_id.map(|trial_id| trial_id.uuid())),
        time("registered_at", |patient| patient.registered_at.into()),
    ];
    const ACCESS_PATHS: &'static [&'static [&'static str]] =
        &[&["site_id", "registered_at"], &["trial_id", "registered_at"], &["registered_at"]];
    const COLLECTION: Collection = Collection::new(
        "patients",
        "patient",
        &[
            SITE.meaning("Only those whom this site registered"),
            TRIAL.meaning("Only those whom a site of this trial registered"),
            since("registered_at"),
            until("registered_at"),
        ],
        &[Sort::by_greatest("registered_at")],
    );
    const AREA: Area = Area::Clinical;
    const SCOPE: Scope = Scope {
        trial: Some(Place::Column("trial_id")),
        site: Some(Place::Column("site_id")),
        patient: Some(Place::Key),
    };
}

impl Patient {
    fn is_known(&mut self, field: &str, is_unchanged: bool, is_known: bool) {
        if is_unchanged {
            return;
        }
        self.known.retain(|known| known != field);
        if is_known {
            self.known.push(field.to_owned());
        }
    }
}

impl Patient {
    /// Adds an observation: one that was observed earlier may arrive later.
    fn observe(&mut self, code: &str, observation: PatientObservation) {
        let code = self.shown(code);
        let mut all = self.take_observations(&code);
        let place = all.partition_point(|known| known.observed_at <= observation.observed_at);
        all.insert(place, observation);
        self.put_observations(code, all);
    }

    fn correct(&mut self, corrected: &ObservationCorrected) {
        let code = self.shown(&corrected.code);
        let mut all = self.take_observations(&code);
        let place = all.iter().rposition(|known| known.observed_at == corrected.observed_at);
        let observation = place.map(|place| all.remove(place));
        self.put_observations(code.clone(), all);
        if let Some(mut observation) = observation {
            corrected.changes.value.apply(&mut observation.value);
            corrected.changes.unit.apply(&mut observation.unit);
            corrected.changes.observed_at.apply(&mut observation.observed_at);
            self.observe(&code, observation);
        }
    }

    /// The code as it was written first.
    fn shown(&self, code: &str) -> String {
        let known = self.observations.keys().find(|known| identifier::same(known, code));
        known.map_or_else(|| code.to_owned(), Clone::clone)
    }

    fn take_observations(&mut self, code: &str) -> Vec<PatientObservation> {
        let mut all = self.earlier_observations.remove(code).unwrap_or_default();
        all.extend(self.observations.remove(code));
        all
    }

    fn put_observations(&mut self, code: String, mut all: Vec<PatientObservation>) {
        let Some(latest) = all.pop() else { return };
        if !all.is_empty() {
            self.earlier_observations.insert(code.clone(), all);
        }
        self.observations.insert(code, latest);
    }
}

impl View for Patients {
    const OF: StreamType = StreamType::Patient;

    fn fold(document: Option<Patient>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Patient> {
        let AnyEvent::Patient(event) = event else { return document };
        match event {
            PatientEvent::PatientRegistered(registered) => {
                let fields = [
                    ("name", registered.name.is_some()),
                    ("national_id", registered.national_id.is_some()),
                    ("mobile", registered.mobile.is_some()),
                    ("birth_date", registered.birth_date.is_some()),
                    ("sex", registered.sex.is_some()),
                ];
                let known = fields.into_iter().filter(|(_, known)| *known).map(|(name, _)| name.to_owned());
                Some(Patient {
                    patient_id: PatientId::from(envelope.stream.id),
                    registered_at: envelope.occurred_at,
                    known: known.collect(),
                    time_zone: registered.time_zone,
                    site_id: registered.site_id,
                    trial_id: registered.trial_id,
                    observations: BTreeMap::new(),
                    earlier_observations: BTreeMap::new(),
                })
            }
            PatientEvent::PatientAdmitted(admitted) => {
                let mut document = document?;
                // Whom no site registered belongs to the first that takes care of them.
                if document.site_id.is_none() {
                    (document.site_id, document.trial_id) = (Some(admitted.site_id), Some(admitted.trial_id));
                }
                Some(document)
            }
            PatientEvent::DemographicsCorrected(corrected) => {
                let mut document = document?;
                let changes = &corrected.changes;
                document.is_known("name", changes.name.is_none(), changes.name.value().is_some());
                document.is_known("national_id", changes.national_id.is_none(), changes.national_id.value().is_some());
                document.is_known("mobile", changes.mobile.is_none(), changes.mobile.value().is_some());
                document.is_known("birth_date", changes.birth_date.is_none(), changes.birth_date.value().is_some());
                document.is_known("sex", changes.sex.is_none(), changes.sex.value().is_some());
                changes.time_zone.apply(&mut document.time_zone);
                Some(document)
            }
            PatientEvent::ContactPreferencesSet(set) => {
                let (mut document, contact) = (document?, &set.contact);
                document.is_known("email", false, contact.email.is_some());
                document.is_known("push_token", false, contact.push_token.is_some());
                Some(document)
            }
            PatientEvent::ObservationCorrected(corrected) => {
                let mut document = document?;
                document.correct(corrected);
                Some(document)
            }
            PatientEvent::ObservationRecorded(recorded) => {
                let mut document = document?;
                let (value, unit, observed_at) = (recorded.value.clone(), recorded.unit.clone(), recorded.observed_at);
                document.observe(&recorded.code, PatientObservation { value, unit, observed_at });
                Some(document)
            }
        }
    }
}
