//! The published contract of events, held against what is really sent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use event_bus::Topology;
use events::guarded::Guarded;
use events::paths::at;
use events::values::SEALED;
use futures::StreamExt;
use jsonschema::{Draft, Validator};
use serde_json::{Value, json};
use testkit::eventually;

use crate::api::Api;
use crate::bus::positions;
use crate::clinic::fresh;
use crate::system::{System, run, text};

const PATIENCE: Duration = Duration::from_secs(120);

/// The AsyncAPI document, with a validator for each schema that was asked for.
struct Contract {
    document: Value,
    validators: BTreeMap<String, Validator>,
}

impl Contract {
    async fn served(api: &Api) -> Self {
        let document = api.with_token(None).get("/asyncapi.json").await.ok();
        Self { document, validators: BTreeMap::new() }
    }

    /// What a message of the document wants of its headers or its payload.
    fn check(&mut self, message: &str, part: &str, value: &Value) {
        let document = &self.document;
        let schema = &document["components"]["messages"][message][part];
        assert!(schema.is_object(), "the document has no {part} of `{message}`");
        let validator = self.validators.entry(format!("{message} {part}")).or_insert_with(|| {
            let schema = json!({"allOf": [schema], "components": document["components"]});
            let options = jsonschema::options().with_draft(Draft::Draft7).should_validate_formats(true);
            options.build(&schema).expect("a schema")
        });
        let faults: Vec<String> =
            validator.iter_errors(value).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
        assert!(faults.is_empty(), "{message}, {part}: {faults:#?}\n{value:#}");
    }

    /// Whether the subject is one of the channel's.
    fn check_subject(&self, channel: &str, subject: &str) {
        let channel = &self.document["channels"][channel];
        let address = channel["address"].as_str().expect("an address");
        let (parts, found): (Vec<&str>, Vec<&str>) = (address.split('.').collect(), subject.split('.').collect());
        assert_eq!(parts.len(), found.len(), "{subject} is not as {address}");
        for (part, found) in parts.into_iter().zip(found) {
            let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
                assert_eq!(part, found, "{subject} is not as {address}");
                continue;
            };
            let parameter = &channel["parameters"][name];
            assert!(parameter["description"].is_string(), "{name} is not described");
            if let Some(allowed) = parameter["enum"].as_array() {
                assert!(allowed.iter().any(|word| word == found), "{found} is not a {name}");
            }
        }
    }
}

/// A small trial, as `simulate` plays it.
fn simulate(system: &System, subjects: &str) {
    let (url, data) = (system.processes[0].url.clone(), system.folder.path().join("data"));
    let data = data.to_string_lossy();
    let arguments =
        ["simulate", "--url", &url, "--data-dir", &data, "--subjects", subjects, "--sites", "2", "--seed", "5"];
    let output = run(&arguments, system.folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// Every event of the log up to its head, as the event stream sends them.
pub async fn streamed(api: &Api, head: u64) -> Vec<Value> {
    let mut response = api.get_raw("/v1/events?after=0").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (mut text, mut events) = (String::new(), Vec::<Value>::new());
    while events.len() < usize::try_from(head).expect("a count") {
        let piece = tokio::time::timeout(PATIENCE, response.chunk()).await.expect("the stream goes on");
        text.push_str(&String::from_utf8_lossy(&piece.expect("a piece").expect("the stream goes on")));
        while let Some((frame, rest)) = text.split_once("\n\n") {
            let field = |name: &str| frame.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
            if let Some(data) = field("data") {
                let event: Value = serde_json::from_str(data).expect("JSON");
                assert_eq!((field("id"), field("event")), (event["event_id"].as_str(), event["type"].as_str()));
                events.push(event);
            }
            text = rest.to_owned();
        }
    }
    events
}

/// Whether what is shown is what was stored, with nothing changed but what was sealed: it is shown, perhaps masked.
pub fn is_masked(stored: &Value, shown: &Value) -> bool {
    match (stored, shown) {
        (Value::Object(sealed), Value::String(_)) => sealed.len() == 1 && sealed.contains_key(SEALED),
        (Value::Object(stored), Value::Object(shown)) => {
            let is_so = |(name, value)| shown.get(name).is_some_and(|shown| is_masked(value, shown));
            stored.len() == shown.len() && stored.iter().all(is_so)
        }
        (Value::Array(stored), Value::Array(shown)) => {
            stored.len() == shown.len() && stored.iter().zip(shown).all(|(stored, shown)| is_masked(stored, shown))
        }
        _ => stored == shown,
    }
}

/// The log's head: where a new patient is written.
pub async fn head(api: &Api) -> u64 {
    let register = format!("/v1/patients/{}/register-patient", fresh());
    api.post(&register, json!({})).await.ok()["position"].as_u64().expect("a position")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_of_a_simulated_trial_is_as_the_document_says() {
    let nats = testkit::nats().await;
    let system = System::embedded_with(&["--nats-url", &nats.url()]).await;
    simulate(&system, "10");
    let head = head(&system.api).await;
    let client = async_nats::connect(nats.url()).await.expect("nats-server answers");
    let all = async || positions(&client, head).await.last() == Some(&head);
    eventually("the stream reaches the log's end", PATIENCE, all).await;
    let republish = ["republish", "--from", "1", "--nats-url", &nats.url()].map(str::to_owned).to_vec();
    let republish = [republish, system.database_arguments()].concat();
    let words: Vec<&str> = republish.iter().map(String::as_str).collect();
    let output = run(&words, system.folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));

    let mut contract = Contract::served(&system.api).await;
    let events = streamed(&system.api, head).await;
    let mut types = BTreeSet::new();
    for event in &events {
        let kind = event["type"].as_str().expect("a type");
        contract.check(&format!("Stored{kind}"), "payload", event);
        types.insert(kind.to_owned());
    }
    assert!(types.len() >= 25, "a trial is more than {types:?}");

    let context = jetstream::new(client);
    let names = Topology::find(&context).await.expect("JetStream answers").expect("one stream");
    let stream = context.get_stream(names.stream_name()).await.expect("the stream");
    let config = OrderedConfig { deliver_policy: DeliverPolicy::All, ..OrderedConfig::default() };
    let mut messages = stream.create_consumer(config).await.expect("a consumer").messages().await.expect("messages");
    let (mut heard, mut controls, mut masked) = (Vec::new(), 0, 0);
    while heard.last() != Some(&head) {
        let message = tokio::time::timeout(PATIENCE, messages.next()).await.expect("a message in time");
        let message = message.expect("a message").expect("a message");
        let headers: BTreeMap<String, String> = message
            .headers
            .iter()
            .flat_map(async_nats::HeaderMap::iter)
            .map(|(name, values)| (name.to_string(), values[0].to_string()))
            .collect();
        let mut payload: Value = serde_json::from_slice(&message.payload).expect("JSON");
        let kind = headers["ce-type"].clone();
        let is_event = headers.contains_key("ce-subject");
        let (channel, described) = if is_event { ("events", "EventHeaders") } else { ("control", "ControlHeaders") };
        contract.check(&kind, "headers", &json!(headers));
        contract.check(&kind, "payload", &payload);
        contract.check_subject(channel, &message.subject);
        for name in headers.keys() {
            let properties = &contract.document["components"]["schemas"][described]["properties"];
            assert!(properties[name]["description"].is_string(), "`{name}` is not described");
        }
        if is_event {
            heard.push(headers["ce-position"].parse::<u64>().expect("a position"));
            let stored = &events[heard.len() - 1];
            assert!(
                is_masked(&payload, &stored["payload"]),
                "what is sent over HTTP is the same: {payload:#} {stored:#}"
            );
            masked += usize::from(payload != stored["payload"]);
            let version = headers["ce-schemaversion"].parse().expect("a version");
            let guarded = Guarded::of(&kind, version).expect("an event that is declared");
            for path in guarded.personal {
                at(&mut payload, path, &mut |_, value| assert!(!value.is_string(), "{kind}: {path:?} is in the clear"));
            }
            assert_eq!(headers["ce-id"], stored["event_id"].as_str().expect("an id"));
        } else {
            controls += 1;
        }
    }
    assert_eq!(heard, (1..=head).collect::<Vec<_>>());
    assert_eq!(controls, 1, "`republish` says so");
    assert!(masked >= 10, "who the ten are is not told over HTTP: {masked}");
}

#[tokio::test]
async fn schemas_are_found_by_what_messages_say_of_them() {
    let system = System::embedded().await;
    let anybody = system.api.with_token(None);
    let list = anybody.get("/v1/schemas").await.ok();
    let items = list["items"].as_array().expect("items");
    assert!(items.len() > 40, "{}", items.len());
    for item in items {
        let schema = anybody.get(item["address"].as_str().expect("an address")).await.ok();
        assert_eq!(schema["$id"], item["id"]);
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        assert!(!validator.is_valid(&json!("text")), "{item:#}");
    }
    let envelope = anybody.get("/v1/schemas/envelope").await.ok();
    head(&system.api).await;
    for event in streamed(&system.api, 1).await {
        let validator = jsonschema::validator_for(&envelope).expect("a schema");
        assert!(validator.is_valid(&event), "{event:#}");
        let id = event["event_id"].as_str().expect("an id");
        let payload = system.api.get(&format!("/v1/events/{id}/payload")).await.ok();
        assert_eq!(payload, event["payload"], "what `ce-dataref` leads to is the payload");
    }
    for missing in ["events/Nothing/1", "events/AlertRaised/9", "events/AlertRaised/x", "control/AlertRaised/1"] {
        anybody.get(&format!("/v1/schemas/{missing}")).await.refused(404, "not-found");
    }
    anybody.get("/v1/schemas?page=1").await.refused(400, "unknown-parameter");
    let payload = format!("/v1/events/{}/payload", fresh());
    system.api.get(&payload).await.refused(404, "not-found");
    assert_eq!(anybody.get(&payload).await.status, 401, "what happened needs a token");
}

/// The project's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_document_is_one_of_asyncapi() {
    let tools = xtask::tools::npm_folder().expect("npm's packages");
    // That there is a later version of the specification is no fault of the document.
    let program = "import fs from 'node:fs'; import { Parser } from '@asyncapi/parser';
        const found = await new Parser().validate(fs.readFileSync(process.argv[1], 'utf8'));
        const faults = found.filter((fault) => fault.code !== 'asyncapi-latest-version');
        for (const { code, message, path } of faults) console.log(code, message, path.join('.'));
        process.exit(faults.length === 0 ? 0 : 1);";
    let mut node = Command::new("node");
    node.args(["--input-type=module", "--eval", program]).arg(root().join("asyncapi/asyncapi.json"));
    let output = node.current_dir(tools).output().expect("node runs");
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}
