//! What the event stream promises of its timing (server-sent events).

use std::time::Duration;

/// How long a browser waits before it comes again; said in the stream's first frame.
pub const RETRY: Duration = Duration::from_secs(2);
/// How often a quiet stream shows that it is alive.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
