//! What every process shares: configuration, telemetry, authentication, limits, problem details, health, shutdown.
