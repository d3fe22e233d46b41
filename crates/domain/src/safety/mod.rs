//! Adverse events and alerts.

pub mod adverse_event;
pub mod alert;
pub mod alert_process;
