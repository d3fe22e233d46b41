//! Whatever is written belongs to this account alone, whatever the umask of whoever starts the program.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

use crate::api::Api;
use crate::clinic::{Clinic, Plan};
use crate::keys::make_master_key;
use crate::system::{ADMINISTRATOR, BINARY, Process, System, clean, make_event_key, make_key, open_tester, run, text};

const ROLES: &str = include_str!("../../../../deploy/postgres/roles.sql");
const GRANTS: &str = include_str!("../../../../deploy/postgres/grants.sql");

/// Files that others may read, below a folder.
fn open_to_others(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let mode = entry.metadata().expect("its rights").permissions().mode();
        if mode & 0o077 != 0 {
            found.push(format!("{} {:o}", entry.path().display(), mode & 0o777));
        }
        if entry.path().is_dir() {
            found.extend(open_to_others(&entry.path()));
        }
    }
    found
}

#[tokio::test]
async fn health_data_belong_to_one_account() {
    let system = System::embedded_with(&[]).await;
    Clinic::open(&system.api, Plan::default()).await.enrolled_subject().await;
    let data = system.folder.path().join("data");
    assert!(
        ["log.db", "log.db-wal", "derived.db-shm", "keys.db", "keys.db-wal", "signing.pem"]
            .iter()
            .all(|name| data.join(name).exists())
    );
    assert_eq!(open_to_others(&data), Vec::<String>::new());
    assert_eq!(std::fs::metadata(&data).expect("its rights").permissions().mode() & 0o777, 0o700);

    let data = data.to_string_lossy().into_owned();
    let backup = run(&["backup", "copies/first", "--data-dir", &data], system.folder.path());
    assert!(backup.status.success(), "{}", text(&backup.stderr));
    assert_eq!(open_to_others(&system.folder.path().join("copies")), Vec::<String>::new());
}

/// Runs an operator's command to its end, started by who lets others read new files.
fn run_with_umask(umask: &str, arguments: &[&str], folder: &Path) {
    let lax = format!("umask {umask} && exec \"$0\" \"$@\"");
    let output = clean(Command::new("sh"), folder).args(["-c", &lax, BINARY]).args(arguments).output().expect("sh");
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
}

#[tokio::test]
async fn under_any_umask_what_is_written_belongs_to_one_account() {
    for umask in ["000", "022"] {
        let folder = TempDir::new().expect("a folder");
        let data = folder.path().join("made/data");
        let arguments = ["--data-dir".to_owned(), data.to_string_lossy().into_owned()];
        let mut process = Process::start_with_umask(umask, "serve", folder.path(), &arguments);
        process.ready().await;
        for name in ["log.db", "log.db-wal", "log.db-shm", "derived.db", "derived.db-wal", "signing.pem", "admin.token"]
        {
            assert!(data.join(name).exists(), "{name}");
        }
        let path = |name: &str| folder.path().join("made").join(name).to_string_lossy().into_owned();
        run_with_umask(umask, &["backup", &path("copy"), "--data-dir", &arguments[1]], folder.path());
        run_with_umask(umask, &["migrate", "--data-dir", &path("other")], folder.path());
        assert!(process.terminate().await.success());
        let made = std::fs::read_dir(folder.path().join("made")).expect("a folder").count();
        assert_eq!(made, 3, "data, copy, other");
        assert_eq!(open_to_others(&folder.path().join("made")), Vec::<String>::new(), "{umask}");
    }
}

#[test]
fn a_secret_is_not_taken_from_the_command_line() {
    let folder = TempDir::new().expect("a folder");
    for (arguments, variable) in [
        (["serve", "--signing-key", "0f0f"], "ANAMNESIS_SIGNING_KEY"),
        (["migrate", "--database-url", "postgres://u:0f0f@127.0.0.1/x"], "ANAMNESIS_DATABASE_URL"),
        (["relay", "--nats-password", "0f0f"], "ANAMNESIS_NATS_PASSWORD"),
        (["simulate", "--token", "0f0f"], "ANAMNESIS_TOKEN"),
    ] {
        let output = run(&arguments, folder.path());
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(variable) && told.contains(arguments[1]) && !told.contains("0f0f"), "{told}");
        assert!(output.stdout.is_empty() && std::fs::read_dir(folder.path()).expect("the folder").count() == 0);
    }
}

#[tokio::test]
async fn a_restored_file_that_others_could_read_is_taken_from_them() {
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("data");
    let arguments = ["--data-dir".to_owned(), data.to_string_lossy().into_owned()];
    let mut process = Process::start("serve", folder.path(), &arguments);
    process.ready().await;
    assert!(process.terminate().await.success());
    for name in ["log.db", "derived.db", "keys.db"] {
        std::fs::set_permissions(data.join(name), PermissionsExt::from_mode(0o644)).expect("its rights");
    }
    process.restart().await;
    assert_eq!(open_to_others(&data), Vec::<String>::new());
}

/// Runs statements as who has this address.
async fn run_sql(url: &str, sql: String) {
    let mut connection = PgConnection::connect(url).await.expect("the database");
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.expect("the statements");
}

#[tokio::test]
async fn a_trial_is_run_by_processes_that_have_a_role_each() {
    let folder = TempDir::new().expect("a folder");
    let keys = nats_keys(folder.path());
    let (database, nats) = (testkit::postgres().await, testkit::nats_with(&shipped_rights(&keys)).await);
    // Roles are those of the whole server.
    let prefix = format!("e2e_{}_", database.url.rsplit('_').next().expect("a name"));
    let url = |role: &str| database.url.replace("postgres://postgres@", &format!("postgres://{prefix}{role}@"));
    run_sql(&database.url, ROLES.replace("anamnesis_", &prefix)).await;
    let migrated = run(&["migrate", "--database-url", &url("owner")], folder.path());
    assert!(migrated.status.success(), "{}", text(&migrated.stderr));
    run_sql(&url("owner"), GRANTS.replace("anamnesis_", &prefix)).await;

    let key_file = folder.path().join("signing.pem");
    make_key(&key_file);
    let key = key_file.to_string_lossy().into_owned();
    let master = make_master_key(folder.path());
    let (event_key, event_jwks) = make_event_key(folder.path());
    let words = ["administrator", ADMINISTRATOR, "--database-url", &url("serve"), "--master-key-file", &master];
    let made = run(&words, folder.path());
    assert!(made.status.success(), "{}", text(&made.stderr));
    let mut processes = Vec::new();
    for (process, role, nats_role) in [
        ("command-api", "commands", None),
        ("query-api", "queries", None),
        ("projector", "views", Some("NATS_LISTENER")),
        ("saga", "sagas", Some("NATS_LISTENER")),
        ("relay", "relay", Some("NATS_RELAY")),
        ("outbound", "outbound", None),
    ] {
        let mut settings = vec![
            ("--database-url", url(role)),
            ("--signing-key-file", key.clone()),
            ("--master-key-file", master.clone()),
            ("--event-jwks-file", event_jwks.clone()),
            ("--migrate", "false".to_owned()),
        ];
        if process == "relay" {
            settings.push(("--event-signing-key-file", event_key.clone()));
        }
        if let Some(nats_role) = nats_role {
            let file = folder.path().join(nats_role);
            std::fs::write(&file, &keys[&format!("{nats_role}_SEED")]).expect("the seed is written");
            settings.extend([("--nats-url", nats.url()), ("--nats-nkey-file", file.to_string_lossy().into_owned())]);
        }
        let settings: Vec<String> = settings.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect();
        processes.push(Process::start(process, folder.path(), &settings));
    }
    for process in &mut processes {
        process.ready().await;
    }
    let token = open_tester(&processes[0].url, &key_file, ADMINISTRATOR, folder.path());
    let api = Api::new(vec![processes[0].url.clone()], vec![processes[1].url.clone()], token);
    let clinic = Clinic::open(&api, Plan::default()).await;
    // The process manager enrols, the views show it.
    let (_, subject) = clinic.randomised_subject("ARMACTIVE").await;
    clinic.enrolment_until("randomised", |figures| figures["randomised"] == 1).await;
    assert_eq!(api.get(&format!("/v1/subjects/{subject}")).await.ok()["status"], "randomised");
    crate::readings::sent_by_somebody(&clinic).await;
    let published =
        async || processes[4].metric("anamnesis_relay_published_total").await.is_some_and(|many| many > 0.0);
    testkit::eventually("the relay publishes", std::time::Duration::from_secs(60), published).await;
    nobody_forges(&nats.url(), &keys).await;
    // What is published after that is as it was: nothing came in between.
    let health = async || {
        let relay = &processes[4];
        let ready = reqwest::get(format!("{}/readyz", relay.url)).await;
        ready.is_ok_and(|answer| answer.status().is_success())
            && relay.metric("anamnesis_relay_lag_events").await.is_some_and(|lag| lag == 0.0)
    };
    clinic.patient(None).await;
    testkit::eventually("the relay goes on", std::time::Duration::from_secs(60), health).await;
    let refusals = ["permission denied", "Permissions Violation", "permissions violation"];
    let is_refused = |process: &&Process| refusals.iter().any(|refusal| process.told().contains(refusal));
    let refused = processes.iter().find(is_refused);
    assert!(refused.is_none(), "{}", refused.map(Process::told).unwrap_or_default());
}

const NATS: &str = include_str!("../../../../deploy/nats/anamnesis.conf");
const INIT_ENV: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/init-env.sh");

/// What the script that makes keys and passwords writes; running it again changes nothing.
pub fn nats_keys(folder: &Path) -> BTreeMap<String, String> {
    let file = folder.join("env");
    let make = || {
        let made = Command::new("sh").arg(INIT_ENV).arg(&file).output().expect("sh");
        assert!(made.status.success() && made.stderr.is_empty(), "{}", text(&made.stderr));
        std::fs::read_to_string(&file).expect("what was made")
    };
    let made = make();
    assert_eq!(make(), made);
    let lines = made.lines().filter_map(|line| line.split_once('='));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The rights of the shipped configuration.
pub fn shipped_rights(keys: &BTreeMap<String, String>) -> String {
    let rights = &NATS[NATS.find("# Rights of our own processes").expect("rights")..];
    ["NATS_RELAY_NKEY", "NATS_LISTENER_NKEY"]
        .into_iter()
        .fold(rights.to_owned(), |rights, name| rights.replace(&format!("${name}"), &keys[name]))
}

/// Who has no key is not let in, and who listens cannot publish: neither an event nor what the relay says.
async fn nobody_forges(url: &str, keys: &BTreeMap<String, String>) {
    let stranger = async_nats::ConnectOptions::new().connect(url).await;
    assert!(stranger.is_err(), "a stranger was let in");
    let (sender, mut refused) = tokio::sync::mpsc::unbounded_channel();
    let listener = async_nats::ConnectOptions::with_nkey(keys["NATS_LISTENER_SEED"].clone())
        .event_callback(move |event| {
            let sender = sender.clone();
            async move { drop(sender.send(event.to_string())) }
        })
        .connect(url)
        .await
        .expect("a listener is let in");
    let log = uuid::Uuid::nil();
    for subject in [
        format!("anamnesis.{log}.events.-.patient.{log}.PatientRegistered"),
        format!("anamnesis.{log}.control.LogRepublished"),
        format!("$JS.API.STREAM.DELETE.ANAMNESIS_EVENTS_{log}"),
        format!("$JS.API.STREAM.PURGE.ANAMNESIS_EVENTS_{log}"),
    ] {
        listener.publish(subject.clone(), "{}".into()).await.expect("it is sent");
        listener.flush().await.expect("it is sent");
        loop {
            let told = tokio::time::timeout(std::time::Duration::from_secs(30), refused.recv()).await;
            let told = told.unwrap_or_else(|_| panic!("{subject} was taken")).expect("the client is there");
            if told.to_lowercase().contains("permissions violation") && told.contains(&subject) {
                break;
            }
        }
    }
}
