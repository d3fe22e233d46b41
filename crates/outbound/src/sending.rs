//! One message: whether it still is to be sent, to the provider, and what became of it.

use std::sync::Arc;
use std::time::Instant;

use domain::commands::AnyCommand;
use domain::messaging::delivery::{Outgoing, Preparation, PrepareMessage};
use domain::messaging::message::{BeginSending, PostponeMessage, RecordSending, SendingOutcome, SkipMessage};
use event_store::clock;
use event_store::execute::{ExecuteError, Executor};
use events::ids::MessageId;
use events::messaging::contact::Channel;
use events::messaging::message::{SendingFault, SkipReason};

use crate::commands::{execute, record};
use crate::provider::{Handed, Provider};
use crate::queue::Waiting;

/// What a channel's messages are sent by.
#[derive(Clone)]
pub struct Sender {
    /// What answers for messages.
    pub executor: Executor,
    /// The channel.
    pub channel: Channel,
    /// Who takes its messages; nobody where the settings name none.
    pub provider: Option<Arc<dyn Provider>>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is recorded, or there was nothing to do: the view will tell.
    Settled,
    /// It waits: the provider is left alone, or what has to be known is not to be had.
    Waits,
}

impl Sender {
    /// Sends a message, if it still is to be sent.
    pub async fn send(self, waiting: Waiting) -> (MessageId, Ended) {
        let message_id = waiting.message_id;
        let prepared = match self.executor.inquire(&PrepareMessage { message_id }).await {
            Ok(answered) => answered.answer,
            Err(error) => {
                tell(&error);
                return (message_id, Ended::Waits);
            }
        };
        let ended = match prepared {
            Preparation::Settled | Preparation::NotBefore(_) => Ended::Settled,
            Preparation::Postpone(until) => self.settle(message_id, PostponeMessage { until }).await,
            Preparation::Skip(reason) => self.skip(message_id, reason).await,
            Preparation::Unsettled { attempt } => {
                self.count("uncertain");
                self.settle(message_id, RecordSending { attempt, outcome: SendingOutcome::Uncertain }).await
            }
            Preparation::Send(outgoing) => match self.provider.clone() {
                Some(provider) => self.hand_over(&*provider, &outgoing, &waiting).await,
                // It waits for somebody to name a provider, or for the end of its time.
                None => Ended::Waits,
            },
        };
        (message_id, ended)
    }

    async fn skip(&self, message_id: MessageId, reason: SkipReason) -> Ended {
        self.count("skipped");
        self.settle(message_id, SkipMessage { reason }).await
    }

    async fn hand_over(&self, provider: &dyn Provider, outgoing: &Outgoing, waiting: &Waiting) -> Ended {
        let (message_id, attempt) = (outgoing.message_id, outgoing.attempt);
        if provider.is_left_alone() {
            return Ended::Waits;
        }
        if !provider.knows_again() {
            // Before it is asked: whoever finds this without an end knows that it may have been sent.
            if let Err(error) = execute(&self.executor, &(message_id, BeginSending { attempt }).into()).await {
                tell(&error);
                return Ended::Waits;
            }
        }
        let begun = Instant::now();
        let handed = provider.hand_over(outgoing).await;
        let seconds = begun.elapsed().as_secs_f64();
        metrics::histogram!("anamnesis_message_sending_duration_seconds", "channel" => self.channel.name())
            .record(seconds);
        let outcome = match handed {
            Handed::Taken { provider_message_id } => {
                self.count("sent");
                let delay = (clock::now() - waiting.queued_at).to_std().unwrap_or_default();
                metrics::histogram!("anamnesis_message_delay_seconds", "urgency" => outgoing.urgency.name())
                    .record(delay.as_secs_f64());
                SendingOutcome::Sent {
                    template_version: outgoing.template_version,
                    language: outgoing.language.clone(),
                    provider_message_id,
                }
            }
            Handed::NotTaken { may_have_arrived: true, .. } if !provider.knows_again() => {
                self.count("uncertain");
                SendingOutcome::Uncertain
            }
            Handed::NotTaken { fault, status, .. } => {
                self.count("failed");
                SendingOutcome::Failed { fault, status }
            }
            Handed::LeftAlone if provider.knows_again() => return Ended::Waits,
            Handed::LeftAlone => {
                let fault = SendingFault::Unreachable;
                SendingOutcome::Failed { fault, status: None }
            }
        };
        self.settle(message_id, RecordSending { attempt, outcome }).await
    }

    async fn settle<C>(&self, message_id: MessageId, command: C) -> Ended
    where
        AnyCommand: From<(MessageId, C)>,
    {
        if record(&self.executor, &(message_id, command).into()).await { Ended::Settled } else { Ended::Waits }
    }

    fn count(&self, outcome: &'static str) {
        let channel = self.channel.name();
        metrics::counter!("anamnesis_message_attempts_total", "channel" => channel, "outcome" => outcome).increment(1);
    }
}

fn tell(error: &ExecuteError) {
    tracing::warn!(error = error as &dyn std::error::Error, "a message cannot be prepared now");
}
