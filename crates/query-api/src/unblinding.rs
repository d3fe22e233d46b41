//! Which treatment a subject was allocated to: told to who broke the blind for them, and to nobody else.
//!
//! It is read in the log and opened for this one answer: no view holds it for anybody who stays blinded.

use authority::signing::may_sign;
use authority::{Area, matrix};
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use event_store::{clock, may_hold_sealed};
use events::access::Duty;
use events::access::disclosure::DisclosureKind;
use events::enrolment::subject::{SubjectEvent, UnblindingCategory};
use events::envelope::{Envelope, References, Role};
use events::ids::{PatientId, StreamKey as _, SubjectId, TrialId};
use events::set::EventSet as _;
use events::values::Blinded;
use futures::TryStreamExt as _;
use schemars::JsonSchema;
use serde::Serialize;
use service::auth::Principal;
use service::problem::Problem;
use uuid::Uuid;

use crate::QueryApi;
use crate::disclosure::{Asked, tell};
use crate::gaze::Gaze;
use crate::lists::uuid_in_path;
use crate::pages::pages;
use crate::parameters::Parameters;
use crate::render::{from_log, from_the_log};

/// For how long after it was recorded an unblinding is answered.
const ANSWERED_WITHIN: TimeDelta = TimeDelta::hours(1);

/// Which treatment a subject was allocated to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SubjectAllocation {
    subject_id: SubjectId,
    patient_id: PatientId,
    trial_id: TrialId,
    /// The arm's code.
    arm: Blinded<String>,
    /// When the subject was allocated.
    randomised_at: DateTime<Utc>,
    /// The event by which whoever is asking broke the blind.
    unblinded_by: Uuid,
    /// Up to where the log was read.
    position: u64,
}

/// What the log tells of it.
#[derive(Default)]
struct Told {
    about: References,
    allocated: Option<(Blinded<String>, DateTime<Utc>)>,
    // By whoever is asking, lately.
    unblinded_by: Option<Uuid>,
    position: u64,
}

/// `GET /v1/subjects/<id>/allocation`, after `UnblindSubject` by the same account.
pub async fn allocation(
    State(api): State<QueryApi>,
    principal: Principal,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let subject_id = SubjectId::from(uuid_in_path(&id)?);
    Parameters::of(&uri)?.finish()?;
    let told = read(&api, &principal, subject_id).await?;
    let role = role_of(&api, &principal, subject_id, &told.about).await?;
    if !may_sign(principal.auth_time, clock::now()) {
        return Err(Problem::sign_in_again(
            "An allocation is told to who signed in lately: sign in anew, and ask again.",
        ));
    }
    let (Some(unblinded_by), Some((arm, randomised_at))) = (told.unblinded_by, told.allocated) else {
        return Err(not_unblinded());
    };
    let (Some(patient_id), Some(trial_id)) = (told.about.patient_id, told.about.trial_id) else {
        return Err(Problem::internal());
    };
    let asked = Asked { patient_id, kind: DisclosureKind::Allocation, unmasked: false };
    tell(&api, &principal, role, asked, None).await?;
    let position = told.position;
    Ok(from_the_log(&SubjectAllocation {
        subject_id,
        patient_id,
        trial_id,
        arm,
        randomised_at,
        unblinded_by,
        position,
    }))
}

async fn read(api: &QueryApi, principal: &Principal, subject_id: SubjectId) -> Result<Told, Problem> {
    let mut told = Told::default();
    let since = clock::now() - ANSWERED_WITHIN;
    let mut pages = pages(&*api.store.log, subject_id.stream(), 0);
    while let Some(mut events) = pages.try_next().await.map_err(from_log)? {
        // Whoever writes into the database can write an arm in the clear: what was not sealed is not believed.
        let were_sealed: Vec<bool> = events.iter().map(|event| may_hold_sealed(&event.payload)).collect();
        api.eyes.open(&mut events).await.map_err(from_log)?;
        for (event, was_sealed) in events.iter().zip(were_sealed) {
            told.hear(event, was_sealed, &principal.username, since)?;
        }
    }
    Ok(told)
}

impl Told {
    fn hear(&mut self, event: &Envelope, was_sealed: bool, asker: &str, since: DateTime<Utc>) -> Result<(), Problem> {
        (self.about, self.position) = (event.references, event.position);
        match SubjectEvent::from_envelope(event).map_err(|_| Problem::newer_event())? {
            SubjectEvent::SubjectRandomised(randomised) if !was_sealed || randomised.arm.expose().is_none() => {
                tracing::error!(event_id = %event.event_id, "an allocation was altered, or its keys are gone");
                return Err(unreadable());
            }
            SubjectEvent::SubjectRandomised(randomised) => {
                self.allocated = Some((randomised.arm, event.occurred_at));
            }
            SubjectEvent::SubjectUnblinded(unblinded)
                if unblinded.category != UnblindingCategory::Inadvertent
                    && event.actor.id == asker
                    && event.recorded_at >= since =>
            {
                self.unblinded_by = Some(event.event_id);
            }
            _ => {}
        }
        Ok(())
    }
}

/// The role in which somebody may be told.
async fn role_of(
    api: &QueryApi,
    principal: &Principal,
    subject_id: SubjectId,
    about: &References,
) -> Result<Role, Problem> {
    let missing = || Problem::not_found("not-found", format!("There is no subject with the id {subject_id}."));
    if about.patient_id.is_none() {
        return Err(missing());
    }
    let gaze = Gaze::of(principal);
    let roles = api.eyes.roles(gaze.on(Area::Clinical), Area::Clinical, about).await.map_err(from_log)?;
    if roles.is_empty() {
        return Err(missing());
    }
    roles.into_iter().find(|role| matrix::has_duty(*role, Duty::Unblinding)).ok_or_else(not_unblinded)
}

fn not_unblinded() -> Problem {
    let detail = "The account did not break the blind for this subject within the last hour: send unblind-subject first, \
                  in a role that may, with category `emergency` or `planned`.";
    Problem::new(StatusCode::FORBIDDEN, "not-unblinded", detail)
}

fn unreadable() -> Problem {
    let detail = "The allocation cannot be told from the log: it was altered, or its keys are gone. The server's log says of \
                  which event.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "allocation-unreadable", detail)
}

#[cfg(test)]
mod tests {
    use events::enrolment::subject::SubjectRandomised;
    use events::envelope::Actor;
    use events::ids::StreamKey as _;
    use events::set::EventSet as _;
    use events::values::Blinded;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_arm_that_was_not_sealed_is_not_believed() {
        let randomised = SubjectEvent::from(SubjectRandomised { arm: Blinded::new("ACT".to_owned()) });
        let event = Envelope {
            position: 1,
            stream: SubjectId::from(Uuid::nil()).stream(),
            version: 1,
            event_id: Uuid::nil(),
            event_type: randomised.event_type().to_owned(),
            schema_version: randomised.schema_version(),
            payload: randomised.encode(),
            occurred_at: DateTime::UNIX_EPOCH,
            recorded_at: DateTime::UNIX_EPOCH,
            actor: Actor::system("test"),
            command_id: Uuid::nil(),
            correlation_id: Uuid::nil(),
            causation_id: None,
            trace_context: None,
            references: References::default(),
        };
        let hear = |was_sealed| {
            let mut told = Told::default();
            told.hear(&event, was_sealed, "somebody", DateTime::UNIX_EPOCH).map(|()| told.allocated.is_some())
        };
        assert!(hear(true).is_ok_and(|is_told| is_told));
        assert!(hear(false).is_err());
    }
}
