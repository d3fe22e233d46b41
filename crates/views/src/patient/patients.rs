//! Patients, masked: nothing here tells who somebody is.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use event_store::views::{ColumnKind, ColumnValue, ViewSchema};
use events::any::AnyEvent;
use events::envelope::Envelope;
use events::ids::PatientId;
use events::patient::PatientEvent;
use events::trial::ObservationValue;
use serde::{Deserialize, Serialize};

use super::column;
use crate::view::View;

/// The view.
pub struct Patients;

/// A patient. Which fields are known is told, not what they say.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Document {
    patient_id: PatientId,
    registered_at: DateTime<Utc>,
    known: Vec<String>,
    observations: BTreeMap<String, Observation>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Observation {
    value: ObservationValue,
    unit: Option<String>,
    observed_at: DateTime<Utc>,
}

impl View for Patients {
    const SCHEMA: ViewSchema = ViewSchema {
        name: "patients",
        version: 1,
        columns: &[column("registered_at", ColumnKind::Time)],
        access_paths: &[],
    };
    type Document = Document;

    fn keys(event: &AnyEvent, envelope: &Envelope) -> Vec<String> {
        match event {
            AnyEvent::Patient(_) => vec![envelope.stream.id.to_string()],
            _ => Vec::new(),
        }
    }

    fn fold(document: Option<Document>, _key: &str, event: &AnyEvent, envelope: &Envelope) -> Option<Document> {
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
                Some(Document {
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
                    let observation = Observation {
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

    fn columns(document: &Document) -> Vec<ColumnValue> {
        vec![document.registered_at.into()]
    }
}
