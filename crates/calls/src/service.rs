//! Asking a service: try after try, within bounds.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tower::retry::budget::{Budget as _, TpsBudget};

use crate::outgoing::{Failure, Outgoing, Reply};
use crate::policy::{Budgeting, Pauses, Policy};
use crate::pool::{Address, Lookup, Pool, system_lookup};

/// Calls of so long are what a budget is a share of.
const BUDGET_OF: Duration = Duration::from_secs(10);

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
#[error("{service} does not answer ({tries} tries)")]
pub struct CallError {
    /// Who was asked.
    pub service: &'static str,
    /// How often.
    pub tries: u32,
    /// Whether an earlier or the last try may have arrived.
    pub may_have_arrived: bool,
    /// Why the last one failed.
    #[source]
    pub last: Failure,
}

/// A service that is asked; cloned, it is the same one.
#[derive(Clone)]
pub struct Service {
    name: &'static str,
    pool: Arc<Pool>,
    policy: Policy,
    budget: Option<Arc<TpsBudget>>,
}

impl Service {
    /// The service of this name, such as `sms`, at these addresses.
    pub fn new(name: &'static str, addresses: Vec<Address>, policy: Policy) -> Self {
        Self::with_lookup(name, addresses, policy, system_lookup())
    }

    /// The same, whose names are looked up so.
    pub fn with_lookup(name: &'static str, addresses: Vec<Address>, policy: Policy, lookup: Lookup) -> Self {
        let budget = policy
            .budget
            .map(|Budgeting { per_second_min, share }| Arc::new(TpsBudget::new(BUDGET_OF, per_second_min, share)));
        Self { name, pool: Arc::new(Pool::new(name, addresses, policy.clone(), lookup)), policy, budget }
    }

    /// Asks until there is an answer that does not ask to come again, within the policy's bounds. An answer is an answer
    /// whatever its status.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn ask(&self, outgoing: &Outgoing) -> Result<Reply, CallError> {
        self.ask_within(outgoing, self.policy.in_all, &mut |_| {}).await
    }

    /// The same, within less time; `told` hears of each try that was not answered.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn ask_within(
        &self,
        outgoing: &Outgoing,
        within: Duration,
        told: &mut (dyn FnMut(&Failure) + Send),
    ) -> Result<Reply, CallError> {
        let end = Instant::now() + within.min(self.policy.in_all);
        let (mut pauses, mut failed, mut tries, mut may_have_arrived) = (self.policy.pauses(), Vec::new(), 0, false);
        if let Some(budget) = &self.budget {
            budget.deposit();
        }
        loop {
            let left = end.saturating_duration_since(Instant::now());
            tries += 1;
            let tried = match self.pool.pick(&failed).await {
                Ok(endpoint) => {
                    let tried = endpoint.ask(outgoing, left.min(self.policy.per_try), &self.policy).await;
                    failed.push(endpoint);
                    tried
                }
                Err(failure) => Err(failure),
            };
            count(self.name, &tried);
            let (is_worth_it, asked) = match &tried {
                Ok(reply) => (reply.may_pass() && outgoing.idempotent, reply.retry_after()),
                Err(failure) => {
                    may_have_arrived |= failure.may_have_arrived();
                    told(failure);
                    (failure.may_pass(outgoing.idempotent), None)
                }
            };
            if !is_worth_it || !self.waits(&mut pauses, asked, end).await {
                return tried.map_err(|last| CallError { service: self.name, tries, may_have_arrived, last });
            }
        }
    }

    /// Waits before the next try, where there is one: there were not too many, the budget has it, and it could be answered in time.
    async fn waits(&self, pauses: &mut Pauses, asked: Option<Duration>, end: Instant) -> bool {
        let Some(pause) = pauses.next(asked) else { return false };
        if Instant::now() + pause >= end || self.budget.as_ref().is_some_and(|budget| !budget.withdraw()) {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }
}

/// Counts tries by what became of them.
fn count(service: &'static str, tried: &Result<Reply, Failure>) {
    let outcome = match tried {
        Ok(reply) if reply.status.is_server_error() => "failed",
        Ok(_) => "answered",
        Err(Failure::LeftAlone) => "left-alone",
        Err(_) => "unanswered",
    };
    metrics::counter!("anamnesis_outgoing_tries_total", "service" => service, "outcome" => outcome).increment(1);
}
