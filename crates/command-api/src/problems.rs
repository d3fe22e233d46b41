//! From errors to problem documents, exhaustively.

use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderValue, StatusCode, header};
use decider::{Fault, Refusal, RefusalKind};
use domain::commands::{BodyError, CommandSpec};
use domain::patient::PatientError;
use event_store::execute::ExecuteError;
use event_store::log::{LogError, PAYLOAD_BYTES_MAX};
use service::problem::{FieldError, Problem};
use service::trace;

use crate::faults;

/// Seconds after which a database, or whoever has the keys, that is away is worth another try.
const UNAVAILABLE_SECONDS: u32 = 2;

/// A body that could not be received.
pub fn from_rejection(rejection: BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let detail = "The body is larger than this server takes.";
        // The rest of the body is not read: the connection cannot be used for anything else.
        let problem = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail);
        return problem.with_header(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Problem::invalid("body", "unreadable", "The body could not be read to its end.")
}

/// A body that is not the command's: with every fault that it has.
pub fn from_body(spec: &CommandSpec, body: &[u8], error: BodyError) -> Problem {
    Problem::malformed(faults::all(spec, body, error))
}

/// A command that was not carried out.
pub fn from_execute(error: ExecuteError) -> Problem {
    match error {
        ExecuteError::Refused(refusal) => from_refusal(refusal),
        ExecuteError::VersionMismatch { expected, actual, .. } => {
            let detail = format!("The stream stands at version {actual}, If-Match expects {expected}.");
            Problem::new(StatusCode::PRECONDITION_FAILED, "version-mismatch", detail)
        }
        ExecuteError::Conflict { stream } => {
            let detail = format!("{stream} kept changing while the command was decided. Send it again.");
            Problem::new(StatusCode::CONFLICT, "conflict", detail).retry_after(1)
        }
        ExecuteError::CommandReused => {
            let detail = "The Idempotency-Key was used before for another command. Use a new one.";
            let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", detail);
            problem.with_error(FieldError {
                field: "Idempotency-Key".to_owned(),
                rule: "idempotency-key-reused".to_owned(),
                message: detail.to_owned(),
            })
        }
        ExecuteError::TooLarge => {
            let detail =
                format!("What the command says is kept in one event, which may have {PAYLOAD_BYTES_MAX} bytes.");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "event-too-large", detail)
        }
        error @ ExecuteError::Malformed(_) => {
            log(&error, "a decision broke the rules of decisions");
            Problem::internal()
        }
        ExecuteError::Sealing(error) if error.is_erased() => {
            let detail = "The personal data of whom the command is about were erased: nothing more is kept of them.";
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "personal-data-erased", detail)
        }
        ExecuteError::Sealing(error) if !error.may_pass() => {
            log(&error, "personal data cannot be sealed");
            Problem::internal()
        }
        error @ (ExecuteError::Keys(_) | ExecuteError::Sealing(_) | ExecuteError::Log(LogError::Closed(_))) => {
            log(&error, "the keys cannot be used");
            let detail = "The keys cannot be used now; the server's log says why. Nothing was done: send it again.";
            Problem::unavailable("keys-unavailable", detail, UNAVAILABLE_SECONDS)
        }
        ExecuteError::Log(error) if error.is_newer_event() => {
            log(&error, "this program is older than the log");
            Problem::newer_event()
        }
        ExecuteError::Log(error @ (LogError::Decode { .. } | LogError::Corrupt { .. })) => {
            log(&error, "the log holds what cannot be read");
            Problem::internal()
        }
        error @ ExecuteError::Log(_) => {
            log(&error, "the log cannot be used");
            let detail = "The database cannot be used; the server's log says why. The command may have been carried out: \
                          send it again with the same Idempotency-Key.";
            Problem::unavailable("database-unavailable", detail, UNAVAILABLE_SECONDS)
        }
    }
}

/// Rules by which somebody learns of people who are out of their sight: trying them is on record.
const TELLING: [&str; 1] = [PatientError::NATIONAL_ID_TAKEN];

fn from_refusal(refusal: Refusal) -> Problem {
    let status = match refusal.kind {
        RefusalKind::Invalid => StatusCode::BAD_REQUEST,
        RefusalKind::NotFound => StatusCode::NOT_FOUND,
        RefusalKind::Rule => StatusCode::UNPROCESSABLE_ENTITY,
        RefusalKind::Forbidden => StatusCode::FORBIDDEN,
        RefusalKind::Unauthenticated => return Problem::sign_in_again(refusal.message),
    };
    let mut problem = Problem::new(status, refusal.rule.clone(), refusal.message.clone());
    if TELLING.contains(&&*refusal.rule) {
        problem = problem.telling_of_others();
    }
    if !refusal.faults.is_empty() {
        let fault = |fault: Fault| {
            let field = fault.field.unwrap_or_else(|| "body".to_owned());
            FieldError { field, rule: fault.rule, message: fault.message }
        };
        return refusal.faults.into_iter().map(fault).fold(problem, Problem::with_error);
    }
    match refusal.field {
        Some(field) => problem.with_error(FieldError { field, rule: refusal.rule, message: refusal.message }),
        None => problem,
    }
}

fn log(error: &(dyn std::error::Error + 'static), what: &str) {
    let trace = trace::current().map(|trace| trace.trace_id());
    tracing::error!(error, trace, "{what}");
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;
    use events::ids::StreamType;
    use events::set::DecodeError;

    use super::*;

    #[test]
    fn keys_that_are_away_are_worth_another_try() {
        let problem = from_execute(ExecuteError::Keys(event_store::NotOpen));
        assert_eq!(problem.rule(), "keys-unavailable");
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn an_event_of_a_newer_program_is_not_told_as_a_database_that_is_away() {
        let source =
            DecodeError::UnknownType { stream_type: StreamType::Patient, event_type: "PatientMoved".to_owned() };
        let problem = from_execute(ExecuteError::Log(LogError::Decode { position: 7, source }));
        assert_eq!(problem.rule(), "newer-event");
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers().get(header::RETRY_AFTER), None, "sending it again does not help");

        let away = from_execute(ExecuteError::Log(LogError::BatchFailed));
        assert_eq!(away.rule(), "database-unavailable");
        assert!(away.into_response().headers().contains_key(header::RETRY_AFTER));
    }
}
