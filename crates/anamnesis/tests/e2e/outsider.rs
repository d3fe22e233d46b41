//! Somebody outside, let in by an account of their own, and a server with the relay's key: as the shipped rights and the
//! guides say.

use std::time::Duration;

use async_nats::jetstream::{self, consumer};
use async_nats::{Client, ConnectOptions};
use futures::StreamExt as _;
use serde_json::Value;
use testkit::{NatsServer, eventually};

use crate::clinic::{Clinic, Plan};
use crate::permissions::{nats_keys, shipped_rights};
use crate::system::System;

const PATIENCE: Duration = Duration::from_secs(60);
/// Who is let in from outside, and the durable consumer that is theirs.
const OUTSIDER: &str = "warehouse";

/// The shipped configuration with an account for somebody outside, as the guide writes it, for a stream of this name.
fn with_outsider(rights: &str, stream: &str) -> String {
    let next = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{OUTSIDER}");
    let acknowledge = format!("$JS.ACK.{stream}.{OUTSIDER}.>");
    let exports = format!(
        r#"exports: [ {{ service: "{next}", response_type: stream, accounts: [WAREHOUSE] }}
                      {{ service: "{acknowledge}", accounts: [WAREHOUSE] }} ]"#
    );
    let account = format!(
        r#"WAREHOUSE: {{ users: [{{ user: "{OUTSIDER}", password: "outside" }}]
             imports: [ {{ service: {{ account: ANAMNESIS, subject: "{next}" }} }}
                        {{ service: {{ account: ANAMNESIS, subject: "{acknowledge}" }} }} ] }}"#
    );
    let here = "# Somebody outside, with an account of its own: docs/guides/subscribe-to-events.md.";
    assert!(rights.contains("exports: []") && rights.contains(here), "the places that the guide names are there");
    rights.replace("exports: []", &exports).replace(here, &account)
}

/// The stream and the log that it is of, by the server's files: whom the shipped rights let in may not ask for names.
fn made(nats: &NatsServer) -> Option<(String, String)> {
    let streams = nats.store().join("jetstream/ANAMNESIS/streams");
    let name = std::fs::read_dir(streams).ok()?.next()?.ok()?.file_name().into_string().ok()?;
    let log = name.strip_prefix("ANAMNESIS_EVENTS_")?.to_owned();
    Some((name, log))
}

async fn outsider(nats: &NatsServer) -> Client {
    let options = ConnectOptions::with_user_and_password(OUTSIDER.to_owned(), "outside".to_owned());
    options.connect(nats.url()).await.expect("the outsider is let in")
}

/// Sequences in the stream.
async fn last_sequence(context: &jetstream::Context, name: &str) -> u64 {
    let stream = context.get_stream(name).await.expect("the stream");
    stream.cached_info().state.last_sequence
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outsider_reads_their_consumer_and_writes_nothing() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let keys = nats_keys(folder.path());
    let rights = shipped_rights(&keys);
    let mut nats = testkit::nats_with(&rights).await;
    let seed = folder.path().join("relay.nk");
    std::fs::write(&seed, &keys["NATS_RELAY_SEED"]).expect("the seed is written");
    // A server that does everything takes the relay's key.
    let system = System::embedded_with(&["--nats-url", &nats.url(), "--nats-nkey-file", &seed.to_string_lossy()]).await;
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let relay = ConnectOptions::with_nkey(keys["NATS_RELAY_SEED"].clone());
    let relay = relay.connect(nats.url()).await.expect("the relay is let in");
    let context = jetstream::new(relay.clone());
    eventually("the stream is made", PATIENCE, async || made(&nats).is_some()).await;
    let (name, log) = made(&nats).expect("a stream");

    // An operator makes the consumer, and lets it out.
    let config = consumer::pull::Config {
        durable_name: Some(OUTSIDER.to_owned()),
        filter_subject: format!("anamnesis.{log}.events.{}.>", clinic.trial),
        ..consumer::pull::Config::default()
    };
    context.get_stream(&name).await.expect("the stream").create_consumer(config).await.expect("a consumer");
    nats.reconfigure(&with_outsider(&rights, &name)).expect("nats-server starts again");
    let is_back = async || context.get_stream(&name).await.is_ok();
    eventually("NATS is back", PATIENCE, is_back).await;
    let client = outsider(&nats).await;
    let next = format!("$JS.API.CONSUMER.MSG.NEXT.{name}.{OUTSIDER}");
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.expect("an inbox");
    client.publish_with_reply(next.clone(), inbox.clone(), "{\"batch\":1}".into()).await.expect("it is asked");
    let message = tokio::time::timeout(PATIENCE, answers.next()).await.expect("a message in time").expect("a message");
    let headers = message.headers.expect("headers");
    assert_eq!(headers.get("ce-trialid").map(ToString::to_string), Some(clinic.trial.to_string()));
    let acknowledge = message.reply.expect("where to acknowledge");
    client.publish(acknowledge.clone(), "+ACK".into()).await.expect("it is acknowledged");

    // An answer that is to go into the stream goes nowhere.
    let before = last_sequence(&context, &name).await;
    let forged = format!("anamnesis.{log}.events.{}.x.y.Forged", clinic.trial);
    for (subject, body) in [
        (next.as_str(), r#"{"batch":1,"expires":1,"max_bytes":1}"#),
        (next.as_str(), r#"{"batch":1,"expires":500000000,"idle_heartbeat":400000000}"#),
        (acknowledge.as_str(), "-NAK"),
        ("$JS.API.INFO", ""),
        ("$JS.API.STREAM.NAMES", ""),
        (&format!("$JS.API.STREAM.INFO.{name}"), ""),
        (&format!("$JS.API.CONSUMER.CREATE.{name}.mine"), r#"{"stream_name":"x","config":{}}"#),
        (&forged, "{}"),
    ] {
        client.publish_with_reply(subject.to_owned(), forged.clone(), body.to_owned().into()).await.expect("sent");
    }
    client.flush().await.expect("it is sent");
    // What the relay publishes after that is the next.
    clinic.patient(None).await;
    let goes_on = async || last_sequence(&context, &name).await > before;
    eventually("the relay goes on", PATIENCE, goes_on).await;
    let stream = context.get_stream(&name).await.expect("the stream");
    for sequence in before + 1..=last_sequence(&context, &name).await {
        let message = stream.get_raw_message(sequence).await.expect("a message");
        assert!(message.headers.get("ce-signature").is_some(), "{} at {sequence}", message.subject);
    }
    let consumers = stream.get_info().await.expect("its state").state.consumer_count;
    assert_eq!(consumers, 1, "the outsider makes none");

    // With that key foreign messages are told: the watch may listen.
    relay.publish(forged, "{}".into()).await.expect("it is sent");
    let told = |page: &Value| page["items"].as_array().is_some_and(|items| !items.is_empty());
    system.as_administrator().until("/v1/incidents?kind=foreign-message", "it is told", told).await;
}
