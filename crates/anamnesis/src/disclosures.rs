//! Records in the log who is shown who a person is, before they are.

use decider::Refusal;
use domain::access::disclosure::RecordDisclosure;
use domain::commands::AnyCommand;
use event_store::execute::{ExecuteError, Executed, Executor, Request};
use events::envelope::Actor;
use events::ids::{DisclosureId, StreamKey as _};
use futures::future::BoxFuture;
use service::disclosures::{Disclosure, Register};
use service::problem::Problem;
use uuid::Uuid;

/// Seconds after which a log that cannot be written is worth another try.
const UNAVAILABLE_SECONDS: u32 = 2;

/// Records disclosures in the log.
pub struct Disclosures {
    executor: Option<Executor>,
}

impl Disclosures {
    /// Records by this executor; a process without one shows nothing.
    pub const fn new(executor: Option<Executor>) -> Self {
        Self { executor }
    }

    async fn execute(&self, target: DisclosureId, actor: Actor, command: &AnyCommand) -> Result<(), Problem> {
        let Some(executor) = &self.executor else { return Err(unavailable()) };
        let patient = |refusal: &Refusal| refusal.field.as_deref() == Some("patient_id");
        match carry_out(executor, target, actor, command).await {
            Ok(_) => Ok(()),
            Err(ExecuteError::Refused(refusal)) if patient(&refusal) => {
                Err(Problem::not_found("not-found", "There is no such patient."))
            }
            Err(ExecuteError::Refused(refusal)) => {
                Err(Problem::invalid("Anamnesis-Purpose", refusal.rule, refusal.message))
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a disclosure could not be recorded");
                Err(unavailable())
            }
        }
    }
}

fn unavailable() -> Problem {
    let detail = "Nothing is shown, because that it is could not be recorded; the server's log says why.";
    Problem::unavailable("disclosure-not-recorded", detail, UNAVAILABLE_SECONDS)
}

async fn carry_out(
    executor: &Executor,
    target: DisclosureId,
    actor: Actor,
    command: &AnyCommand,
) -> Result<Executed, ExecuteError> {
    let fingerprint = executor.marks()?.fingerprint(&command.to_json());
    let request = Request { creates: true, ..Request::own(Uuid::now_v7(), fingerprint, actor, target.stream()) };
    executor.execute(&request, command).await
}

impl Register for Disclosures {
    fn record(&self, disclosure: Disclosure) -> BoxFuture<'_, Result<(), Problem>> {
        Box::pin(async move {
            let disclosure_id = DisclosureId::from(Uuid::now_v7());
            let record = RecordDisclosure {
                patient_id: disclosure.patient_id,
                kind: disclosure.kind,
                unmasked: disclosure.unmasked,
                purpose: disclosure.purpose,
                address: disclosure.address,
            };
            let command: AnyCommand = (disclosure_id, record).into();
            self.execute(disclosure_id, disclosure.actor, &command).await
        })
    }
}
