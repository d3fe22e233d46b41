//! What can go wrong between a client and its server, in words for operators.

use std::fmt;
use std::io;
use std::path::PathBuf;

use calls::CallError;
use reqwest::{StatusCode, Url};
use serde::Deserialize;

/// Why a request did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody said who is asking.
    #[error(
        "no token: give ANAMNESIS_TOKEN or --token-file, or name by --data-dir the data folder of the embedded engine ({path} cannot be read)"
    )]
    NoToken {
        /// Where the administrator's token was looked for.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// No token looks like this.
    #[error("the token holds characters that no token has")]
    MalformedToken,
    /// No answer, or only a part of one.
    #[error("{url} does not answer; is `anamnesis serve` running there?")]
    Unreachable {
        /// The server's address.
        url: Url,
        /// The cause.
        #[source]
        source: Box<CallError>,
    },
    /// An answer that is not this program's.
    #[error("what answers at {url} is not Anamnesis (status {status})")]
    Foreign {
        /// The server's address.
        url: Url,
        /// The answer's status.
        status: StatusCode,
    },
    /// An answer of another shape.
    #[error("{url} gave an answer that this version does not understand")]
    Answer {
        /// The server's address.
        url: Url,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// The token is not accepted.
    #[error("the token is not accepted: {0}")]
    Unauthenticated(Problem),
    /// The token's role may not do this.
    #[error("not allowed: {0}")]
    Forbidden(Problem),
    /// The server asks to come back later, and still did after several attempts.
    #[error("the server is busy: {0}")]
    Busy(Problem),
    /// The server failed.
    #[error("{0}")]
    Failed(Problem),
    /// Refused by a rule, or malformed.
    #[error("{0}")]
    Refused(Problem),
}

impl ClientError {
    /// Whether the same request may succeed in a moment.
    pub fn may_pass(&self) -> bool {
        match self {
            ClientError::Unreachable { source, .. } => !matches!(source.last, calls::Failure::Malformed(_)),
            ClientError::Busy(_) => true,
            // What stands in front of a server that restarts answers like this.
            ClientError::Foreign { status, .. } => {
                matches!(
                    *status,
                    StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
                )
            }
            ClientError::NoToken { .. }
            | ClientError::MalformedToken
            | ClientError::Answer { .. }
            | ClientError::Unauthenticated(_)
            | ClientError::Forbidden(_)
            | ClientError::Failed(_)
            | ClientError::Refused(_) => false,
        }
    }

    /// What the server said about this one request; nothing where any other request would fare the same.
    pub const fn about_the_request(&self) -> Option<&Problem> {
        match self {
            ClientError::Refused(problem) | ClientError::Failed(problem) => Some(problem),
            ClientError::NoToken { .. }
            | ClientError::MalformedToken
            | ClientError::Unreachable { .. }
            | ClientError::Foreign { .. }
            | ClientError::Answer { .. }
            | ClientError::Unauthenticated(_)
            | ClientError::Forbidden(_)
            | ClientError::Busy(_) => None,
        }
    }
}

/// A problem document (RFC 9457).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Problem {
    /// The rule's name in kebab-case.
    pub rule: String,
    /// What is wrong.
    #[serde(default)]
    pub detail: String,
    /// What is wrong with single fields.
    #[serde(default)]
    pub errors: Vec<FieldError>,
    /// Under which the server's log tells more.
    #[serde(default)]
    pub trace_id: Option<String>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FieldError {
    /// The field.
    pub field: String,
    /// What would be right.
    pub message: String,
}

impl Problem {
    /// One that was seen before anybody was asked.
    pub(crate) fn of(rule: &str, detail: &str) -> Self {
        Self { rule: rule.to_owned(), detail: detail.to_owned(), ..Self::default() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.detail)?;
        for error in &self.errors {
            if !self.detail.contains(&error.message) {
                write!(formatter, "; {}: {}", error.field, error.message)?;
            }
        }
        write!(formatter, " ({})", self.rule)?;
        match (&self.trace_id, self.rule.as_str()) {
            (Some(trace_id), "internal") => write!(formatter, ", trace {trace_id}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_a_sentence_with_its_rule() {
        let problem: Problem = serde_json::from_str(
            r#"{"type": "urn:anamnesis:problem:blank", "title": "t", "status": 400, "rule": "blank", "trace_id": "1f",
                "detail": "the body is wrong", "errors": [{"field": "term", "rule": "blank", "message": "say what"}]}"#,
        )
        .expect("a problem document");
        assert_eq!(problem.to_string(), "the body is wrong; term: say what (blank)");
        assert_eq!(ClientError::Failed(problem.clone()).about_the_request(), Some(&problem));
        assert_eq!(ClientError::Busy(problem.clone()).about_the_request(), None);
        assert!(ClientError::Busy(problem).may_pass());
    }
}
