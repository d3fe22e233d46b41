//! The write side's REST interface, made from the domain's list of commands.

pub mod accounts;
mod execute;
mod faults;
mod headers;
pub mod inquiries;
pub mod problems;
pub mod sending;

use axum::Router;
use axum::routing::post;
use domain::commands::COMMANDS;
use event_store::execute::Executor;
use service::accounts::Accounts;
use service::backlog::Backlog;

/// What the write side needs.
#[derive(Clone)]
pub struct CommandApi {
    /// Carries commands out.
    pub executor: Executor,
    /// Who may send them.
    pub accounts: Accounts,
    /// How many messages wait to be sent.
    pub backlog: Backlog,
}

/// The routes; each needs an authenticated [`service::auth::Principal`].
pub fn router(api: CommandApi) -> Router {
    let mut router = Router::new();
    for spec in COMMANDS.iter().filter(|spec| spec.is_sent()) {
        for path in [Some(spec.path), spec.alias].into_iter().flatten() {
            let address = format!("/v1/{}/{{id}}/{path}", spec.collection);
            let handler =
                move |state, principal, id, headers, body| execute::execute(spec, state, principal, id, headers, body);
            router = router.route(&address, post(handler));
        }
        if spec.creates {
            let handler = move |state, principal, headers, body| execute::create(spec, state, principal, headers, body);
            router = router.route(&format!("/v1/{}", spec.collection), post(handler));
        }
    }
    router.with_state(api)
}
