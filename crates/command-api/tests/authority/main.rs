//! A right that is revoked while it is used: in the order of the log nothing stands behind the revocation that needed it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use command_api::accounts;
use decider::Command as _;
use domain::access::account::{CloseAccount, SuspendAccount, UnlinkIdentity};
use domain::access::grant::RevokeRole;
use domain::access::{Authorised, AuthorityError, Sender};
use domain::commands::{AnyCommand, COMMANDS};
use domain::patient::{RecordObservation, RegisterPatient};
use event_store::Store;
use event_store::execute::{ExecuteError, Executor, Request};
use events::access::account::{LinkedIdentity, RoleGranted, Scope};
use events::envelope::{Actor, Role};
use events::ids::{AccountId, IdentityId, PatientId, StreamKey as _};
use futures::future::join_all;
use testkit::stores::{self, TestStore};
use uuid::Uuid;

/// Who write at once.
const WRITERS: usize = 64;
/// How often a right is revoked.
const ROUNDS: usize = 100;

/// How a right ends.
#[derive(Clone, Copy)]
enum End {
    Revoked,
    Suspended,
    Closed,
    Unlinked,
}

const ENDS: [End; 4] = [End::Revoked, End::Suspended, End::Closed, End::Unlinked];

impl End {
    const fn event(self) -> &'static str {
        match self {
            End::Revoked => "RoleRevoked",
            End::Suspended => "AccountSuspended",
            End::Closed => "AccountClosed",
            End::Unlinked => "IdentityUnlinked",
        }
    }

    const fn rule(self) -> &'static str {
        match self {
            End::Revoked => AuthorityError::NOT_A_DUTY,
            End::Suspended => AuthorityError::SUSPENDED,
            End::Closed => AuthorityError::ACCOUNT_CLOSED,
            End::Unlinked => AuthorityError::NO_ACCOUNT,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's client makes its own ids")]
fn fresh() -> Uuid {
    Uuid::new_v4()
}

fn request(executor: &Executor, command: &AnyCommand, actor: Actor) -> Request {
    let fingerprint = executor.marks().expect("the keys are there").fingerprint(&command.to_json());
    Request::own(fresh(), fingerprint, actor, command.target())
}

fn identity(username: &str) -> LinkedIdentity {
    LinkedIdentity { issuer: "https://id.example".to_owned(), subject: username.to_owned() }
}

/// Sends commands until one is refused; how many were done, and the rule that refused.
async fn write_until_refused(executor: &Executor, username: &str, patient_id: PatientId, done: &AtomicUsize) -> String {
    let LinkedIdentity { issuer, subject } = identity(username);
    let sender = Sender {
        identity_id: IdentityId::of(&issuer, &subject),
        account_id: AccountId::of(username),
        signed_in_at: None,
    };
    let spec = COMMANDS.iter().find(|spec| spec.name == RecordObservation::NAME).expect("a command");
    loop {
        let observe: RecordObservation =
            serde_json::from_value(serde_json::json!({"code": "AGE", "value": 40})).expect("a command");
        let command: AnyCommand = (patient_id, observe).into();
        let actor = Actor { id: username.to_owned(), role: Role::Participant, organisation: None };
        let request = request(executor, &command, actor);
        let authorised = Authorised::new(command, spec, sender);
        match executor.execute(&request, &authorised).await {
            Ok(_) => done.fetch_add(1, Ordering::Relaxed),
            Err(ExecuteError::Refused(refusal)) => return refusal.rule,
            // Others were first too often; the next one may be luckier.
            Err(ExecuteError::Conflict { .. }) => 0,
            Err(error) => panic!("{error:?}"),
        };
    }
}

/// Has the right end.
async fn end_it(store: &Store, executor: &Executor, username: &str, end: End) {
    let (account_id, reason) = (AccountId::of(username), "Left".to_owned());
    let command: AnyCommand = match end {
        End::Revoked => {
            let events = store.log.read_stream(account_id.stream(), 0, 100).await.expect("the log is read");
            let granted = events.iter().find(|event| event.event_type == "RoleGranted").expect("a grant");
            let granted: RoleGranted = serde_json::from_slice(&granted.payload).expect("a payload");
            (account_id, RevokeRole { grant_id: granted.grant_id, reason }).into()
        }
        End::Suspended => (account_id, SuspendAccount { reason }).into(),
        End::Closed => (account_id, CloseAccount { reason }).into(),
        End::Unlinked => (account_id, UnlinkIdentity { identity: identity(username), reason }).into(),
    };
    let request = request(executor, &command, Actor::system("operator"));
    executor.execute(&request, &command).await.expect("the right ends");
}

/// One right, its end, and many who write until then.
async fn round(store: &Store, executors: &[Executor], patients: &[PatientId], number: usize) {
    let (end, username) = (ENDS[number % ENDS.len()], format!("nurse-{number}"));
    let head = store.log.head().await.expect("the log is read");
    let roles = [(Role::Coordinator, Scope::Installation)];
    let opened = accounts::open(&executors[0], &username, vec![identity(&username)], &roles).await;
    let account_id = opened.expect("an account");
    let done = Arc::new(AtomicUsize::new(0));
    let writers = (0..WRITERS).map(|writer| {
        let (executor, patient_id) = (executors[writer % executors.len()].clone(), patients[writer % patients.len()]);
        let (username, done) = (username.clone(), done.clone());
        tokio::spawn(async move { write_until_refused(&executor, &username, patient_id, &done).await })
    });
    let ending = async {
        // Some have written by then, others have read what they decide on.
        while done.load(Ordering::Relaxed) < WRITERS / 2 {
            tokio::task::yield_now().await;
        }
        end_it(store, &executors[0], &username, end).await;
    };
    let (refused, ()) = tokio::join!(join_all(writers), ending);
    for rule in refused {
        assert_eq!(rule.expect("a writer ends"), end.rule(), "round {number}");
    }
    in_order(store, (head, account_id, end), &username, done.load(Ordering::Relaxed)).await;
}

/// Everything that was written by the account stands before the end of its right.
async fn in_order(store: &Store, (head, account_id, end): (u64, AccountId, End), username: &str, done: usize) {
    let (mut after, mut ended_at, mut written) = (head, None, 0);
    loop {
        let events = store.log.read_all(after, 1_000).await.expect("the log is read");
        let Some(last) = events.last() else { break };
        after = last.position;
        for event in &events {
            if event.stream == account_id.stream() && event.event_type == end.event() {
                ended_at = Some(event.position);
            }
            if event.actor.id == username {
                assert_eq!(ended_at, None, "{} at {} is behind {}", event.event_type, event.position, end.event());
                assert_eq!(event.actor.role, Role::Coordinator);
                written += 1;
            }
        }
    }
    assert!(ended_at.is_some(), "the right ended");
    assert_eq!(written, done, "what was answered is what stands there");
}

async fn nothing_stands_behind_the_revocation_that_needed_the_right(tested: TestStore) {
    let store = &tested.store;
    let other = tested.again().await;
    // Two processes, each with what it remembers.
    let executors = [stores::executor(store).await, stores::executor(&other).await];
    let mut patients = Vec::new();
    for _ in 0..WRITERS {
        let patient_id = PatientId::from(fresh());
        let command: AnyCommand = (patient_id, RegisterPatient::default()).into();
        let request = request(&executors[0], &command, Actor::system("operator"));
        executors[0].execute(&request, &command).await.expect("a patient");
        patients.push(patient_id);
    }
    for number in 0..ROUNDS {
        round(store, &executors, &patients, number).await;
    }
}

testkit::on_both_engines!(nothing_stands_behind_the_revocation_that_needed_the_right);
