//! Starting and stopping the real binary.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use testkit::{NatsServer, TestDatabase};

use crate::api::Api;
use crate::keys::make_master_key;
pub use crate::program::{BINARY, clean, program, run, run_with_file, text};

/// A client of HTTP without any settings.
pub fn http() -> reqwest::Client {
    client::http().build().expect("a client")
}

/// One running process of the binary; killed on drop.
pub struct Process {
    child: Child,
    arguments: Vec<String>,
    log: PathBuf,
    pub url: String,
}

impl Process {
    /// Starts a role on a free port.
    pub fn start(role: &str, folder: &Path, arguments: &[String]) -> Self {
        Self::start_by(program(folder), &[], role, folder, arguments)
    }

    /// The same, with no more files open than `files`.
    pub fn start_with_files(files: u32, role: &str, folder: &Path, arguments: &[String]) -> Self {
        let limited = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
        let words = ["-c".to_owned(), limited, BINARY.to_owned()];
        Self::start_by(clean(Command::new("sh"), folder), &words, role, folder, arguments)
    }

    /// The same, started by who lets others read new files.
    pub fn start_with_umask(umask: &str, role: &str, folder: &Path, arguments: &[String]) -> Self {
        let lax = format!("umask {umask} && exec \"$0\" \"$@\"");
        let words = ["-c".to_owned(), lax, BINARY.to_owned()];
        Self::start_by(clean(Command::new("sh"), folder), &words, role, folder, arguments)
    }

    /// The same, as another user.
    pub fn start_as(user: u32, role: &str, folder: &Path, arguments: &[String]) -> Self {
        let mut program = program(folder);
        program.uid(user).gid(user);
        Self::start_by(program, &[], role, folder, arguments)
    }

    fn start_by(mut program: Command, words: &[String], role: &str, folder: &Path, arguments: &[String]) -> Self {
        let port = xtask::servers::free_port().expect("a free port");
        let listen = format!("127.0.0.1:{port}");
        let own = [role, "--listen", &listen, "--metrics-listen", "127.0.0.1:0"].map(str::to_owned);
        let all = [words, &own, arguments].concat();
        let log = folder.join(format!("{role}-{port}.log"));
        let child = spawn(&mut program, &all, &log);
        Self { child, arguments: all, log, url: format!("http://{listen}") }
    }

    /// What the process tells Prometheus; nothing where it does not answer.
    pub async fn metrics(&self) -> Option<String> {
        let told = self.told();
        // Said when it started, the last time that it did.
        let (_, address) = told.rsplit_once("metrics_listen=")?;
        let address = address.split_whitespace().next()?;
        http().get(format!("http://{address}/metrics")).send().await.ok()?.text().await.ok()
    }

    /// The value of one series, such as `anamnesis_relay_lag_events` or one with labels as they are told.
    pub async fn metric(&self, series: &str) -> Option<f64> {
        let text = self.metrics().await?;
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?.parse().ok()
    }

    /// The role, as the command that started it is called.
    pub fn role(&self) -> &str {
        let roles = ["serve", "command-api", "query-api", "projector", "saga", "relay", "outbound"];
        let of_role = |argument: &&String| roles.contains(&argument.as_str());
        self.arguments.iter().find(of_role).expect("a role was started")
    }

    /// Waits until the process says that it is ready.
    pub async fn ready(&mut self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        let http = http();
        loop {
            let answer = http.get(format!("{}/readyz", self.url)).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            let ended = self.child.try_wait().expect("the process's state");
            let late = tokio::time::Instant::now() > deadline;
            if let (Some(_), _) | (_, true) = (ended, late) {
                panic!("{:?} is not ready ({ended:?}):\n{}", self.arguments, self.told());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the process as `kill -9` does.
    pub fn kill(&mut self) {
        // A process that has ended already is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Asks the process to end, as whoever runs services does, and waits for it.
    pub async fn terminate(&mut self) -> ExitStatus {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("an id");
        kill_process(id, Signal::TERM).expect("the process is there");
        self.ended().await
    }

    /// Waits until the process ends.
    pub async fn ended(&mut self) -> ExitStatus {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait().expect("the process's state") {
                return status;
            }
            assert!(tokio::time::Instant::now() < deadline, "{:?} does not end:\n{}", self.arguments, self.told());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the process's state").is_some()
    }

    /// Its process id.
    pub fn id(&self) -> i32 {
        i32::try_from(self.child.id()).expect("an id")
    }

    /// What the process logged and printed.
    pub fn told(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Starts the process again on the same port.
    pub async fn restart(&mut self) {
        self.start_again();
        self.ready().await;
    }

    /// The same, without waiting for it.
    pub fn start_again(&mut self) {
        let folder = self.log.parent().expect("the log is in a folder").to_owned();
        self.child = spawn(&mut program(&folder), &self.arguments, &self.log);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(program: &mut Command, arguments: &[String], log: &Path) -> Child {
    let file = std::fs::File::options().create(true).append(true).open(log).expect("a log file");
    let errors = file.try_clone().expect("a log file");
    program.args(arguments).stdout(file).stderr(errors).spawn().expect("the binary starts")
}

/// A running system.
pub struct System {
    /// The system as seen by somebody who has every role that can be had everywhere.
    pub api: Api,
    pub processes: Vec<Process>,
    pub folder: TempDir,
    /// The key that signs tokens.
    pub key_file: PathBuf,
    administrator: String,
    /// The nats-server of its own, where it has one.
    pub nats: Option<NatsServer>,
    /// The database of its own, where it has one; it outlives the processes.
    pub database: Option<TestDatabase>,
}

/// Address of a system that runs somewhere, to be tested in place of one of our own.
const DEPLOYED_URL: &str = "ANAMNESIS_E2E_URL";
/// The key of that system, as `ANAMNESIS_SIGNING_KEY` gave it.
const DEPLOYED_KEY: &str = "ANAMNESIS_E2E_SIGNING_KEY";
/// The username of its administrator.
const DEPLOYED_ADMINISTRATOR: &str = "ANAMNESIS_E2E_ADMINISTRATOR";
/// The username of the administrator whom the embedded engine makes.
pub const ADMINISTRATOR: &str = "administrator";
/// The username of the account of [`System::api`].
const TESTER: &str = "tester";

impl System {
    /// Everything in one process on the embedded engine, with these settings.
    pub async fn embedded_with(settings: &[&str]) -> Self {
        let folder = TempDir::new().expect("a folder");
        Self::serve(folder, settings).await
    }

    /// Everything in one process on the embedded engine; or the system that the
    /// environment names (docs/guides/test-a-deployment.md).
    pub async fn embedded() -> Self {
        let folder = TempDir::new().expect("a folder");
        if let (Ok(url), Ok(key)) = (std::env::var(DEPLOYED_URL), std::env::var(DEPLOYED_KEY)) {
            return Self::deployed(folder, url, &key);
        }
        Self::serve(folder, &[]).await
    }

    async fn serve(folder: TempDir, settings: &[&str]) -> Self {
        let data = folder.path().join("data");
        let mut arguments = vec!["--data-dir".to_owned(), data.to_string_lossy().into_owned()];
        arguments.extend(settings.iter().map(|setting| (*setting).to_owned()));
        let mut process = Process::start("serve", folder.path(), &arguments);
        process.ready().await;
        let token = std::fs::read_to_string(data.join("admin.token")).expect("the administrator's token");
        let urls = vec![process.url.clone()];
        let api = Api::new(urls.clone(), urls, token.trim().to_owned());
        let (key_file, administrator) = (data.join("signing.pem"), ADMINISTRATOR.to_owned());
        Self { api, processes: vec![process], folder, key_file, administrator, database: None, nats: None }.peopled()
    }

    fn deployed(folder: TempDir, url: String, key: &str) -> Self {
        let key_file = folder.path().join("signing.pem");
        std::fs::write(&key_file, key).expect("the key is written");
        let administrator = std::env::var(DEPLOYED_ADMINISTRATOR).unwrap_or_else(|_| ADMINISTRATOR.to_owned());
        let token = issue(&key_file.to_string_lossy(), &administrator, folder.path(), &[]);
        let api = Api::new(vec![url.clone()], vec![url], token);
        Self { api, processes: Vec::new(), folder, key_file, administrator, database: None, nats: None }.peopled()
    }

    /// The same, with the account of [`System::api`].
    fn peopled(self) -> Self {
        let token = open_tester(self.api.command_url(), &self.key_file, &self.administrator, self.folder.path());
        Self { api: self.api.with_token(Some(token)), ..self }
    }

    /// Opens an account as the administrator, or grants it more.
    pub fn open_account(&self, username: &str, words: &[&str]) {
        let token = self.token(&self.administrator, &[]);
        open_account(self.api.command_url(), &token, self.folder.path(), &[&[username], words].concat());
    }

    /// A token of an account.
    pub fn token(&self, username: &str, more: &[&str]) -> String {
        issue(&self.key_file.to_string_lossy(), username, self.folder.path(), more)
    }

    /// The system as seen by the administrator, who has no other role.
    pub fn as_administrator(&self) -> Api {
        self.api.with_token(Some(self.token(&self.administrator, &[])))
    }

    /// The system as seen by a participant.
    pub fn as_participant(&self, patient: uuid::Uuid) -> Api {
        self.as_member(&format!("participant-{patient}"), "participant", &["--patient", &patient.to_string()])
    }

    /// The system as seen by somebody of a role in a scope.
    pub fn as_member(&self, username: &str, role: &str, scope: &[&str]) -> Api {
        self.open_account(username, &[&["--role", role], scope].concat());
        self.api.with_token(Some(self.token(username, &[])))
    }

    /// Everything in one process over PostgreSQL and NATS.
    pub async fn on_postgres() -> Self {
        Self::over_servers(&["serve"], &[]).await
    }

    /// As [`System::on_postgres`], with these settings.
    pub async fn on_postgres_with(settings: &[&str]) -> Self {
        Self::over_servers(&["serve"], settings).await
    }

    /// Two of each role as processes of their own, over PostgreSQL and NATS.
    pub async fn apart() -> Self {
        let twice = ["command-api", "query-api", "projector", "saga"].map(|role| [role; 2]);
        Self::over_servers(&[&twice.concat() as &[&str], &["relay", "outbound"]].concat(), &[]).await
    }

    async fn over_servers(roles: &[&str], settings: &[&str]) -> Self {
        let folder = TempDir::new().expect("a folder");
        let (database, nats) = (testkit::postgres().await, testkit::nats().await);
        let (key_file, master_key) = (folder.path().join("signing.pem"), make_master_key(folder.path()));
        let (event_key, event_jwks) = make_event_key(folder.path());
        let master = ["--master-key-file", &*master_key];
        let arguments: Vec<String> = [
            ("--database-url", database.url.clone()),
            ("--nats-url", nats.url()),
            ("--signing-key-file", key_file.to_string_lossy().into_owned()),
            ("--master-key-file", master_key.clone()),
            ("--event-signing-key-file", event_key),
            ("--event-jwks-file", event_jwks),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .chain(settings.iter().map(|setting| (*setting).to_owned()))
        .collect();
        let key = key_file.to_string_lossy().into_owned();
        make_key(&key_file);
        for words in [&["migrate"] as &[&str], &["administrator", ADMINISTRATOR]] {
            let done = run(&[words, &["--database-url", &database.url], &master].concat(), folder.path());
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
        let token = issue(&key, ADMINISTRATOR, folder.path(), &[]);
        let mut processes: Vec<Process> =
            roles.iter().map(|role| Process::start(role, folder.path(), &arguments)).collect();
        for process in &mut processes {
            process.ready().await;
        }
        let urls = |side: &str| {
            let of_side = |process: &&Process| ["serve", side].contains(&process.role());
            processes.iter().filter(of_side).map(|process| process.url.clone()).collect()
        };
        let api = Api::new(urls("command-api"), urls("query-api"), token);
        let administrator = ADMINISTRATOR.to_owned();
        Self { api, folder, key_file, administrator, processes, database: Some(database), nats: Some(nats) }.peopled()
    }

    /// The system as seen by somebody who has one role, everywhere.
    pub fn as_role(&self, role: &str) -> Api {
        self.as_member(&format!("test-{role}"), role, &[])
    }

    /// The same as [`System::api`], with a token that lasts only so long, such as `2s`.
    pub fn for_a_time(&self, lifetime: &str) -> Api {
        self.api.with_token(Some(self.token(TESTER, &["--ttl", lifetime])))
    }

    /// Loses all that is derived, while nothing runs: the file, or the schema.
    pub async fn remove_derived(&self) {
        match &self.database {
            Some(database) => database.run("DROP SCHEMA derived CASCADE").await,
            None => {
                for file in ["derived.db", "derived.db-wal", "derived.db-shm"] {
                    let path = self.folder.path().join("data").join(file);
                    assert!(!path.exists() || std::fs::remove_file(&path).is_ok(), "{}", path.display());
                }
            }
        }
    }

    /// The flags by which an operator's command finds the database and the keys.
    pub fn database_arguments(&self) -> Vec<String> {
        match &self.database {
            Some(database) => {
                let master = self.folder.path().join("master.key").to_string_lossy().into_owned();
                ["--database-url", &database.url, "--master-key-file", &master].map(str::to_owned).to_vec()
            }
            None => vec!["--data-dir".to_owned(), self.folder.path().join("data").to_string_lossy().into_owned()],
        }
    }
}

/// Opens the account that has every role which can be had everywhere; gives a token of it.
pub fn open_tester(url: &str, key_file: &Path, administrator: &str, folder: &Path) -> String {
    let key_file = key_file.to_string_lossy();
    let token = issue(&key_file, administrator, folder, &[]);
    for role in ["integration", "investigator", "unblinded-statistician", "administrator"] {
        open_account(url, &token, folder, &[TESTER, "--role", role]);
    }
    issue(&key_file, TESTER, folder, &[])
}

fn open_account(url: &str, token: &str, folder: &Path, words: &[&str]) {
    let mut program = program(folder);
    program.env("ANAMNESIS_TOKEN", token).args(["account", "--url", url]).args(words);
    let output = program.output().expect("the binary starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Makes a key that signs tokens.
pub fn make_key(file: &Path) {
    service::identity::SigningKeys::load_or_create(file).expect("the key is made");
}

/// Makes a key that signs events; gives its file, and that of its public half.
pub fn make_event_key(folder: &Path) -> (String, String) {
    let [key, jwks] =
        ["event-signing.pem", "event-keys.json"].map(|name| folder.join(name).to_string_lossy().into_owned());
    let made = run(&["key", "create-event-key", &key], folder);
    assert!(made.status.success(), "{}", text(&made.stderr));
    std::fs::write(&jwks, made.stdout).expect("the public half is written");
    (key, jwks)
}

/// A token of an account by this key.
pub fn issue(key_file: &str, username: &str, folder: &Path, more: &[&str]) -> String {
    let arguments = ["token", "--signing-key-file", key_file, "--account", username];
    let output = run(&[&arguments, more].concat(), folder);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a token is text").trim().to_owned()
}
