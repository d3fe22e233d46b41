//! The subscribers of `examples/subscribers`, as somebody would run them: in each language a whole copy of the log, in
//! its order, whatever happens to the subscriber and to the stream.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::{HeaderMap, jetstream};
use event_bus::control::{self, Begun, EpochStart, Why};
use event_bus::signature::example;
use event_bus::{Signer, Topology};
use event_store::log::LogIdentity;
use ring::signature::Ed25519KeyPair;
use serde_json::Value;
use service::identity::SigningKeys;
use tempfile::TempDir;
use testkit::{NatsServer, eventually};
use uuid::Uuid;

use crate::asyncapi::{head, is_masked, streamed};
use crate::bus::positions;
use crate::system::{System, run, text};

const PATIENCE: Duration = Duration::from_secs(120);
const LANGUAGES: [&str; 3] = ["rust", "python", "typescript"];

/// The folder of the examples.
fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/subscribers")
}

/// The subscriber in TypeScript, compiled in a folder of its own below its packages, where both are found.
fn compile() -> TempDir {
    let packages = xtask::tools::subscriber_packages().expect("npm's packages");
    let folder = TempDir::new_in(&packages).expect("a folder");
    for file in ["subscriber.ts", "tsconfig.json"] {
        std::fs::copy(examples().join(file), folder.path().join(file)).expect("a copy");
    }
    let tsc = Command::new(packages.join("node_modules/.bin/tsc")).current_dir(&folder).output().expect("tsc runs");
    assert!(tsc.status.success(), "{}", text(&tsc.stdout));
    folder
}

fn program(language: &str, compiled: &Path) -> Command {
    match language {
        "rust" => {
            let tests = std::env::current_exe().expect("the test's own path");
            let built = tests.parent().and_then(Path::parent).expect("the build's folder");
            Command::new(built.join("examples/subscriber"))
        }
        "python" => {
            let programs = xtask::tools::subscriber_venv().expect("a Python environment");
            let mut python = Command::new(programs.join("python3"));
            python.arg(examples().join("subscriber.py"));
            python
        }
        _ => {
            let mut node = Command::new("node");
            node.arg(compiled.join("subscriber.js"));
            node
        }
    }
}

/// Where subscribers keep their copies, and what they need.
struct Scene {
    system: System,
    nats: NatsServer,
    token: String,
    compiled: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let nats = testkit::nats().await;
        let system = System::embedded_with(&["--nats-url", &nats.url()]).await;
        // NATS shows everything: who fills gaps in it over HTTP must see as much there.
        for role in ["auditor", "unblinded-statistician"] {
            system.open_account("warehouse", &["--role", role]);
        }
        let token = system.token("warehouse", &[]);
        let keys = system.api.with_token(None).get("/v1/event-keys").await.ok();
        std::fs::write(system.folder.path().join("event-keys.json"), keys.to_string()).expect("the keys are written");
        Self { system, nats, token, compiled: compile() }
    }

    fn folder(&self, language: &str) -> PathBuf {
        self.system.folder.path().join(language)
    }

    fn start(&self, language: &str) -> Subscriber {
        std::fs::create_dir_all(self.folder(language)).expect("a folder");
        let told = std::fs::File::create(self.folder(language).join("told")).expect("a file");
        let mut command = program(language, self.compiled.path());
        command.arg(self.nats.url()).arg(self.folder(language)).stdin(Stdio::null()).stdout(Stdio::null());
        command.env("ANAMNESIS_URL", &self.system.processes[0].url).env("ANAMNESIS_TOKEN", &self.token);
        command.env("ANAMNESIS_EVENT_KEYS", self.system.folder.path().join("event-keys.json"));
        Subscriber(command.stderr(told).spawn().unwrap_or_else(|error| panic!("{language}: {error}")))
    }

    fn all(&self) -> Vec<Subscriber> {
        LANGUAGES.map(|language| self.start(language)).into()
    }

    /// The whole lines of a copy.
    fn copy(&self, language: &str) -> Vec<Value> {
        let copy = std::fs::read_to_string(self.folder(language).join("events.jsonl")).unwrap_or_default();
        let whole = copy.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    fn told(&self, language: &str) -> String {
        std::fs::read_to_string(self.folder(language).join("told")).unwrap_or_default()
    }

    /// What a subscriber has saved.
    fn checkpoint(&self, language: &str) -> Value {
        let text = std::fs::read(self.folder(language).join("checkpoint.json")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Waits until every subscriber has saved that it is there.
    async fn saved(&self, position: u64) {
        for language in LANGUAGES {
            let is_there = async || self.checkpoint(language)["position"] == position;
            let waited = tokio::time::timeout(PATIENCE, eventually("the checkpoint is there", PATIENCE, is_there));
            assert!(waited.await.is_ok(), "{language} is at {}: {}", self.checkpoint(language), self.told(language));
        }
    }

    /// Asserts that every copy is the log: every event once and in order.
    async fn assert_whole(&self, head: u64) {
        let log = streamed(&self.system.api, head).await;
        for language in LANGUAGES {
            let copy = self.copy(language);
            let told = self.told(language);
            assert_eq!(copy.len(), log.len(), "{language}: {told}");
            assert!(!told.contains("not the relay's"), "{language}: {told}");
            for (line, event) in copy.iter().zip(&log) {
                let stream = &event["stream"];
                let stream = [&stream["type"], &stream["id"]].map(|part| part.as_str().expect("text")).join("/");
                for (field, expected) in [
                    ("position", &event["position"]),
                    ("id", &event["event_id"]),
                    ("type", &event["type"]),
                    ("stream", &stream.into()),
                ] {
                    assert_eq!(&line[field], expected, "{language}: {field} of {line:#}");
                }
                assert!(is_masked(&line["data"], &event["payload"]), "{language}: {line:#} {event:#}");
            }
        }
    }

    /// Who has the relay's key.
    fn signer(&self) -> Signer {
        let keys =
            SigningKeys::load(&self.system.folder.path().join("data/event-signing.pem")).expect("the relay's key");
        Signer::new(keys.signing().id(), keys.signing().pair())
    }

    /// Waits until the stream has everything up to here.
    async fn relayed(&self, client: &async_nats::Client, head: u64) {
        let all = async || positions(client, head).await.last() == Some(&head);
        eventually("the stream reaches the log's end", PATIENCE, all).await;
    }
}

/// A subscriber that runs; ended as `kill -9` does.
struct Subscriber(Child);

impl Drop for Subscriber {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_in_three_languages_have_every_event_once_and_in_order() {
    let scene = Scene::new().await;
    let (system, api) = (&scene.system, &scene.system.api);
    let subscribers = scene.all();
    let mut simulate = {
        let data = system.folder.path().join("data");
        let mut command = Command::new(env!("CARGO_BIN_EXE_anamnesis"));
        command.args(["simulate", "--subjects", "12", "--sites", "2", "--seed", "9", "--url"]);
        command.arg(&system.processes[0].url).arg("--data-dir").arg(data).current_dir(system.folder.path());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the trial begins")
    };
    for language in LANGUAGES {
        let some = async || scene.copy(language).len() > 30;
        eventually("the subscriber hears something", PATIENCE, some).await;
    }
    // In the middle of it.
    drop(subscribers);
    assert!(simulate.wait().expect("the trial ends").success());
    let end = head(api).await;
    for language in LANGUAGES {
        assert!(scene.copy(language).len() < usize::try_from(end).expect("a count") - 10, "{language} was ended early");
    }
    let client = async_nats::connect(scene.nats.url()).await.expect("nats-server answers");
    scene.relayed(&client, end).await;
    // An operator limits the stream: what they have not heard yet is gone from it.
    let context = jetstream::new(client.clone());
    let names = Topology::find(&context).await.expect("JetStream answers").expect("one stream");
    let stream = context.get_stream(names.stream_name()).await.expect("the stream");
    stream.purge().keep(5).await.expect("a purge");
    let subscribers = scene.all();
    scene.saved(end).await;
    scene.assert_whole(end).await;
    for language in LANGUAGES {
        assert!(scene.told(language).contains("gap"), "{language}: {}", scene.told(language));
    }

    // Everything comes again.
    let arguments = ["republish", "--from", "1", "--nats-url", &scene.nats.url()].map(str::to_owned).to_vec();
    let arguments = [arguments, system.database_arguments()].concat();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = run(&words, system.folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let end = head(api).await;
    scene.saved(end).await;
    scene.assert_whole(end).await;

    // An operator deletes the stream while they listen; the relay fills it anew, and life goes on.
    context.delete_stream(names.stream_name()).await.expect("it is deleted");
    let data = system.folder.path().join("data").to_string_lossy().into_owned();
    let more = ["simulate", "--subjects", "3", "--sites", "1", "--seed", "10", "--url", &system.processes[0].url];
    let output = run(&[more.as_slice(), &["--data-dir", &data]].concat(), system.folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let end = head(api).await;
    scene.relayed(&client, end).await;
    scene.saved(end).await;
    scene.assert_whole(end).await;

    // The log lost its last four events: what was heard of them is forgotten.
    let identity = LogIdentity { log_id: names.log_id(), epoch: 2 };
    let begun = Begun {
        after_position: end - 4,
        after_event_id: None,
        epochs: vec![EpochStart { epoch: 2, after_position: end - 4 }],
    };
    let (mut headers, data) = control::message(identity, Why::EpochBegan, &begun, Uuid::now_v7(), 1);
    scene.signer().sign(&mut headers, &data);
    let subject = names.control(Why::EpochBegan.kind());
    let sent = context.publish_with_headers(subject, headers, data).await.expect("it is sent");
    sent.await.expect("it is taken");
    scene.saved(end - 4).await;
    for language in LANGUAGES {
        assert_eq!(scene.checkpoint(language)["epoch"], 2, "{language}");
        assert_eq!(scene.copy(language).len() as u64, end - 4, "{language}");
    }
    drop(subscribers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_stops_where_it_follows_another_log() {
    let scene = Scene::new().await;
    let end = head(&scene.system.api).await;
    let subscribers = scene.all();
    scene.saved(end).await;
    drop(subscribers);
    for language in LANGUAGES {
        let mut checkpoint = scene.checkpoint(language);
        checkpoint["logId"] = Uuid::now_v7().to_string().into();
        std::fs::write(scene.folder(language).join("checkpoint.json"), checkpoint.to_string()).expect("it is written");
        let mut subscriber = scene.start(language);
        let status = tokio::task::spawn_blocking(move || subscriber.0.wait().expect("it ends"));
        let status = tokio::time::timeout(PATIENCE, status).await.expect("it ends").expect("its end");
        assert!(!status.success(), "{language}");
        let told = scene.told(language);
        assert!(told.contains("the checkpoint is of the log"), "{language}: {told}");
        assert_eq!(scene.copy(language).len() as u64, end, "{language}: its copy is as it was");
    }
}

/// A message, and what a subscriber in its place must find.
struct Message {
    what: &'static str,
    subject: String,
    headers: HeaderMap,
    data: Vec<u8>,
}

/// The next event, truly signed, and everything that can be done to it by who has not the key.
async fn forgeries(scene: &Scene, client: &async_nats::Client, end: u64) -> (Message, Vec<Message>) {
    let context = jetstream::new(client.clone());
    let names = Topology::find(&context).await.expect("JetStream answers").expect("one stream");
    let stream = context.get_stream(names.stream_name()).await.expect("the stream");
    let last = stream.get_last_raw_message_by_subject(&names.all_events()).await.expect("an event");
    let attributes = last.headers.iter().filter(|(name, _)| AsRef::<str>::as_ref(*name).starts_with("ce-"));
    let heard: HeaderMap = attributes.map(|(name, values)| (name.clone(), values[0].clone())).collect();
    let mut next = heard.clone();
    next.insert("ce-position", (end + 1).to_string());
    next.insert("ce-id", Uuid::now_v7().to_string());
    let data = last.payload.to_vec();
    let message = |what, headers| Message { what, subject: last.subject.to_string(), headers, data: data.clone() };
    let (moved, unsigned) =
        (next.clone(), next.iter().filter(|(name, _)| !["ce-signature", "ce-keyid"].contains(&(*name).as_ref())));
    let unsigned = unsigned.map(|(name, values)| (name.clone(), values[0].clone())).collect();
    scene.signer().sign(&mut next, &data);
    let with = |name: &str, value: &str| {
        let mut headers = next.clone();
        headers.insert(name, value);
        headers
    };
    let mut anothers = next.clone();
    example::signer().sign(&mut anothers, &data);
    let mut usurped = anothers.clone();
    let known = scene.signer();
    Signer::new(known.id(), Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a key")).sign(&mut usurped, &data);
    let mut twice = next.clone();
    twice.append("Ce-Type", "ConsentWithdrawn");
    let identity = LogIdentity { log_id: names.log_id(), epoch: 2 };
    let begun = Begun { epochs: vec![EpochStart { epoch: 2, after_position: 0 }], ..Begun::default() };
    let (control, begun) = control::message(identity, Why::EpochBegan, &begun, Uuid::now_v7(), 1);
    let mut forged = vec![
        message("a message that was heard, at another position", moved),
        message("everything but a signature", unsigned),
        message("signed by another key", anothers),
        message("signed by another key under the name of the relay's", usurped),
        message("another header", with("ce-actorrole", "administrator")),
        message("a header more", with("ce-causationid", &Uuid::nil().to_string())),
        message("a header twice", twice),
        message("a payload elsewhere", with("ce-dataref", "/v1/events/x/payload")),
        message("a signature that is none", with("ce-signature", "%FF")),
        Message { data: b"{}".to_vec(), ..message("another payload", next.clone()) },
    ];
    let subject = names.control(Why::EpochBegan.kind());
    forged.push(Message { what: "an epoch that did not begin", subject, headers: control, data: begun.to_vec() });
    (message("the relay's", next), forged)
}

/// Who may publish, and has not the relay's key, tells subscribers nothing.
#[tokio::test(flavor = "multi_thread")]
async fn subscribers_in_three_languages_believe_only_what_the_relay_signed() {
    let scene = Scene::new().await;
    let end = head(&scene.system.api).await;
    let client = async_nats::connect(scene.nats.url()).await.expect("nats-server answers");
    scene.relayed(&client, end).await;
    let _subscribers = scene.all();
    scene.saved(end).await;
    scene.assert_whole(end).await;
    let (genuine, forged) = forgeries(&scene, &client, end).await;
    let context = jetstream::new(client.clone());
    let send = async |message: &Message| {
        let data = message.data.clone().into();
        let sent = context.publish_with_headers(message.subject.clone(), message.headers.clone(), data).await;
        sent.expect("it is sent").await.expect("it is taken");
    };
    for (index, message) in forged.iter().enumerate() {
        send(message).await;
        for language in LANGUAGES {
            let refused = async || scene.told(language).matches("is not the relay's").count() == index + 1;
            let waited = tokio::time::timeout(PATIENCE, eventually("it is refused", PATIENCE, refused)).await;
            assert!(waited.is_ok(), "{language}, {}: {}", message.what, scene.told(language));
            let checkpoint = scene.checkpoint(language);
            assert_eq!((&checkpoint["position"], &checkpoint["epoch"]), (&end.into(), &1.into()), "{language}");
            assert_eq!(scene.copy(language).len() as u64, end, "{language}: {}", message.what);
        }
    }
    // Nothing else was wrong with them.
    send(&genuine).await;
    scene.saved(end + 1).await;
}
