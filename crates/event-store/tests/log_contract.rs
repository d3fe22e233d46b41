//! The log's contract on both engines.

use testkit::{contract, stores};

macro_rules! contract {
    ($($promise:ident),+ $(,)?) => {
        mod sqlite { $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $promise() { super::contract::$promise(&super::stores::sqlite().await).await; }
        )+ }
        mod postgres { $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $promise() { super::contract::$promise(&super::stores::postgres().await).await; }
        )+ }
    };
}

contract! {
    positions_are_gapless_and_events_read_back,
    expected_versions_are_exact,
    guards_hold,
    a_command_is_taken_once,
    positions_become_visible_in_order,
    times_follow_positions,
    malformed_appends_are_refused,
    snapshots_can_come_and_go,
    a_closed_log_says_so,
}
