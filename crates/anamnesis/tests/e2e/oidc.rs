//! People of a real OpenID Connect provider: its keys change and it is away while commands go on.

use std::time::Duration;

use events::ids::{AccountId, StreamKey as _};
use serde_json::{Value, json};
use testkit::Oidc;
use tokio::time::Instant;
use uuid::Uuid;

use crate::api::Api;
use crate::clinic::fresh;
use crate::stage::PATIENCE;
use crate::system::{System, run, text};

/// How long the provider is away.
const AWAY: Duration = Duration::from_secs(30);
/// Seconds between two look-ups of keys.
const REFETCH: &str = "2";

/// A system that takes a provider's tokens, and its administrator, who is one of the provider's.
async fn started(oidc: &Oidc) -> (System, Api) {
    let issuer = format!("{},audience={},tls=off", oidc.server.issuer(), oidc.audience);
    let system = System::on_postgres_with(&["--oidc-issuer", &issuer, "--oidc-refetch-seconds", REFETCH]).await;
    let issuer = oidc.server.issuer();
    let made = ["administrator", "boss", "--issuer", &issuer, "--subject", "nurse-1"].map(str::to_owned);
    let words = [made.to_vec(), system.database_arguments()].concat();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = run(&words, system.folder.path());
    assert!(done.status.success(), "{}", text(&done.stderr));
    let boss = system.api.with_token(Some(oidc.token("nurse-1", "RS256").await));
    (system, boss)
}

/// Opens an account for the provider's other subject, who works at sites.
async fn hired(oidc: &Oidc, boss: &Api) {
    let account = format!("/v1/accounts/{}", AccountId::of("nurse").stream().id);
    let identities = json!([{"issuer": oidc.server.issuer(), "subject": "nurse-2"}]);
    boss.post(&format!("{account}/register-account"), json!({"username": "nurse", "identities": identities}))
        .await
        .ok();
    let grant = json!({"role": "investigator", "scope": {"kind": "installation"}});
    boss.post(&format!("{account}/grant-role"), grant).await.ok();
}

/// Sends a command; the status of its answer.
async fn registered(api: &Api, done: &mut Vec<Uuid>) -> u16 {
    let patient = fresh();
    let answer = api.post(&format!("/v1/patients/{patient}/register-patient"), json!({"sex": "F"})).await;
    if answer.status.is_success() {
        done.push(patient);
    }
    answer.status.as_u16()
}

/// Sends until it is done; meanwhile nobody can say.
async fn eventually_registered(api: &Api, done: &mut Vec<Uuid>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match registered(api, done).await {
            200 | 201 => return,
            503 => assert!(Instant::now() < deadline, "the keys are never known"),
            status => panic!("{status}"),
        }
    }
}

/// What was answered as done is there.
async fn all_are_there(api: &Api, done: &[Uuid]) {
    let mut known = std::collections::BTreeSet::new();
    let last = done.last().expect("some were done");
    api.until(&format!("/v1/patients/{last}"), "the last one", |_| true).await;
    let mut after = String::new();
    loop {
        let page = api.get(&format!("/v1/patients?limit=200{after}")).await.ok();
        let ids = page["items"].as_array().expect("a page").iter();
        known.extend(ids.filter_map(|item| item["patient_id"].as_str()?.parse::<Uuid>().ok()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    let lost: Vec<&Uuid> = done.iter().filter(|patient| !known.contains(patient)).collect();
    assert!(lost.is_empty(), "{} of {} are lost", lost.len(), done.len());
    assert_eq!(known.len(), done.len(), "nothing came of what was refused");
}

/// The first's claims with the second's signature.
fn forged(claims: &Api, signature: &Api) -> Api {
    let (head, _) = claims.token().and_then(|token| token.rsplit_once('.')).expect("a token");
    let (_, tail) = signature.token().and_then(|token| token.rsplit_once('.')).expect("a token");
    claims.with_token(Some(format!("{head}.{tail}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_providers_people_work_while_its_keys_change() {
    let oidc = testkit::oidc(None, None).await;
    let (system, boss) = started(&oidc).await;
    let mut done = Vec::new();
    // The token is good, but nobody here has heard of its subject.
    let nurse = async |algorithm: &str| system.api.with_token(Some(oidc.token("nurse-2", algorithm).await));
    let unknown = nurse("RS256").await;
    unknown.get("/v1/trials").await.refused(403, "no-account");
    assert_eq!(registered(&unknown, &mut done).await, 403);
    hired(&oidc, &boss).await;
    // An administrator does no clinical work, whoever vouches for them.
    assert_eq!(registered(&boss, &mut done).await, 403);
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        eventually_registered(&nurse(algorithm).await, &mut done).await;
    }
    let mut before = unknown;
    for round in 0..3 {
        oidc.rotate(true).await;
        let fresh_one = nurse(["EdDSA", "ES256", "RS256"][round]).await;
        // Who signed in before the change works on.
        for _ in 0..10 {
            assert!([200, 201].contains(&registered(&before, &mut done).await));
        }
        eventually_registered(&fresh_one, &mut done).await;
        assert_eq!(registered(&forged(&fresh_one, &boss), &mut done).await, 401);
        before = fresh_one;
    }
    // Keys that were taken back let nobody in, once it is known.
    oidc.rotate(false).await;
    eventually_registered(&nurse("ES256").await, &mut done).await;
    let is_out = async || before.get("/v1/patients").await.status == 401;
    testkit::eventually("the old key counts no longer", PATIENCE, is_out).await;
    all_are_there(&nurse("ES256").await, &done).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_keeps_nobody_from_work_and_lets_nobody_in() {
    let mut oidc = testkit::oidc(None, None).await;
    let (system, boss) = started(&oidc).await;
    hired(&oidc, &boss).await;
    let mut done = Vec::new();
    let known = system.api.with_token(Some(oidc.token("nurse-2", "ES256").await));
    eventually_registered(&known, &mut done).await;
    oidc.rotate(true).await;
    let new = system.api.with_token(Some(oidc.token("nurse-2", "ES256").await));
    oidc.server.kill();
    let until = Instant::now() + AWAY;
    let (forged_known, forged_new) = (forged(&known, &boss), forged(&new, &known));
    while Instant::now() < until {
        assert!([200, 201].contains(&registered(&known, &mut done).await), "whose key is known works on");
        let answer = new.get_raw("/v1/patients").await;
        assert_eq!(answer.status(), 503, "nobody can say");
        assert!(answer.headers().contains_key("retry-after"));
        assert_eq!(registered(&new, &mut done).await, 503);
        assert_eq!(registered(&forged_known, &mut done).await, 401);
        assert_eq!(registered(&forged_new, &mut done).await, 503);
    }
    oidc.server.resume().expect("it starts again");
    eventually_registered(&new, &mut done).await;
    assert_eq!(registered(&forged_new, &mut done).await, 401);
    assert!([200, 201].contains(&registered(&known, &mut done).await));
    all_are_there(&known, &done).await;
    let told: Value = boss.get("/v1/incidents?kind=authentication-failed").await.ok();
    assert!(told["items"].as_array().is_some_and(|items| !items.is_empty()), "who forged is told of: {told:#}");
}
