//! Resident memory of `serve` after a million commands beside a hundred thousand.

use crate::measure::{Goal, Row};
use crate::system::{System, open_trial};
use crate::works::http::submit_many;
use crate::{Bench, BenchError};

/// What it must stay under, in MiB.
const RESIDENT_MIB_MAX: f64 = 256.0;

/// Figure 12.
pub async fn embedded(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let (few, many) = if bench.is_short() { (10_000, 30_000) } else { (100_000, 1_000_000) };
    let system = System::serve(bench, None).await?;
    let subjects = open_trial(&system).await?;
    submit_many(&system, &subjects, few).await?;
    let early = system.resident_mib()?;
    submit_many(&system, &subjects, many - few).await?;
    let late = system.resident_mib()?;
    system.stop().await?;
    let figure = format!("resident memory after {many} commands, embedded");
    let beside = format!("after {few} commands");
    Ok(vec![
        Row::new(12, figure.clone(), "MiB", Goal::AtMost(1.1), beside, vec![(late, early)]),
        Row::new(12, figure, "MiB", Goal::AtMost(1.0), "256 MiB", vec![(late, RESIDENT_MIB_MAX)]),
    ])
}
