//! What a command asks of the log: the append of a decision, of a refusal that is remembered, and of a question for the
//! first answer.

use decider::{Decision, Refusal};

use super::{ExecuteError, Executed, Request, Seen};
use crate::log::{Append, Expected, Guard, Receipt, Write};

/// An append that is stored under no circumstances: no stream reaches its guard's version. It is
/// answered where the command was carried out before.
pub(super) fn recollection(request: &Request) -> Append {
    let unreachable = Guard { stream: request.target, version: u64::MAX };
    Append { causation_id: None, trace_context: None, ..surroundings(request, vec![unreachable], Vec::new()) }
}

/// The answer to a command that was carried out, or refused for good, before.
pub(super) fn repeated(request: &Request, receipt: Receipt) -> Result<Executed, ExecuteError> {
    match receipt.refusal {
        Some(refusal) if !request.keep_refusal => Err(ExecuteError::Refused(refusal)),
        _ => Ok(Executed { receipt, repeated: true, seen: None }),
    }
}

/// The append that remembers a refusal: nothing is written, and everything that was seen must still be so.
pub(super) fn remembered(request: &Request, refusal: Refusal, seen: &Seen) -> Append {
    let guards = seen.facts.versions().map(|(stream, version)| Guard { stream, version }).collect();
    Append { refusal: Some(refusal), ..surroundings(request, guards, Vec::new()) }
}

/// The append that a decision stands for: what it wrote at the version that it
/// saw, and everything else that it saw as guards.
pub(super) fn compose(request: &Request, decision: Decision, seen: &Seen) -> Result<Append, ExecuteError> {
    let mut writes = Vec::with_capacity(decision.writes.len());
    for write in decision.writes {
        let version = seen.facts.version(write.stream);
        let version = version.ok_or_else(|| ExecuteError::Malformed(format!("it writes {} unread", write.stream)))?;
        let expected = if version == 0 { Expected::NoStream } else { Expected::Exact(version) };
        writes.push(Write { stream: write.stream, expected, events: write.events });
    }
    let primary = writes.first().map_or(request.target, |write| write.stream);
    let addressed = seen.facts.version(request.target).map(|version| (request.target, version));
    if let Some(actual) = seen.facts.version(primary)
        && !request.if_match.admits((primary, actual), addressed)
    {
        return Err(ExecuteError::VersionMismatch { stream: primary, expected: request.if_match.clone(), actual });
    }
    let written = |stream| writes.iter().any(|write| write.stream == stream);
    let others = seen.facts.versions().filter(|(stream, _)| !written(*stream));
    let guards = others.map(|(stream, version)| Guard { stream, version }).collect();
    let append = surroundings(request, guards, writes);
    Ok(Append { actor: decision.actor.unwrap_or(append.actor), ..append })
}

fn surroundings(request: &Request, guards: Vec<Guard>, writes: Vec<Write>) -> Append {
    Append {
        command_id: request.command_id,
        fingerprint: request.fingerprint,
        guards,
        writes,
        actor: request.actor.clone(),
        correlation_id: request.correlation_id.unwrap_or(request.command_id),
        causation_id: request.causation_id,
        trace_context: request.trace_context.clone(),
        refusal: None,
    }
}
