//! What `/readyz` looks at.

use std::sync::Arc;

use event_store::log::EventLog;
use event_store::views::ViewStore;
use service::health::Check;

use crate::serve::Roles;

/// Whether the log answers: where commands are taken, on the connection that writes.
pub fn log_answers(roles: Roles, log: Arc<dyn EventLog>) -> Check {
    Check::new("log", move || {
        let log = log.clone();
        async move {
            let answered = if roles.command_api { log.ready().await } else { log.head().await.map(drop) };
            answered.map_err(|error| with_causes(&error))
        }
    })
}

/// What a role tells of its own work. It decides where the process does nothing else: one that
/// answers requests, too, goes on answering them.
pub fn works_beside(
    roles: Roles,
    name: &'static str,
    told: impl Fn() -> Result<(), String> + Send + Sync + 'static,
) -> Check {
    let check = Check::new(name, move || std::future::ready(told()));
    if roles.command_api || roles.query_api { check.shown_only() } else { check }
}

/// What keeps this process from bringing one view forward.
pub fn view_stands(standing: &projector::Standing, name: &str) -> Result<(), String> {
    let views = standing.views();
    views.into_iter().find(|(view, _)| *view == name).map_or(Ok(()), |(_, stands)| stands)
}

/// Whether every view that is served has been registered: before, queries cannot be answered.
pub fn views_are_registered(views: Arc<dyn ViewStore>) -> Check {
    Check::new("views", move || {
        let views = views.clone();
        async move {
            let states = views.states().await.map_err(|error| with_causes(&error))?;
            let mut tables = views::tables().map(|table| table.schema().name);
            let unregistered = tables.find(|name| states.iter().all(|state| state.name != *name));
            unregistered.map_or(Ok(()), |name| Err(format!("`{name}` is not registered yet")))
        }
    })
}

/// An error with its causes; what one has said already the next does not say again.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes
        .map(ToString::to_string)
        .fold(error.to_string(), |told, cause| if told.contains(&cause) { told } else { format!("{told}: {cause}") })
}
