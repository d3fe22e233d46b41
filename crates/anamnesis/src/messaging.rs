//! Messages to people: who takes them, and what is told of them.

use std::sync::Arc;

use axum::Router;
use event_store::Store;
use event_store::execute::Executor;
use outbound::{Options, Outbound, Providers, Secret, SetupError};
use service::backlog::Backlog;
use service::settings::{OutboundSettings, ServerSettings};
use service::supervise::Supervisor;

use crate::roles::Roles;
use crate::serve::size;

/// How messages are sent, as the settings say.
pub struct Messaging {
    providers: Providers,
    receipts: Option<Arc<Secret>>,
    options: Options,
    backlog: Backlog,
}

impl Messaging {
    /// Of a process of these roles.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn of(roles: Roles, settings: &ServerSettings) -> Result<Self, SetupError> {
        let settings: &OutboundSettings = &settings.outbound;
        let providers = if roles.outbound { Providers::new(settings)? } else { Providers::default() };
        let receipts = outbound::receipt_secret(settings)?.filter(|_| roles.command_api).map(Arc::new);
        let options = Options { at_once: size(settings.messages_at_once), ..Options::default() };
        Ok(Self { providers, receipts, options, backlog: Backlog::new(settings.message_backlog_max) })
    }

    /// Starts what sends them. Gives how many wait, and what takes receipts.
    pub fn start(
        self,
        roles: Roles,
        store: &Store,
        executor: Option<&Executor>,
        supervisor: &mut Supervisor,
    ) -> (Backlog, Router) {
        let shutdown = supervisor.shutdown();
        let Some(executor) = executor else { return (self.backlog, Router::new()) };
        if roles.command_api {
            let watched = outbound::watch_backlog(store.views.clone(), self.backlog.clone(), shutdown.clone());
            supervisor.spawn("message backlog", watched);
        }
        if roles.outbound {
            let missing = self.providers.missing();
            if !missing.is_empty() {
                tracing::info!(channels = missing.join(" "), "nobody takes messages of these channels: they wait");
            }
            let (store, executor) = (store.clone(), executor.clone());
            let sends = Outbound { store, executor, providers: self.providers, options: self.options };
            supervisor.spawn("messages", sends.run(shutdown));
        }
        let receipts = self.receipts.map(|secret| outbound::callbacks(executor.clone(), secret));
        (self.backlog, receipts.unwrap_or_default())
    }
}
