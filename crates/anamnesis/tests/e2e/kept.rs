//! Data of earlier versions: kept with their keys, and served by every later one.
//!
//! A folder below `tests/kept` holds what one version left behind: the embedded engine's data folder and a dump of the
//! database, each with its keys and with what that version told of it. `ANAMNESIS_KEEP=<name>` has this version's be
//! added (docs/guides/upgrade.md). Nothing there is ever made again: what cannot be read any more is a fault of the program.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use testkit::TestDatabase;

use crate::api::Api;
use crate::clinic::{Clinic, Plan};
use crate::program::{run, text};
use crate::recover::all_are_quiet;
use crate::system::{ADMINISTRATOR, Process, System, issue};

/// Which version this one's data are kept as, where they are.
const KEEP: &str = "ANAMNESIS_KEEP";
/// Who reads everything.
const READER: &str = "tester";
/// Views that go on by themselves while time passes: deadlines of the past.
const ALIVE: [&str; 2] = ["alerts", "sagas"];
/// What is told of when something was read.
const MOVING: [&str; 3] = ["position", "as_of", "checkpoint"];
/// The instances of process managers.
const INSTANCES: &str = "/v1/sagas?limit=1000";
/// Files of what was kept.
const ANSWERS: &str = "answers.json";
const DUMP: &str = "dump.sql";

fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kept")
}

#[derive(Clone, Copy)]
enum Engine {
    Embedded,
    Postgres,
}

impl Engine {
    const fn archive(self) -> &'static str {
        match self {
            Self::Embedded => "embedded.tar.gz",
            Self::Postgres => "postgres.tar.gz",
        }
    }
}

/// Runs a command to its end.
fn done(command: &mut Command) {
    let output = command.output().expect("the program is there");
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
}

fn tool(name: &str) -> Command {
    Command::new(xtask::install::postgres_bin().expect("PostgreSQL is there").join(name))
}

/// A trial, a participant who is named, and a broken blind.
async fn played(system: &System, folder: &Path) {
    let folder_name = folder.to_string_lossy();
    std::fs::write(folder.join("admin.token"), system.token(ADMINISTRATOR, &[])).expect("the token is written");
    let url = system.processes[0].url.clone();
    let words =
        ["simulate", "--url", &url, "--data-dir", &folder_name, "--subjects", "6", "--sites", "2", "--seed", "7"];
    let simulated = run(&words, folder);
    assert!(simulated.status.success(), "{}", text(&simulated.stderr));
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let (patient, subject) = clinic.randomised_subject("ARMACTIVE").await;
    let changes = json!({"name": "Solveig Markerud", "national_id": "09034812345", "mobile": "+4791234567",
        "birth_date": "1948-03-09", "reason": "Shown their passport"});
    clinic.patient_command(patient, "correct-demographics", changes).await.ok();
    let unblind = json!({"category": "emergency", "reason": "Unconscious after a fall"});
    clinic.subject_command(subject, "unblind-subject", unblind).await.ok();
}

/// Every list, every history, and who everybody is.
async fn told(api: &Api) -> Map<String, Value> {
    all_are_quiet(api, 0).await;
    api.until("/v1/views", "up to date", |views| {
        !views["items"].as_array().expect("views").iter().any(|view| view["behind"] != 0)
    })
    .await;
    let mut told = Map::new();
    for table in views::tables() {
        let address = table.collection().address;
        if !ALIVE.contains(&address) {
            let path = format!("/v1/{address}?limit=1000");
            told.insert(path.clone(), api.get(&path).await.ok());
        }
    }
    let patients = told["/v1/patients?limit=1000"]["items"].as_array().expect("patients").clone();
    for patient in patients {
        let id = patient["patient_id"].as_str().expect("an id");
        let history = format!("/v1/patients/{id}/history?limit=1000");
        told.insert(history.clone(), api.get(&history).await.ok());
    }
    told
}

/// Whether all that was told is told still: there may be more, and events that came since.
fn assert_told(path: &str, was: &Value, is: &Value) {
    match (was, is) {
        (Value::Object(was), Value::Object(is)) => {
            for (name, value) in was.iter().filter(|(name, _)| !MOVING.contains(&name.as_str())) {
                assert_told(&format!("{path}/{name}"), value, is.get(name).unwrap_or(&Value::Null));
            }
        }
        (Value::Array(was), Value::Array(is)) => {
            assert!(was.len() <= is.len(), "{path}: {} of {}", is.len(), was.len());
            was.iter()
                .zip(is)
                .enumerate()
                .for_each(|(index, (was, is))| assert_told(&format!("{path}/{index}"), was, is));
        }
        _ => assert_eq!(was, is, "{path}"),
    }
}

async fn identities(api: &Api, told: &Map<String, Value>) -> Value {
    let mut identities = Map::new();
    for patient in told["/v1/patients?limit=1000"]["items"].as_array().expect("patients") {
        let id = patient["patient_id"].as_str().expect("an id");
        let request = api.request(reqwest::Method::GET, &format!("/v1/patients/{id}/identity"));
        let response = request.header("anamnesis-purpose", "Compare versions").send().await.expect("an answer");
        let text = response.error_for_status().expect("who they are").text().await.expect("a body");
        identities.insert(id.to_owned(), serde_json::from_str(&text).expect("JSON"));
    }
    Value::Object(identities)
}

/// Has a system of this version leave something behind.
async fn leave(engine: Engine, into: &Path) {
    let mut system = match engine {
        Engine::Embedded => System::embedded_with(&[]).await,
        Engine::Postgres => System::on_postgres().await,
    };
    let folder = match engine {
        Engine::Embedded => system.folder.path().join("data"),
        Engine::Postgres => system.folder.path().to_owned(),
    };
    played(&system, &folder).await;
    let mut told = told(&system.api).await;
    let who = identities(&system.api, &told).await;
    told.insert("identities".to_owned(), who);
    assert!(system.processes[0].terminate().await.success());
    let packed = TempDir::new().expect("a folder");
    let write = |name: &str, bytes: &[u8]| std::fs::write(packed.path().join(name), bytes).expect("it is written");
    write(ANSWERS, serde_json::to_string(&told).expect("JSON").as_bytes());
    match &system.database {
        None => done(Command::new("cp").arg("-r").arg(&folder).arg(packed.path().join("data"))),
        Some(database) => {
            let mut dump = tool("pg_dump");
            dump.args(["--no-owner", "--no-privileges", "--dbname", &database.url]);
            done(dump.arg("--file").arg(packed.path().join(DUMP)));
            // Keys stay their owner's alone.
            let keys = ["signing.pem", "master.key"].map(|name| folder.join(name));
            done(Command::new("cp").arg("--preserve=mode").args(keys).arg(packed.path()));
        }
    }
    std::fs::create_dir_all(into).expect("the folder is made");
    done(Command::new("tar").arg("-czf").arg(into.join(engine.archive())).arg("-C").arg(packed.path()).arg("."));
}

/// Serves what was left behind, and asks for all that was told of it.
async fn serve(engine: Engine, version: &Path) {
    let folder = TempDir::new().expect("a folder");
    done(Command::new("tar").arg("-xzf").arg(version.join(engine.archive())).arg("-C").arg(folder.path()));
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let was: Map<String, Value> =
        serde_json::from_slice(&std::fs::read(folder.path().join(ANSWERS)).expect("answers")).expect("JSON");
    let mut database: Option<TestDatabase> = None;
    let (arguments, key) = match engine {
        Engine::Embedded => (vec!["--data-dir".to_owned(), path("data")], path("data/signing.pem")),
        Engine::Postgres => {
            let fresh = testkit::postgres().await;
            let mut restore = tool("psql");
            restore.args(["--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", &fresh.url, "--file", &path(DUMP)]);
            done(&mut restore);
            let flags = ["--database-url", &fresh.url, "--signing-key-file", &path("signing.pem")].map(str::to_owned);
            let master = ["--master-key-file".to_owned(), path("master.key")];
            let migrated = run(&["migrate", "--database-url", &fresh.url, &master[0], &master[1]], folder.path());
            assert!(migrated.status.success(), "{}", text(&migrated.stderr));
            database = Some(fresh);
            ([flags.as_slice(), &master].concat(), path("signing.pem"))
        }
    };
    let mut process = Process::start("serve", folder.path(), &arguments);
    process.ready().await;
    let token = issue(&key, READER, folder.path(), &[]);
    let api = Api::new(vec![process.url.clone()], vec![process.url.clone()], token);
    // Process managers of a later version fold the log anew: each stores all of it at once.
    let count = |page: &Value| page["items"].as_array().map_or(0, Vec::len);
    let instances = was.get(INSTANCES).map_or(0, count);
    api.until(INSTANCES, "with every instance", |page| count(page) >= instances).await;
    let is = told(&api).await;
    let is_alive = |path: &str| ALIVE.iter().any(|address| path.starts_with(&format!("/v1/{address}?")));
    for (path, was) in was.iter().filter(|(path, _)| *path != "identities" && !is_alive(path)) {
        assert_told(path, was, &is[path.as_str()]);
    }
    assert_told("identities", &was["identities"], &identities(&api, &was).await);
    // And goes on with it.
    let patient = is["/v1/patients?limit=1000"]["items"][0]["patient_id"].as_str().expect("an id").to_owned();
    let observe = json!({"code": "WEIGHT", "value": 70, "unit": "kg"});
    api.post(&format!("/v1/patients/{patient}/record-observation"), observe).await.ok();
    assert!(process.terminate().await.success());
    drop(database);
}

#[tokio::test]
async fn what_this_version_leaves_behind_is_served_again() {
    let temporary = TempDir::new().expect("a folder");
    let name = std::env::var_os(KEEP);
    let into = name.map_or_else(|| temporary.path().to_owned(), |name| kept().join(name));
    for engine in [Engine::Embedded, Engine::Postgres] {
        assert!(!into.join(engine.archive()).exists(), "{} is kept as it is", into.display());
        leave(engine, &into).await;
        serve(engine, &into).await;
    }
}

#[tokio::test]
async fn what_every_version_left_behind_is_served_as_it_was_told() {
    let mut versions = 0;
    for version in std::fs::read_dir(kept()).expect("what was kept") {
        let version = version.expect("a folder").path();
        for engine in [Engine::Embedded, Engine::Postgres] {
            serve(engine, &version).await;
        }
        versions += 1;
    }
    assert!(versions > 0, "nothing was kept");
}
