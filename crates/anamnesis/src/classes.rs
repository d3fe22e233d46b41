//! Of which class each route is: what is refused first when there is too much to do.
//!
//! Commands follow from whose duty they are, queries from what their route names.

use std::collections::HashMap;

use axum::http::Method;
use domain::commands::{COMMANDS, CommandSpec, Duty};
use service::shedding::Priority;

/// Lists that whoever cares for patients cannot be without.
const OF_CARE: [&str; 3] = ["/v1/alerts", "/v1/adverse-events", "/v1/subjects/{id}/allocation"];
/// What is known by others.
const KNOWLEDGE: [&str; 1] = ["/v1/drugs/"];
/// What takes readings: it can be sent later.
const UPLOADS: [&str; 3] = ["/v1/patients/{id}/readings", "/v1/uploads/{id}", "/v1/uploads/{id}/refused"];
/// What is worked out when it is asked for.
const ANALYSES: [&str; 3] = ["/trend", "/report", "/buckets"];

/// The class of a request by its method and route.
pub fn classes() -> impl Fn(&Method, &str) -> Priority + Send + Sync + 'static {
    let commands = commands();
    move |method, route| {
        if UPLOADS.contains(&route) {
            return Priority::Export;
        }
        if method == Method::POST {
            return commands.get(route).copied().unwrap_or(Priority::Command);
        }
        of_query(route)
    }
}

fn commands() -> HashMap<String, Priority> {
    let routes = |spec: &'static CommandSpec| {
        let paths = [Some(spec.path), spec.alias].into_iter().flatten();
        let named = paths.map(|path| format!("/v1/{}/{{id}}/{path}", spec.collection));
        let made = spec.creates.then(|| format!("/v1/{}", spec.collection));
        named.chain(made).map(|route| (route, of_duty(spec.duty)))
    };
    COMMANDS.iter().flat_map(routes).collect()
}

/// What participants say, what is done for their safety, and what an emergency takes; that of whoever suspends an account which asks
/// for too much, too.
const fn of_duty(duty: Duty) -> Priority {
    match duty {
        Duty::Participation | Duty::Safety | Duty::Unblinding | Duty::Access | Duty::Operation => Priority::Care,
        Duty::Conduct | Duty::SiteWork | Duty::Allocation | Duty::Messaging | Duty::Delegation | Duty::Process => {
            Priority::Command
        }
    }
}

fn of_query(route: &str) -> Priority {
    if OF_CARE.iter().any(|of_care| route.starts_with(of_care)) {
        return Priority::Care;
    }
    if KNOWLEDGE.iter().any(|known| route.starts_with(known)) {
        return Priority::Knowledge;
    }
    if ANALYSES.iter().any(|analysis| route.ends_with(analysis)) {
        return Priority::Analysis;
    }
    if route.contains('{') { Priority::Document } else { Priority::List }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_patient_waits_for_is_of_care() {
        let class = classes();
        for (method, route, priority) in [
            (Method::POST, "/v1/reports/{id}/submit-report", Priority::Care),
            (Method::POST, "/v1/reports", Priority::Care),
            (Method::POST, "/v1/patients/{id}/sign-consent", Priority::Care),
            (Method::POST, "/v1/alerts/{id}/acknowledge", Priority::Care),
            (Method::POST, "/v1/subjects/{id}/unblind-subject", Priority::Care),
            (Method::POST, "/v1/accounts/{id}/suspend-account", Priority::Care),
            (Method::POST, "/v1/trials/{id}/add-arm", Priority::Command),
            (Method::POST, "/v1/notifications", Priority::Command),
            (Method::GET, "/v1/alerts", Priority::Care),
            (Method::GET, "/v1/subjects", Priority::List),
            (Method::GET, "/v1/subjects/{id}", Priority::Document),
            (Method::GET, "/v1/drugs/{name}", Priority::Knowledge),
            (Method::GET, "/v1/patients/{id}/trend", Priority::Analysis),
        ] {
            assert_eq!(class(&method, route), priority, "{method} {route}");
        }
        // Every command is of a class, by an address that it has.
        assert!(commands().len() >= COMMANDS.iter().filter(|spec| spec.is_sent()).count());
    }
}
