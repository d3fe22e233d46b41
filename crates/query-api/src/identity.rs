//! Who a patient is: shown for a stated purpose, which is recorded first.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use events::TimeZone;
use events::access::disclosure::DisclosureKind;
use events::ids::{PatientId, StreamKey as _};
use events::patient::{PatientEvent, Sex};
use events::set::EventSet as _;
use events::values::{PartialDate, Personal};
use futures::TryStreamExt as _;
use schemars::JsonSchema;
use serde::Serialize;
use service::auth::Principal;
use service::problem::Problem;

use crate::QueryApi;
use crate::disclosure::{self, Asked};
use crate::lists::uuid_in_path;
use crate::pages::pages;
use crate::parameters::Parameters;
use crate::render::{from_log, from_the_log};

/// Who a patient is.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct PatientIdentity {
    patient_id: Option<PatientId>,
    /// Full name.
    name: Option<Personal<String>>,
    /// National identity number.
    national_id: Option<Personal<String>>,
    /// Mobile telephone number, E.164.
    mobile: Option<Personal<String>>,
    /// E-mail address.
    email: Option<Personal<String>>,
    /// By which the push gateway knows the person's device.
    push_token: Option<Personal<String>>,
    /// Date of birth, as far as it is known.
    birth_date: Option<Personal<PartialDate>>,
    /// Sex.
    sex: Option<Personal<Sex>>,
    /// The time zone in which the person lives, where it is known.
    time_zone: Option<TimeZone>,
    /// Up to where the log was read.
    position: u64,
}

/// `GET /v1/patients/<id>/identity`, with the header `Anamnesis-Purpose`.
pub async fn patient(
    State(api): State<QueryApi>,
    principal: Principal,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let patient_id = PatientId::from(uuid_in_path(&id)?);
    Parameters::of(&uri)?.finish()?;
    let asked = Asked { patient_id, kind: DisclosureKind::Identity, unmasked: true };
    disclosure::record(&api, &principal, &headers, asked).await?;
    let mut identity = PatientIdentity { patient_id: Some(patient_id), ..PatientIdentity::default() };
    let mut pages = pages(&*api.store.log, patient_id.stream(), 0);
    while let Some(mut events) = pages.try_next().await.map_err(from_log)? {
        api.eyes.open(&mut events).await.map_err(from_log)?;
        for event in &events {
            identity.position = event.position;
            if let Ok(event) = PatientEvent::from_envelope(event) {
                identity.tell(event);
            }
        }
    }
    identity.forget_sealed();
    Ok(from_the_log(&identity))
}

impl PatientIdentity {
    /// What cannot be opened any more, because the person was erased, is not known.
    fn forget_sealed(&mut self) {
        fn forget<T>(field: &mut Option<Personal<T>>) {
            field.take_if(|value| value.expose().is_none());
        }
        forget(&mut self.name);
        forget(&mut self.national_id);
        forget(&mut self.mobile);
        forget(&mut self.email);
        forget(&mut self.push_token);
        forget(&mut self.birth_date);
        forget(&mut self.sex);
    }

    fn tell(&mut self, event: PatientEvent) {
        match event {
            PatientEvent::PatientRegistered(registered) => {
                self.name = registered.name;
                self.national_id = registered.national_id;
                self.mobile = registered.mobile;
                self.birth_date = registered.birth_date;
                self.sex = registered.sex;
                self.time_zone = registered.time_zone;
            }
            PatientEvent::DemographicsCorrected(corrected) => {
                let changes = corrected.changes;
                changes.name.apply(&mut self.name);
                changes.national_id.apply(&mut self.national_id);
                changes.mobile.apply(&mut self.mobile);
                changes.birth_date.apply(&mut self.birth_date);
                changes.sex.apply(&mut self.sex);
                changes.time_zone.apply(&mut self.time_zone);
            }
            PatientEvent::ContactPreferencesSet(set) => {
                self.email = set.contact.email;
                self.push_token = set.contact.push_token;
            }
            PatientEvent::PatientAdmitted(_)
            | PatientEvent::ObservationRecorded(_)
            | PatientEvent::ObservationCorrected(_) => {}
        }
    }
}
