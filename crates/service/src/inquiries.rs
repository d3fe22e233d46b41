//! Questions that are answered on the facts that commands are decided on, and not from a view.

use events::ids::{PatientId, TrialId};
use futures::future::BoxFuture;
use serde_json::value::RawValue;

use crate::auth::Principal;
use crate::problem::Problem;

/// What a question is answered with.
#[derive(Debug)]
pub struct Answer {
    /// The answer as JSON.
    pub document: Box<RawValue>,
    /// The position of the log as of which it holds.
    pub position: u64,
}

/// Answers such questions, within what lies in sight of who is asking.
pub trait Inquiries: Send + Sync {
    /// Whether a patient meets the criteria of a trial.
    fn eligibility<'caller>(
        &'caller self,
        principal: &'caller Principal,
        patient_id: PatientId,
        trial_id: TrialId,
    ) -> BoxFuture<'caller, Result<Answer, Problem>>;
}
