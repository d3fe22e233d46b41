//! Somebody else publishes on NATS: it is a security event, and nothing comes of it. The keys by which others know.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::Stream;
use async_nats::{HeaderMap, jetstream};
use event_bus::Topology;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{NatsServer, eventually};
use uuid::Uuid;

use crate::asyncapi::{head, streamed};
use crate::clinic::fresh;
use crate::system::{System, make_event_key, run, text};

const PATIENCE: Duration = Duration::from_secs(60);
/// What somebody would like to see in the log.
const CHOSEN: &str = "chosen-by-a-stranger";

/// The names of the only stream, and its last event.
async fn last(context: &jetstream::Context) -> Option<(Topology, StreamMessage)> {
    let (names, stream) = stream(context).await?;
    Some((names, stream.get_last_raw_message_by_subject(&names.all_events()).await.ok()?))
}

async fn stream(context: &jetstream::Context) -> Option<(Topology, Stream)> {
    let names = Topology::find(context).await.ok()??;
    let stream = context.get_stream(names.stream_name()).await.ok()?;
    Some((names, stream))
}

/// A message that a consent was withdrawn: everything is right but that it never happened, and who says so.
async fn forged(context: &jetstream::Context, patient: Uuid, at: u64) -> (String, HeaderMap, String) {
    eventually("the stream is there", PATIENCE, async || last(context).await.is_some()).await;
    let (names, last) = last(context).await.expect("an event");
    let mut headers = HeaderMap::new();
    for (name, values) in last.headers.iter().filter(|(name, _)| AsRef::<str>::as_ref(*name).starts_with("ce-")) {
        headers.insert(name.clone(), values[0].clone());
    }
    let consent = fresh();
    for (name, value) in [
        ("ce-type", "ConsentWithdrawn".to_owned()),
        ("ce-subject", format!("consent/{consent}")),
        ("ce-position", at.to_string()),
        ("ce-id", fresh().to_string()),
        ("ce-patientid", patient.to_string()),
        ("ce-actorid", CHOSEN.to_owned()),
        ("ce-dataschema", "urn:anamnesis:schema:events/ConsentWithdrawn/1".to_owned()),
    ] {
        headers.insert(name, value);
    }
    let subject = format!("anamnesis.{}.events.-.consent.{consent}.{CHOSEN}", names.log_id());
    (subject, headers, json!({"patient_id": patient, "reason": CHOSEN}).to_string())
}

/// What is told of it, and that nothing else came of it.
async fn is_told_and_nothing_comes_of_it(system: &System, nats: &NatsServer) {
    let patient = fresh();
    let registered = system.api.post(&format!("/v1/patients/{patient}/register-patient"), json!({})).await.ok();
    let context = jetstream::new(async_nats::connect(nats.url()).await.expect("nats-server answers"));
    let at = registered["position"].as_u64().expect("a position") + 1;
    let (subject, headers, data) = forged(&context, patient, at).await;
    let administrator = system.as_administrator();
    // Again and again: whoever listens may have begun just now.
    let told = async || {
        let sent = context.publish_with_headers(subject.clone(), headers.clone(), data.clone().into()).await;
        sent.expect("it is sent").await.expect("it is taken");
        administrator.get("/v1/incidents?kind=foreign-message").await.ok()
    };
    let is_told = async || told().await["items"].as_array().is_some_and(|items| !items.is_empty());
    eventually("it is told", PATIENCE, is_told).await;
    let told = told().await;
    let incident = &told["items"][0];
    assert_eq!(incident["kind"], "foreign-message");
    assert_eq!(incident["rule"], "message-not-signed-by-the-relay", "{incident:#}");
    assert_eq!(incident["operation"], event_bus::topology::EVENT_ADDRESS, "{incident:#}");
    for nobody in ["account_id", "username", "address"] {
        assert!(incident[nobody].is_null(), "{incident:#}");
    }
    assert!(!told.to_string().contains(CHOSEN) && !told.to_string().contains(&patient.to_string()), "{told:#}");
    let head = head(&system.api).await;
    for event in streamed(&system.api, head).await {
        assert_ne!(event["type"], "ConsentWithdrawn", "{event:#}");
        assert!(!event.to_string().contains(CHOSEN), "{event:#}");
    }
    let consents = system.api.get(&format!("/v1/consents?patient_id={patient}&at_least={head}")).await.ok();
    assert_eq!(consents["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_message_is_a_security_event_where_everything_is_one_process() {
    let nats = testkit::nats().await;
    let system = System::embedded_with(&["--nats-url", &nats.url()]).await;
    is_told_and_nothing_comes_of_it(&system, &nats).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_message_is_a_security_event_where_each_role_is_a_process() {
    let mut system = System::apart().await;
    let nats = system.nats.take().expect("a nats-server");
    is_told_and_nothing_comes_of_it(&system, &nats).await;
    let keys = system.api.with_token(None).get("/v1/event-keys").await.ok();
    let printed: Value = serde_json::from_slice(
        &std::fs::read(system.folder.path().join("event-keys.json")).expect("what the command printed"),
    )
    .expect("JSON");
    assert_eq!(keys, printed);
}

#[tokio::test]
async fn keys_stand_beside_each_other_while_the_relays_is_changed() {
    let nats = testkit::nats().await;
    let mut system = System::embedded_with(&["--nats-url", &nats.url()]).await;
    let ids = |keys: &Value| -> Vec<String> {
        let keys = keys["keys"].as_array().expect("keys").iter();
        keys.map(|key| key["kid"].as_str().expect("an id").to_owned()).collect()
    };
    let anybody = system.api.with_token(None);
    let before = anybody.get("/v1/event-keys").await.ok();
    let folder = TempDir::new().expect("a folder");
    let (new, new_jwks) = make_event_key(folder.path());
    let old = system.folder.path().join("data/event-signing.pem").to_string_lossy().into_owned();
    let printed = run(&["key", "public-event-keys", &new_jwks, &old], folder.path());
    let both: Value = serde_json::from_slice(&printed.stdout).expect("JSON");
    // The new one signs, both are shown.
    let text_of = |file: &str| std::fs::read_to_string(file).expect("a key");
    std::fs::write(&old, text_of(&new) + &text_of(&old)).expect("it is written");
    assert!(system.processes[0].terminate().await.success());
    system.processes[0].restart().await;
    let now = anybody.get("/v1/event-keys").await.ok();
    assert_eq!(now, both);
    let (before, now) = (ids(&before), ids(&now));
    assert!(now.len() == 2 && now.contains(&before[0]) && !now[0].is_empty());
    let end = head(&system.api).await;
    let context = jetstream::new(async_nats::connect(nats.url()).await.expect("nats-server answers"));
    let signed_by = async || {
        let (_, last) = last(&context).await?;
        let text = |name: &str| last.headers.get(name).map(ToString::to_string);
        (text("ce-position")? == end.to_string()).then(|| text("ce-keyid"))?
    };
    eventually("the new key signs", PATIENCE, async || {
        signed_by().await.is_some_and(|id| now.contains(&id) && id != before[0])
    })
    .await;
}

#[tokio::test]
async fn nothing_is_published_unsigned() {
    let (folder, nats) = (TempDir::new().expect("a folder"), testkit::nats().await);
    let data = folder.path().join("data").to_string_lossy().into_owned();
    let made = run(&["migrate", "--data-dir", &data], folder.path());
    assert!(made.status.success(), "{}", text(&made.stderr));
    for words in [&["relay", "--listen", "127.0.0.1:0"] as &[&str], &["republish"]] {
        let output = run(&[words, &["--data-dir", &data, "--nats-url", &nats.url()]].concat(), folder.path());
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("create-event-key") && told.contains("--event-signing-key-file"), "{told}");
    }
    let context = jetstream::new(async_nats::connect(nats.url()).await.expect("nats-server answers"));
    assert!(stream(&context).await.is_none(), "nothing was published");
    // A file of somebody else's, and one that others can read.
    let (key, jwks) = make_event_key(folder.path());
    let again = run(&["key", "create-event-key", &key], folder.path());
    assert!(!again.status.success() && again.stdout.is_empty(), "one that is there stays");
    let relay = |file: &str| {
        let words = ["relay", "--data-dir", &data, "--nats-url", &nats.url(), "--event-signing-key-file", file];
        text(&run(&words, folder.path()).stderr)
    };
    let mode = |file: &str, mode| std::fs::set_permissions(file, PermissionsExt::from_mode(mode)).expect("its rights");
    mode(&jwks, 0o600);
    assert!(relay(&jwks).contains("Ed25519"), "{}", relay(&jwks));
    mode(&key, 0o644);
    assert!(relay(&key).contains("chmod 600"), "{}", relay(&key));
    // Whoever publishes nothing has nothing to show.
    let system = System::embedded_with(&[]).await;
    system.api.with_token(None).get("/v1/event-keys").await.refused(404, "not-found");
    assert!(!system.folder.path().join("data/event-signing.pem").exists());
}
