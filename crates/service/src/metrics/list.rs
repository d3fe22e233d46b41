//! The list of everything that is measured.

use super::{Kind, Metric};

/// Bounds of what a client waits for, in seconds.
const LATENCY: Kind =
    Kind::Histogram(&[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]);
/// Bounds of what comes after the answer, in seconds.
const DELAY: Kind =
    Kind::Histogram(&[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0]);
/// Bounds of numbers.
const SIZE: Kind = Kind::Histogram(&[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0]);
const COUNTER: Kind = Kind::Counter;
const GAUGE: Kind = Kind::Gauge;

const fn metric(name: &'static str, kind: Kind, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind, labels, help }
}

/// Every series that a process can have, by name.
#[rustfmt::skip]
pub const METRICS: &[Metric] = &[
    // tidy: sorted
    metric("anamnesis_alerts_open", GAUGE, &["severity", "status"], "Alerts that are not resolved: raised, escalated or acknowledged. Told by processes that keep views"),
    metric("anamnesis_alerts_overdue", GAUGE, &["severity"], "Alerts that nobody acknowledged in the time that their rule gives. Told by processes that keep views"),
    metric("anamnesis_breaker_changes_total", COUNTER, &["service", "to"], "How often an address outside was left alone because too much failed (open), tried again (half-open) and found to work (closed)"),
    metric("anamnesis_build_info", GAUGE, &["version", "commit"], "Always 1; the labels tell which program runs"),
    metric("anamnesis_clock_behind_log_seconds", GAUGE, &[], "How far this machine's clock is behind the newest event: above 0 some machine's clock ran ahead"),
    metric("anamnesis_command_duration_seconds", LATENCY, &["command"], "Time that commands took, from the parsed request to the answer"),
    metric("anamnesis_command_refusals_total", COUNTER, &["command", "rule"], "Commands that were refused, by the rule that the answer names"),
    metric("anamnesis_commands_total", COUNTER, &["command", "outcome"], "Commands by how they ended: done, refused or failed"),
    metric("anamnesis_database_connections", GAUGE, &["database", "state"], "Shared connections to a database that are idle or in_use"),
    metric("anamnesis_database_connections_max", GAUGE, &["database"], "Shared connections to a database that there may be"),
    metric("anamnesis_event_streams", GAUGE, &[], "Clients that follow the event stream"),
    metric("anamnesis_feed_foreign_messages_total", COUNTER, &[], "Messages of the stream that are not this log's"),
    metric("anamnesis_grpc_call_duration_seconds", LATENCY, &["method"], "Time until the answer to a call of gRPC began"),
    metric("anamnesis_grpc_calls_total", COUNTER, &["method", "code"], "Calls of gRPC by the code with which their answers began. Each is a request to a route as well, which is counted as such"),
    metric("anamnesis_http_connections", GAUGE, &[], "Open connections of clients, gRPC's among them"),
    metric("anamnesis_http_connections_given_up_total", COUNTER, &[], "Idle connections that were closed to make room for others"),
    metric("anamnesis_http_limited_total", COUNTER, &["limit"], "Requests that were answered 429, by the setting of the account's limit that they reached"),
    metric("anamnesis_http_request_duration_seconds", LATENCY, &["method", "route", "status_class"], "Time until an answer began"),
    metric("anamnesis_http_requests_at_once_max", GAUGE, &[], "Requests that are worked on at once at most: it follows from how long they take"),
    metric("anamnesis_http_requests_total", COUNTER, &["method", "route", "status"], "Requests that were answered"),
    metric("anamnesis_http_shed_total", COUNTER, &["class"], "Requests that were answered 503 because others go before, by their class"),
    metric("anamnesis_log_append_batch_size", SIZE, &[], "Appends that were committed together"),
    metric("anamnesis_log_append_duration_seconds", LATENCY, &[], "Time that a commit of the log took"),
    metric("anamnesis_log_position", GAUGE, &[], "Where the log ends"),
    metric("anamnesis_log_rewinds_total", COUNTER, &[], "How often the log was found to end before what was seen of it"),
    metric("anamnesis_message_attempts_total", COUNTER, &["channel", "outcome"], "Attempts to send messages: sent, failed (tried again or given up), skipped (not to be sent any more) or uncertain (may have been sent, and is not sent again)"),
    metric("anamnesis_message_delay_seconds", DELAY, &["urgency"], "Time from when a message was queued until its provider took it"),
    metric("anamnesis_message_sending_duration_seconds", LATENCY, &["channel"], "Time that providers took to take a message, or not"),
    metric("anamnesis_messages_waiting", GAUGE, &["channel", "urgency"], "Messages that wait to be sent, at first or again. Told by the process that sends the channel's"),
    metric("anamnesis_nats_connected", GAUGE, &[], "Whether NATS is connected: 1 or 0"),
    metric("anamnesis_outgoing_tries_total", COUNTER, &["service", "outcome"], "Tries of calls outside: answered, failed (the answer is a fault of the other side), unanswered, or left-alone, which are not made"),
    metric("anamnesis_process_manager_dead_letters", GAUGE, &["process_manager"], "Steps that were given up and wait for a person"),
    metric("anamnesis_process_manager_lag_events", GAUGE, &["process_manager"], "Events that a process manager has not taken in yet, whoever runs it"),
    metric("anamnesis_process_manager_lag_seconds", GAUGE, &["process_manager"], "How long the oldest of these events has been in the log"),
    metric("anamnesis_process_manager_steps_pending", GAUGE, &["process_manager"], "Steps that are planned and not yet carried out"),
    metric("anamnesis_process_manager_steps_total", COUNTER, &["process_manager", "outcome"], "Steps by how they ended: done, refused or failed"),
    metric("anamnesis_process_manager_stuck_instances", GAUGE, &["process_manager"], "Instances that cannot be folded; the others go on"),
    metric("anamnesis_process_manager_timer_overdue_seconds", GAUGE, &["process_manager"], "How late the last timer fired"),
    metric("anamnesis_readings_total", COUNTER, &["outcome"], "Readings of wearables that were sent: stored, apart (of a device that is not known to be the subject's), known (there before) or refused"),
    metric("anamnesis_relay_delay_seconds", DELAY, &[], "Time from when an event was recorded until JetStream had it"),
    metric("anamnesis_relay_failures_total", COUNTER, &[], "How often the relay had to begin again"),
    metric("anamnesis_relay_lag_events", GAUGE, &[], "Events of the log that JetStream is not known to have, also while it is away"),
    metric("anamnesis_relay_lag_seconds", GAUGE, &[], "How long the oldest of these events has been in the log"),
    metric("anamnesis_relay_leading", GAUGE, &[], "Whether this process is the one that publishes: 1 or 0"),
    metric("anamnesis_relay_published_total", COUNTER, &[], "Messages that JetStream acknowledged"),
    metric("anamnesis_relay_referenced_total", COUNTER, &[], "Messages that were too large for NATS and went without their payload"),
    metric("anamnesis_view_delay_seconds", DELAY, &["view"], "Time from when an event was recorded until the view showed it"),
    metric("anamnesis_view_lag_events", GAUGE, &["view"], "Events that a view has not seen yet, whoever keeps it"),
    metric("anamnesis_view_lag_seconds", GAUGE, &["view"], "How long the oldest of these events has been in the log"),
    metric("anamnesis_view_stopped", GAUGE, &["view"], "Whether a view stands still for a fault that an operator has to look at: 1 or 0"),
    metric("process_cpu_seconds_total", COUNTER, &[], "Processor time of this process"),
    metric("process_max_fds", GAUGE, &[], "Files that this process may have open"),
    metric("process_open_fds", GAUGE, &[], "Files that this process has open, connections among them"),
    metric("process_resident_memory_bytes", GAUGE, &[], "Memory that this process has in use"),
    metric("process_start_time_seconds", GAUGE, &[], "When this process began, in seconds since 1970"),
    metric("process_threads", GAUGE, &[], "Threads of this process"),
    metric("process_virtual_memory_bytes", GAUGE, &[], "Memory that this process has reserved"),
    metric("process_virtual_memory_max_bytes", GAUGE, &[], "Memory that this process may reserve"),
    // tidy: end
];
