//! How often each account may ask, by the kind of what it asks for.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::extract::Request;
use axum::http::{Method, header};
use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::problem::Problem;
use crate::shares::Limit;

/// Requests after which accounts are forgotten that asked for nothing of late.
const TIDY_EVERY: u32 = 4_096;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A command.
    Command,
    /// A list, a document, a page of a history.
    Query,
    /// A whole history, or the event stream.
    Export,
}

impl Class {
    /// What a request asks for.
    pub fn of(request: &Request) -> Self {
        if request.method() == Method::POST {
            return Class::Command;
        }
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        let accepted = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_whole = ["csv", "ndjson"].iter().any(|form| {
            // As `format=` or as a media type (text/csv, application/x-ndjson).
            query.split('&').any(|part| part.strip_prefix("format=") == Some(form)) || accepted.contains(form)
        });
        match path.ends_with("/export") || path == "/v1/events" || is_whole {
            true => Class::Export,
            false => Class::Query,
        }
    }

    const fn limit(self) -> Limit {
        let (setting, of) = match self {
            Class::Command => ("account_commands_per_second", "commands a second"),
            Class::Query => ("account_queries_per_second", "queries a second"),
            Class::Export => ("account_exports_per_second", "whole histories and event streams begun a second"),
        };
        Limit { setting, rule: "too-fast", of }
    }
}

/// How many of each class one account may ask for in a second, in the long run; as many at once.
#[derive(Clone, Copy, Debug)]
pub struct PerSecond {
    /// Commands.
    pub commands: NonZeroU32,
    /// Queries.
    pub queries: NonZeroU32,
    /// Whole histories and event streams.
    pub exports: NonZeroU32,
}

type Buckets = RateLimiter<String, HashMapStateStore<String>, DefaultClock>;

/// A token bucket for each account and class.
#[derive(Clone)]
pub struct Rates {
    inner: Arc<Inner>,
}

struct Inner {
    per_second: PerSecond,
    commands: Buckets,
    queries: Buckets,
    exports: Buckets,
    clock: DefaultClock,
    asked: AtomicU32,
}

impl Rates {
    /// Buckets that fill so fast.
    pub fn new(per_second: PerSecond) -> Self {
        let buckets = |rate| RateLimiter::hashmap(Quota::per_second(rate));
        let PerSecond { commands, queries, exports } = per_second;
        let inner = Inner {
            per_second,
            commands: buckets(commands),
            queries: buckets(queries),
            exports: buckets(exports),
            clock: DefaultClock::default(),
            asked: AtomicU32::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Takes one of what the account may ask for.
    ///
    /// # Errors
    /// A 429 problem that names the limit and says when to come again.
    pub fn take(&self, class: Class, account: &str) -> Result<(), Problem> {
        let Inner { per_second, commands, queries, exports, clock, asked } = &*self.inner;
        let (buckets, max) = match class {
            Class::Command => (commands, per_second.commands),
            Class::Query => (queries, per_second.queries),
            Class::Export => (exports, per_second.exports),
        };
        if asked.fetch_add(1, Ordering::Relaxed) % TIDY_EVERY == TIDY_EVERY - 1 {
            for buckets in [commands, queries, exports] {
                buckets.retain_recent();
            }
        }
        buckets.check_key(&account.to_owned()).map_err(|early| {
            let wait = early.wait_time_from(clock.now()).as_secs_f64().ceil();
            // At least one: clients that are told 0 come back at once.
            let seconds = NonZeroU32::MIN.get().max(wait as u32);
            class.limit().reached(max, seconds)
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(method: &str, address: &str, accept: &str) -> Request {
        let request = Request::builder().method(method).uri(address).header("accept", accept);
        request.body(Body::empty()).expect("a request")
    }

    #[test]
    fn what_is_asked_for_is_told_from_the_request() {
        for (method, address, accept, class) in [
            ("POST", "/v1/patients", "*/*", Class::Command),
            ("GET", "/v1/patients", "*/*", Class::Query),
            ("GET", "/v1/patients/1/history", "application/json", Class::Query),
            ("GET", "/v1/events/1", "*/*", Class::Query),
            ("GET", "/v1/events?after=0", "*/*", Class::Export),
            ("GET", "/v1/patients/1/history", "text/csv", Class::Export),
            ("GET", "/v1/patients/1/history?format=ndjson", "*/*", Class::Export),
            ("GET", "/v1/patients/1/history/export", "*/*", Class::Export),
        ] {
            assert_eq!(Class::of(&request(method, address, accept)), class, "{method} {address} {accept}");
        }
    }

    #[test]
    fn each_account_and_class_has_a_bucket_of_its_own() {
        let one = |number| NonZeroU32::new(number).expect("not 0");
        let rates = Rates::new(PerSecond { commands: one(2), queries: one(1_000), exports: one(1) });
        for _ in 0..2 {
            rates.take(Class::Command, "a").expect("within the rate");
        }
        let early = rates.take(Class::Command, "a").expect_err("too fast");
        assert_eq!((early.status().as_u16(), early.rule()), (429, "too-fast"));
        rates.take(Class::Command, "b").expect("another account");
        rates.take(Class::Query, "a").expect("another class");
        for _ in 0..TIDY_EVERY {
            drop(rates.take(Class::Export, "a"));
        }
        assert!(rates.take(Class::Export, "a").is_err(), "tidying forgets nobody who is still too fast");
    }
}
