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
use crate::table::{Collection, Place, Scope, Table, since, until};
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
        &["-registered_at"],
    );
    const SCOPE: Scope = Scope { patient: Some(Place::Key), ..Scope::INSTALLATION };
}

impl View for Patients {
    const OF: Option<StreamType> = Some(StreamType::Patient);

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
