//! End to end: the real binary, spoken to by HTTP only.
//!
//! Every scenario runs against the embedded engine in one process and against
//! the roles as separate processes over PostgreSQL and NATS.

mod api;
mod asyncapi;
mod bad_input;
mod bus;
mod clients;
mod clinic;
mod clock;
mod contract;
mod crash;
mod deploying;
mod disclosures;
mod disk;
mod documents;
mod finding;
mod forging;
mod grpc;
mod guides;
mod hardening;
mod import;
mod kept;
mod keys;
mod loss;
mod markers;
mod matrix;
mod metrics;
mod nats_tls;
mod notifications;
mod oidc;
mod outsider;
mod permissions;
mod printed;
mod process;
mod program;
mod reading;
mod readings;
mod recover;
mod reference;
mod requirements;
mod revocation;
mod rpc;
mod scenarios;
mod settings;
mod sightlines;
mod stage;
mod stream;
mod subscribers;
mod system;
mod token;
mod unblinding;
mod uploads;

use system::System;

/// Runs a scenario against both ways of running the system.
macro_rules! everywhere {
    ($($scenario:ident),+ $(,)?) => {
        mod embedded { $(
            #[tokio::test]
            async fn $scenario() {
                let system = super::System::embedded().await;
                super::scenarios::$scenario(&system).await;
            }
        )+ }
        mod apart { $(
            #[tokio::test]
            async fn $scenario() {
                let system = super::System::apart().await;
                super::scenarios::$scenario(&system).await;
            }
        )+ }
    };
}

everywhere! {
    a_signed_consent_becomes_an_enrolled_subject,
    an_alert_stands_in_the_inbox_until_it_is_resolved,
    a_withdrawal_ends_participation_and_gives_the_place_back,
    the_last_places_go_to_exactly_as_many_as_there_are,
    a_view_never_shows_less_than_asked_for,
    a_repeated_command_gets_its_first_answer,
    an_event_stream_resumes_where_it_broke_off,
    a_history_tells_what_was_known_at_a_time,
    blinded_roles_never_see_the_arm,
    a_request_without_a_token_is_refused,
    a_report_stands_before_the_withdrawal_or_is_refused,
    pages_stay_whole_while_patients_come,
    a_history_has_three_forms,
    a_timeline_is_read_from_either_end,
    the_same_report_twice_without_an_id_is_one,
}
