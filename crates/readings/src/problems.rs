//! From errors to problem documents.

use std::error::Error;

use axum::http::StatusCode;
use domain::readings::device::DeviceError;
use event_store::execute::ExecuteError;
use event_store::readings::ReadingsError;
use service::problem::Problem;

use crate::recording::RecordError;

pub use command_api::problems::from_execute;

/// Seconds after which a database that is away is worth another try.
const UNAVAILABLE_SECONDS: u32 = 2;
/// Rules by which readings are refused, and not who sends them: the others of the upload are taken.
const OF_READINGS: [&str; 3] = ["consent-not-in-force", "consent-signed-later", DeviceError::TOO_MUCH_APART];

/// Readings that could not be stored or read.
pub fn from_readings(error: ReadingsError) -> Problem {
    match error {
        ReadingsError::Moved => {
            let detail =
                "Somebody else sends this upload, too, or it has ended. Ask where it stands, and go on from there.";
            Problem::new(StatusCode::CONFLICT, "upload-moved", detail)
        }
        error @ ReadingsError::Database { .. } => {
            tracing::error!(error = &error as &dyn Error, "the readings cannot be kept");
            let detail = "The database cannot be used; the server's log says why. What was stored stays: send it again, \
                          nothing is stored twice.";
            Problem::unavailable("database-unavailable", detail, UNAVAILABLE_SECONDS)
        }
    }
}

/// Readings of which the log could not be told.
pub fn from_record(error: RecordError) -> Problem {
    match error {
        RecordError::Execute(error) => from_execute(error),
        RecordError::Readings(error) => from_readings(error),
    }
}

/// Goes on where only readings were refused.
///
/// # Errors
/// The problem of who sends them.
pub fn unless_of_readings(error: ExecuteError) -> Result<(), Problem> {
    match &error {
        ExecuteError::Refused(refusal) if OF_READINGS.contains(&refusal.rule.as_str()) => Ok(()),
        _ => Err(from_execute(error)),
    }
}
