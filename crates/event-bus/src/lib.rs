//! JetStream topology, relay and feeds.
