//! What is recorded before it is shown: who a person is, and copies of what is known.

use authority::{Area, matrix};
use axum::http::{HeaderMap, StatusCode};
use events::access::Duty;
use events::access::disclosure::DisclosureKind;
use events::envelope::{Actor, References, Role};
use events::ids::PatientId;
use service::auth::Principal;
use service::disclosures::Disclosure;
use service::problem::Problem;

use crate::QueryApi;
use crate::gaze::Gaze;
use crate::render::from_log;

/// The header that says what for.
const PURPOSE: &str = "Anamnesis-Purpose";
/// Characters of a purpose at most.
const PURPOSE_LENGTH_MAX: usize = 500;

/// What is asked for.
#[derive(Clone, Copy)]
pub struct Asked {
    /// About whom.
    pub patient_id: PatientId,
    /// What.
    pub kind: DisclosureKind,
    /// Whether personal data are wanted as they are.
    pub unmasked: bool,
}

/// Records that something is shown to who is asking; what they then see.
///
/// # Errors
/// A 400 problem where the purpose is missing or none, a 403 problem where no role of theirs may, a 503 problem where it
/// cannot be recorded.
pub async fn record(api: &QueryApi, principal: &Principal, headers: &HeaderMap, asked: Asked) -> Result<Gaze, Problem> {
    let purpose = purpose(headers)?;
    if asked.unmasked && purpose.is_none() {
        let message = "Personal data are shown for a stated purpose: say it in the header Anamnesis-Purpose.";
        return Err(Problem::invalid(PURPOSE, "missing", message));
    }
    let gaze = Gaze::of(principal);
    let about = References::patient(asked.patient_id);
    let roles = api.eyes.roles(gaze.on(Area::Clinical), Area::Clinical, &about).await.map_err(from_log)?;
    let role: Option<Role> = roles.iter().copied().find(|role| !asked.unmasked || is_unmasked(*role, principal));
    let Some(role) = role else {
        // Whoever is out of sight does not exist.
        return Err(if roles.is_empty() { not_found(asked.patient_id) } else { not_unmasked() });
    };
    tell(api, principal, role, asked, purpose).await?;
    Ok(if asked.unmasked { gaze.unmasked() } else { gaze })
}

/// Records that somebody in this role is shown something.
///
/// # Errors
/// A 503 problem where it cannot be recorded.
pub async fn tell(
    api: &QueryApi,
    principal: &Principal,
    role: Role,
    asked: Asked,
    purpose: Option<String>,
) -> Result<(), Problem> {
    let disclosure = Disclosure {
        actor: Actor { id: principal.username.to_string(), role, organisation: None },
        patient_id: asked.patient_id,
        kind: asked.kind,
        unmasked: asked.unmasked,
        purpose,
        address: principal.address.map(|address| address.to_string()),
    };
    api.disclosures.record(disclosure).await
}

/// Who may look for people anywhere, and what for.
pub struct Search {
    role: Role,
    purpose: String,
}

impl Search {
    /// Of who is asking: whoever is shown who somebody is, and cares for others than themselves.
    ///
    /// # Errors
    /// A 400 problem where the purpose is missing or none, a 403 problem where no role of theirs may.
    pub fn by(principal: &Principal, headers: &HeaderMap) -> Result<Self, Problem> {
        let message = "People are looked for for a stated purpose: say it in the header Anamnesis-Purpose.";
        let purpose = purpose(headers)?.ok_or_else(|| Problem::invalid(PURPOSE, "missing", message))?;
        let gaze = Gaze::of(principal);
        let roles = gaze.on(Area::Clinical).roles();
        let role = roles.into_iter().find(|role| *role != Role::Participant && is_unmasked(*role, principal));
        Ok(Self { role: role.ok_or_else(not_unmasked)?, purpose })
    }

    /// Records that somebody was found.
    ///
    /// # Errors
    /// A 503 problem where it cannot be recorded.
    pub async fn found(self, api: &QueryApi, principal: &Principal, patient_id: PatientId) -> Result<(), Problem> {
        let asked = Asked { patient_id, kind: DisclosureKind::Search, unmasked: false };
        tell(api, principal, self.role, asked, Some(self.purpose)).await
    }
}

/// Whether somebody is shown in this role who people are: a coordinator to whom less than the care of patients was delegated
/// is not.
fn is_unmasked(role: Role, principal: &Principal) -> bool {
    matrix::unmasks(role) && (role != Role::Coordinator || principal.duties.contains(&Duty::SiteWork))
}

fn not_found(patient_id: PatientId) -> Problem {
    Problem::not_found("not-found", format!("There is no patient with the id {patient_id}."))
}

fn not_unmasked() -> Problem {
    let detail = "None of the roles that the account holds on this patient is shown who they are.";
    Problem::new(StatusCode::FORBIDDEN, "not-unmasked", detail)
}

/// What the header says, where it is given.
fn purpose(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(PURPOSE).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return Err(Problem::invalid(PURPOSE, "duplicate", "Give Anamnesis-Purpose once."));
    }
    let Some(value) = first else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes()).ok().map(str::trim);
    let text = text.filter(|text| (1..=PURPOSE_LENGTH_MAX).contains(&text.chars().count()));
    let message = "Anamnesis-Purpose must say in 1 to 500 characters (UTF-8) what personal data are needed for.";
    text.map(|text| Some(text.to_owned())).ok_or_else(|| Problem::invalid(PURPOSE, "malformed", message))
}
