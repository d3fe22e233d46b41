//! Answers questions by the domain, on the facts that commands are decided on.

use authority::Area;
use decider::Inquire;
use domain::enrolment::eligibility_check::CheckEligibility;
use event_store::execute::{Answered, Executor};
use events::ids::{PatientId, TrialId};
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::value::to_raw_value;
use service::auth::Principal;
use service::inquiries::{Answer, Inquiries};
use service::problem::Problem;

use crate::problems::from_execute;

/// Answers by an executor.
pub struct Inquirer {
    executor: Option<Executor>,
}

impl Inquirer {
    /// By this one; a process without one answers nothing.
    pub const fn new(executor: Option<Executor>) -> Self {
        Self { executor }
    }

    async fn ask<I>(&self, inquiry: &I) -> Result<Answer, Problem>
    where
        I: Inquire<Answer: Serialize>,
    {
        let executor = self.executor.as_ref().ok_or_else(Problem::internal)?;
        let Answered { answer, position } = executor.inquire(inquiry).await.map_err(from_execute)?;
        let document = to_raw_value(&answer).map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "an answer could not be written");
            Problem::internal()
        })?;
        Ok(Answer { document, position })
    }
}

impl Inquiries for Inquirer {
    fn eligibility<'caller>(
        &'caller self,
        principal: &'caller Principal,
        patient_id: PatientId,
        trial_id: TrialId,
    ) -> BoxFuture<'caller, Result<Answer, Problem>> {
        Box::pin(async move {
            let sight = &principal.sight;
            let (clinical, protocols) = (sight.on(Area::Clinical), sight.on(Area::Protocol));
            self.ask(&CheckEligibility { patient_id, trial_id, clinical, protocols }).await
        })
    }
}
