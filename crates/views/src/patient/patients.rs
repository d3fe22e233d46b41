//! Patients, masked: nothing here tells who somebody is.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use events::envelope::Envelope;
use events::ids::{PatientId, StreamType};
use events::patient::PatientEvent;
use events::registry::AnyEvent;
use events::trial::ObservationValue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::column::{Column, time};
use crate::table::{Collection, Place, Scope, Sort, Table, since, until};
use crate::view::View;

/// The view.
pub struct Patients;

/// A patient. Which fields are known is told, not what they say.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Patient {
    patient_id: PatientId,
    registered_at: DateTime<Utc>,
    known: Vec<String>,
    observations: BTreeMap<String, PatientObservation>,
}

/// The latest value of an observation.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct PatientObservation {
    value: ObservationValue,
    unit: Option<String>,
    observed_at: DateTime<Utc>,
}

impl Table for Patients {
    type Document = Patient;
    const NAME: &'static str = "patients";
    const VERSION: u32 = 1;
    const COLUMNS: &'static [Column<Patient>] = &[time("registered_at", |patient| patient.registered_at.into())];
    const ACCESS_PATHS: &'static [&'static [&'static str]] = &[&["registered_at"]];
    const COLLECTION: Collection = Collection::new(
        "patients",
        "patient, masked",
        &[since("registered_at"), until("registered_at")],
        &[Sort::by_greatest("registered_at")],
    );
    const SCOPE: Scope = Scope { patient: Some(Place::Key), ..Scope::INSTALLATION };
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
                    observations: BTreeMap::new(),
                })
            }
            PatientEvent::DemographicsCorrected(corrected) => {
                let mut document = document?;
                let changes = &corrected.changes;
                document.is_known("name", changes.name.is_none(), changes.name.value().is_some());
                document.is_known("national_id", changes.national_id.is_none(), changes.national_id.value().is_some());
                document.is_known("mobile", changes.mobile.is_none(), changes.mobile.value().is_some());
                document.is_known("birth_date", changes.birth_date.is_none(), changes.birth_date.value().is_some());
                document.is_known("sex", changes.sex.is_none(), changes.sex.value().is_some());
                Some(document)
            }
            PatientEvent::ObservationCorrected(corrected) => {
                let mut document = document?;
                let shown = document.observations.get_mut(&corrected.code);
                if let Some(shown) = shown.filter(|shown| shown.observed_at == corrected.observed_at) {
                    corrected.changes.value.apply(&mut shown.value);
                    corrected.changes.unit.apply(&mut shown.unit);
                    corrected.changes.observed_at.apply(&mut shown.observed_at);
                }
                Some(document)
            }
            PatientEvent::ObservationRecorded(recorded) => {
                let mut document = document?;
                let earlier = document.observations.get(&recorded.code);
                if earlier.is_none_or(|earlier| earlier.observed_at <= recorded.observed_at) {
                    let observation = PatientObservation {
                        value: recorded.value.clone(),
                        unit: recorded.unit.clone(),
                        observed_at: recorded.observed_at,
                    };
                    document.observations.insert(recorded.code.clone(), observation);
                }
                Some(document)
            }
        }
    }
}
