//! The installation's keys: nothing that is kept tells what it was made of, and who has them may be away.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use chrono::NaiveDate;
use client::CommandRequest;
use domain::commands::AnyCommand;
use domain::enrolment::subject::RandomiseSubject;
use domain::patient::RegisterPatient;
use event_store::execute::Marks;
use event_store::{Installation, Store, StoreOptions};
use events::envelope::Envelope;
use events::ids::{AccountId, PatientId, SubjectId, derive_id};
use sealing::master::FileMaster;
use sealing::{Keyring, KeyringOptions};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use testkit::{OpenBao, eventually};
use uuid::Uuid;

use crate::system::{System, http, run, text};

const PATIENCE: Duration = Duration::from_secs(60);
const SEXES: [&str; 3] = ["F", "M", "U"];

/// Makes a master key, for all processes of an installation; gives its file.
pub fn make_master_key(folder: &Path) -> String {
    let file = folder.join("master.key").to_string_lossy().into_owned();
    let made = run(&["key", "create", &file], folder);
    assert!(made.status.success(), "{}", text(&made.stderr));
    file
}

/// What lies on the disk of an embedded system that was stopped, and what its keys make.
struct Disk {
    store: Store,
    marks: Arc<Marks>,
}

impl Disk {
    async fn of(system: &mut System) -> Self {
        assert!(system.processes[0].terminate().await.success());
        let data = system.folder.path().join("data");
        let store = Store::open(&format!("sqlite:{}", data.display()), &StoreOptions::default()).await;
        let store = store.expect("the store opens");
        let master = FileMaster::open(&data.join("master.key")).await.expect("the master key");
        let keyring = Keyring::new(store.keys.clone(), Arc::new(master), KeyringOptions::default());
        let installation = Installation::new(&store, Arc::new(keyring));
        installation.open().await.expect("the secret");
        let marks = installation.marks().expect("it is open").clone();
        Self { store, marks }
    }

    async fn events(&self, event_type: &str) -> Vec<Envelope> {
        let all = self.store.log.read_all(0, 100_000).await.expect("the events");
        let mut events: Vec<_> = all.into_iter().filter(|event| event.event_type == event_type).collect();
        self.store.sealer().expect("keys").open(&mut events).await.expect("they are opened");
        events
    }
}

/// Whoever has the log, or a backup of it, tries every birth date and sex (finding 7).
#[tokio::test(flavor = "multi_thread")]
async fn a_fingerprint_tells_no_birth_date() {
    let mut system = System::embedded_with(&[]).await;
    let patient = PatientId::from(Uuid::now_v7());
    let body = json!({"birth_date": "1958-11-23", "sex": "M", "occurred_at": "2026-03-09T12:00:00Z"});
    system.api.post(&format!("/v1/patients/{patient}/register-patient"), body).await.ok();
    let disk = Disk::of(&mut system).await;
    let event = disk.events("PatientRegistered").await.pop().expect("the patient");
    let known = disk.store.log.find_command(event.command_id).await.expect("an answer").expect("the command");
    let command = |birth_date: NaiveDate, sex: &str| {
        let body = json!({"birth_date": birth_date, "sex": sex, "occurred_at": event.occurred_at});
        let body: RegisterPatient = serde_json::from_value(body).expect("a command");
        AnyCommand::from((patient, body)).to_json()
    };
    let first = NaiveDate::from_ymd_opt(1930, 1, 1).expect("a day");
    let mut tried = 0;
    for day in first.iter_days().take_while(|day| *day < NaiveDate::from_ymd_opt(2015, 1, 1).expect("a day")) {
        for sex in SEXES {
            let guessed: [u8; 32] = Sha256::digest(command(day, sex)).into();
            assert_ne!(guessed, known.fingerprint, "{day} {sex}");
            tried += 1;
        }
    }
    assert!(tried > 90_000, "{tried}");
    // The guess is as good as a guess can be: with the secret it is the one.
    let right = command(NaiveDate::from_ymd_opt(1958, 11, 23).expect("a day"), "M");
    assert_eq!(disk.marks.fingerprint(&right), known.fingerprint);
}

/// Whoever sees events computes ids for every arm, by what everybody knows of the program (finding 4).
#[tokio::test(flavor = "multi_thread")]
async fn a_command_id_tells_no_arm() {
    let mut system = System::embedded_with(&[]).await;
    let data = system.folder.path().join("data").to_string_lossy().into_owned();
    let simulate = ["simulate", "--url", &system.processes[0].url, "--data-dir", &data];
    let played = run(
        &[&simulate as &[&str], &["--subjects", "30", "--sites", "2", "--seed", "5"]].concat(),
        system.folder.path(),
    );
    assert!(played.status.success(), "{}", text(&played.stderr));
    let disk = Disk::of(&mut system).await;
    let code = |event: &Envelope, field: &str| {
        let payload: serde_json::Value = serde_json::from_slice(&event.payload).expect("JSON");
        payload[field].as_str().expect("a code").to_owned()
    };
    let arms: Vec<String> = disk.events("ArmAdded").await.iter().map(|event| code(event, "code")).collect();
    let randomised = disk.events("SubjectRandomised").await;
    assert!(arms.len() > 1 && randomised.len() >= 10, "{} arms, {} subjects", arms.len(), randomised.len());
    for event in &randomised {
        let account = AccountId::of(&event.actor.id);
        for arm in &arms {
            let body = json!({"arm": arm, "occurred_at": event.occurred_at});
            let body: RandomiseSubject = serde_json::from_value(body).expect("a command");
            let key = CommandRequest::new(SubjectId::from(event.stream.id), &body).idempotency_key;
            for sender in [account.uuid().as_bytes() as &[u8], event.actor.id.as_bytes()] {
                let guessed = derive_id("command", &[sender, key.to_string().as_bytes()]);
                assert_ne!(guessed, event.command_id, "{arm}");
            }
            // The guess is as good as a guess can be: with the secret it tells the arm.
            let is_it = disk.marks.command_of(account, &key.to_string()) == event.command_id;
            assert_eq!(is_it, *arm == code(event, "arm"), "{arm}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_without_its_keys_does_not_start() {
    let mut system = System::embedded_with(&[]).await;
    assert!(system.processes[0].terminate().await.success());
    let data = system.folder.path().join("data");
    let serve = || {
        let output =
            run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", &data.to_string_lossy()], system.folder.path());
        assert_eq!(output.status.code(), Some(2));
        text(&output.stderr)
    };
    let away = |names: &[&str]| {
        let moved = |name: &&str| {
            data.join(name).exists().then(|| std::fs::rename(data.join(name), data.join(format!("{name}.away"))))
        };
        assert!(names.iter().filter_map(moved).all(|moved| moved.is_ok()));
    };
    away(&["master.key"]);
    let told = serve();
    assert!(told.contains("there is no master key") && told.contains("--master-key-file"), "{told}");
    assert!(!data.join("master.key").exists(), "none is made where keys may be wrapped by another");
    std::fs::rename(data.join("master.key.away"), data.join("master.key")).expect("it is back");
    away(&["keys.db", "keys.db-wal", "keys.db-shm"]);
    let told = serve();
    assert!(told.contains("holds no secret of it") && told.contains("keep-the-keys"), "{told}");
    let both = run(&["serve", "--transit-address", "https://bao:8200", "--transit-key", "k"], &data);
    assert!(text(&both.stderr).contains("--transit-token-file"), "{}", text(&both.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_key_is_made_once_and_rotated() {
    let system = System::embedded_with(&[]).await;
    let data = system.folder.path().join("data");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &File::open(data.join("master.key")).and_then(|file| file.metadata()).expect("the file").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let again = run(&["key", "create", "data/master.key"], system.folder.path());
    assert!(!again.status.success(), "one that is there stays");
    let told = |task: &str| {
        let output = run(&["key", task, "--data-dir", "data"], system.folder.path());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert!(told("rewrap").contains("1 keys are wrapped by version 1"));
    assert!(told("rotate").contains("version 2 of the master key `local`"));
    assert!(told("rewrap").contains("by version 2 of the master key `local`; 1 of them were wrapped again"));
    register(&system).await.expect("commands go on");
}

async fn register(system: &System) -> Result<(), String> {
    let path = format!("/v1/patients/{}/register-patient", Uuid::now_v7());
    let answer = system.api.try_post(&path, json!({}), &[]).await.map_err(|error| error.to_string())?;
    if answer.status.is_success() { Ok(()) } else { Err(format!("{} {:#}", answer.status, answer.body)) }
}

/// The settings by which the server asks this OpenBao, with a master key of its own.
fn transit(server: &OpenBao) -> Vec<String> {
    let key = ["write", "-f", "transit/keys/patients", "type=aes256-gcm96", "derived=true"];
    server.run(&key).expect("the key is made");
    let token = server.token_file("token", server.root_token()).expect("a token");
    let (address, token) = (server.url(), token.to_string_lossy().into_owned());
    [("--transit-address", &*address), ("--transit-key", "patients"), ("--transit-token-file", &*token)]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value.to_owned()])
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn openbao_rotates_and_goes_away_while_commands_run() {
    let mut bao = testkit::openbao().await;
    let settings = transit(&bao);
    let system = System::embedded_with(&settings.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert!(!system.folder.path().join("data/master.key").exists());
    let system = Arc::new(system);
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (own, stopped, counted) = (system.clone(), stop.clone(), done.clone());
    let commands = tokio::spawn(async move {
        while !stopped.load(Ordering::Relaxed) {
            register(&own).await?;
            counted.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<(), String>(())
    });
    let more = async || {
        let before = done.load(Ordering::Relaxed);
        eventually("commands go on", PATIENCE, async || done.load(Ordering::Relaxed) > before + 5).await;
    };
    more().await;
    for task in ["rotate", "rewrap"] {
        let words: Vec<&str> =
            ["key", task, "--data-dir", "data"].into_iter().chain(settings.iter().map(String::as_str)).collect();
        let output = run(&words, system.folder.path());
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("version 2 of the master key `transit/transit/patients`"));
        more().await;
    }
    bao.run(&["write", "transit/keys/patients/config", "min_decryption_version=2"]).expect("the old one is given up");
    bao.kill();
    more().await;
    stop.store(true, Ordering::Relaxed);
    commands.await.expect("no panic").expect("every command was carried out");

    // Who starts now has no secret: nothing is done, nothing is lost, and it goes on by itself.
    let mut system = Arc::into_inner(system).expect("nobody else has it");
    system.processes[0].kill();
    system.processes[0].start_again();
    let url = system.processes[0].url.clone();
    let status = async |path: &str| {
        let answer = http().get(format!("{url}{path}")).send().await;
        answer.map(|answer| answer.status().as_u16()).unwrap_or_default()
    };
    eventually("it answers", PATIENCE, async || status("/healthz").await == 200).await;
    let away_since = std::time::Instant::now();
    let key = [("idempotency-key", "once")];
    let patient = format!("/v1/patients/{}/register-patient", Uuid::now_v7());
    let head = async || system.api.get("/v1/views").await.ok()["position"].clone();
    let before = head().await;
    while away_since.elapsed() < Duration::from_secs(30) {
        assert_eq!(status("/readyz").await, 503);
        let request = system.api.request(reqwest::Method::POST, &patient).json(&json!({}));
        let answer = request.header("idempotency-key", "once").send().await.expect("an answer");
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
        assert!(answer.text().await.expect("a body").contains("urn:anamnesis:problem:keys-unavailable"));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(head().await, before, "nothing was written");
    bao.resume().expect("OpenBao comes back");
    eventually("it is ready", PATIENCE, async || status("/readyz").await == 200).await;
    system.api.post_with(&patient, json!({}), &key).await.ok();
}
