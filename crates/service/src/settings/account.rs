//! What one account may have, so that it does not take it from the others.

use std::num::NonZeroU32;

use clap::Args;

use crate::rate::{PerSecond, Rates};

/// Limits of each account. By default a quarter of what there is for all, and more of a second than a server can answer
/// to one: set the rates where accounts are people.
#[derive(Clone, Debug, Args)]
pub struct AccountSettings {
    /// Requests of one account that are worked on at once; more are answered 429.
    #[arg(long, env = "ANAMNESIS_ACCOUNT_REQUESTS_MAX", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=100_000), value_name = "N")]
    pub account_requests_max: u64,
    /// Queries of one account with `at_least` at once, which may wait for a view; more are answered 429.
    #[arg(long, env = "ANAMNESIS_ACCOUNT_WAITING_MAX", default_value_t = 128, value_parser = clap::value_parser!(u64).range(1..=100_000), value_name = "N")]
    pub account_waiting_max: u64,
    /// Event streams that one account has open at once; more are answered 429.
    #[arg(long, env = "ANAMNESIS_ACCOUNT_EVENT_STREAMS_MAX", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=100_000), value_name = "N")]
    pub account_event_streams_max: u64,
    /// Commands of one account in a second, in the long run; more are answered 429.
    #[arg(long, env = "ANAMNESIS_ACCOUNT_COMMANDS_PER_SECOND", default_value = "10000", value_name = "N")]
    pub account_commands_per_second: NonZeroU32,
    /// Queries of one account in a second; more are answered 429.
    #[arg(long, env = "ANAMNESIS_ACCOUNT_QUERIES_PER_SECOND", default_value = "20000", value_name = "N")]
    pub account_queries_per_second: NonZeroU32,
    /// Whole histories and event streams that one account begins in a second; more are answered 429.
    #[arg(long, env = "ANAMNESIS_ACCOUNT_EXPORTS_PER_SECOND", default_value = "1000", value_name = "N")]
    pub account_exports_per_second: NonZeroU32,
}

impl AccountSettings {
    /// The buckets of these rates.
    pub fn rates(&self) -> Rates {
        Rates::new(PerSecond {
            commands: self.account_commands_per_second,
            queries: self.account_queries_per_second,
            exports: self.account_exports_per_second,
        })
    }
}
