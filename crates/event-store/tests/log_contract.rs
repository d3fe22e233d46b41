//! The log's contract on both engines.

use testkit::contract::{
    a_closed_log_says_so, a_command_is_taken_once, a_stream_that_another_process_began_is_not_begun_again,
    expected_versions_are_exact, followers_read_what_is_stored, guards_hold, malformed_appends_are_refused,
    positions_are_gapless_and_events_read_back, positions_become_visible_in_order,
    references_are_found_wherever_they_lie, snapshots_can_come_and_go, times_follow_positions,
};

testkit::on_both_engines! {
    positions_are_gapless_and_events_read_back,
    references_are_found_wherever_they_lie,
    expected_versions_are_exact,
    a_stream_that_another_process_began_is_not_begun_again,
    guards_hold,
    a_command_is_taken_once,
    positions_become_visible_in_order,
    times_follow_positions,
    malformed_appends_are_refused,
    snapshots_can_come_and_go,
    a_closed_log_says_so,
    followers_read_what_is_stored,
}
