//! The real program as a process of its own, and a client that costs little.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use event_store::{Store, StoreOptions};
use events::access::account::Scope;
use events::envelope::Role;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use service::identity::SigningKeys;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use uuid::Uuid;
use xtask::servers::NatsServer;

use crate::keys::{MASTER_KEY, executor};
use crate::{Bench, BenchError};

/// Sites, subjects and what they are asked in the measured trial.
const SUBJECTS: usize = 200;
/// How long the program may take until it answers, also where it looks a great file through first.
const START_MAX: Duration = Duration::from_secs(300);
/// How often it is asked whether it does.
const START_LOOK: Duration = Duration::from_millis(5);
/// How long it may take to end when asked to.
const END_MAX: Duration = Duration::from_secs(60);
/// Where the program answers once it is ready.
const READY: &str = "/readyz";

/// A running system, or the bare handler that it stands beside.
pub struct System {
    /// Where it listens.
    pub address: String,
    /// An administrator's token.
    pub token: String,
    /// Its nats-server, where it has one.
    pub nats: Option<NatsServer>,
    command: Command,
    sign_of_life: &'static str,
    child: Child,
    folder: TempDir,
}

impl System {
    /// `anamnesis serve`: embedded, or over this database and a nats-server of its own.
    pub async fn serve(bench: &Bench, database_url: Option<&str>) -> Result<Self, BenchError> {
        let mut command = Command::new(bench.anamnesis()?);
        // All that is measured is asked by one account.
        command.args(["serve", "--account-event-streams-max", "1024"]);
        let mut nats = None;
        if let Some(url) = database_url {
            let server = bench.nats()?;
            command.args(["--database-url", url, "--nats-url", &server.url()]);
            nats = Some(server);
        }
        Self::start(command, Some(Storage(database_url)), nats, READY).await
    }

    /// `anamnesis query-api` over this database, for what is read from the log: nobody fills views meanwhile.
    pub async fn query_api(bench: &Bench, database_url: &str) -> Result<Self, BenchError> {
        let mut command = Command::new(bench.anamnesis()?);
        command.args(["query-api", "--database-url", database_url]);
        Self::start(command, Some(Storage(Some(database_url))), None, "/healthz").await
    }

    /// A bare handler that authenticates, parses and echoes the same JSON.
    pub async fn echo() -> Result<Self, BenchError> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--echo");
        Self::start(command, None, None, READY).await
    }

    /// Starts the program and waits until it answers under `sign_of_life`.
    async fn start(
        mut command: Command,
        storage: Option<Storage<'_>>,
        nats: Option<NatsServer>,
        sign_of_life: &'static str,
    ) -> Result<Self, BenchError> {
        let folder = tempfile::tempdir()?;
        let address = format!("127.0.0.1:{}", xtask::servers::free_port()?);
        let key_file = folder.path().join("signing.pem");
        let keys = SigningKeys::load_or_create(&key_file).map_err(|error| BenchError::Said(error.to_string()))?;
        if let Some(storage) = storage {
            let url = storage.0.map_or_else(|| format!("sqlite:{}", folder.path().join(DATA).display()), str::to_owned);
            let said = |error: event_store::OpenError| BenchError::Said(error.to_string());
            let store = Store::open(&url, &StoreOptions::default()).await.map_err(said)?;
            open_account(&store).await?;
            store.close().await;
        }
        let token = keys.signing().issue(ACCOUNT, Duration::from_secs(86_400), None);
        let token = token.map_err(|error| BenchError::Said(error.to_string()))?;
        command.args(["--listen", &address]).arg("--signing-key-file").arg(&key_file).current_dir(folder.path());
        // By variable: the bare handler knows no gRPC.
        command.env("ANAMNESIS_GRPC_LISTEN", "same");
        command.env("ANAMNESIS_MASTER_KEY", MASTER_KEY);
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let child = command.spawn()?;
        let mut system = Self { address, token, nats, command, sign_of_life, child, folder };
        system.answers().await?;
        Ok(system)
    }

    /// Waits until the program answers under its sign of life.
    async fn answers(&mut self) -> Result<(), BenchError> {
        let begun = Instant::now();
        while begun.elapsed() < START_MAX {
            if let Ok(mut client) = Client::connect(self).await
                && client.get(self.sign_of_life).await.is_ok_and(|(status, _)| status.is_success())
            {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(BenchError::Said(format!("the system ended with {status} before it was ready")));
            }
            tokio::time::sleep(START_LOOK).await;
        }
        Err(BenchError::Said("the system does not get ready".to_owned()))
    }

    /// Starts the program again after it has ended; gives how long it took until it answered.
    pub async fn start_again(&mut self) -> Result<Duration, BenchError> {
        let begun = Instant::now();
        self.child = self.command.spawn()?;
        self.answers().await?;
        Ok(begun.elapsed())
    }

    /// Ends the process as an operator does: it closes what it has open.
    pub async fn end(&mut self) -> Result<(), BenchError> {
        let id = self.child.id().ok_or_else(|| BenchError::Said("the process has ended".to_owned()))?;
        Command::new("kill").args(["-TERM", &id.to_string()]).status().await?;
        let ended = tokio::time::timeout(END_MAX, self.child.wait()).await;
        let status = ended.map_err(|_| BenchError::Said("the system does not end".to_owned()))??;
        if status.success() { Ok(()) } else { Err(BenchError::Said(format!("the system ended with {status}"))) }
    }

    /// Ends the process as `kill -9` does.
    pub async fn kill(&mut self) -> Result<(), BenchError> {
        Ok(self.child.kill().await?)
    }

    /// The folder of the embedded engine's files.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join(DATA)
    }

    /// Resident memory in MiB.
    pub fn resident_mib(&self) -> Result<f64, BenchError> {
        let id = self.child.id().ok_or_else(|| BenchError::Said("the process has ended".to_owned()))?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
        kibibytes.map(|kibibytes| kibibytes / 1_024.0).ok_or_else(|| BenchError::Said("no VmRSS".to_owned()))
    }

    /// Ends the process.
    pub async fn stop(mut self) -> Result<(), BenchError> {
        self.child.kill().await?;
        drop(self.folder);
        Ok(())
    }
}

/// Where a program keeps what it is told: in this database, or by the embedded engine.
struct Storage<'url>(Option<&'url str>);

/// The folder of the embedded engine's files.
const DATA: &str = "anamnesis-data";
/// The username of the account that asks for everything.
const ACCOUNT: &str = "bench";

/// Opens the account that asks for everything, with every role that it takes.
pub async fn open_account(store: &Store) -> Result<(), BenchError> {
    let executor = executor(store).await?;
    let roles = [Role::Integration, Role::Investigator, Role::Administrator].map(|role| (role, Scope::Installation));
    let opened = command_api::accounts::open(&executor, ACCOUNT, Vec::new(), &roles).await;
    opened.map(drop).map_err(|error| BenchError::Said(error.to_string()))
}

/// One keep-alive connection.
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    address: String,
    authorization: String,
}

impl Client {
    /// Connects.
    pub async fn connect(system: &System) -> Result<Self, BenchError> {
        let stream = TcpStream::connect(&system.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, address: system.address.clone(), authorization: format!("Bearer {}", system.token) })
    }

    /// Sends a command; gives the answer's body.
    pub async fn post(&mut self, path: &str, body: Bytes) -> Result<Bytes, BenchError> {
        let (status, body) = self.send(Method::POST, path, body).await?;
        if status.is_success() { Ok(body) } else { Err(refused(path, status, &body)) }
    }

    /// Asks a query.
    pub async fn get(&mut self, path: &str) -> Result<(StatusCode, Bytes), BenchError> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// Follows what does not end.
    pub async fn follow(&mut self, path: &str) -> Result<Incoming, BenchError> {
        let response = self.request(Method::GET, path, Bytes::new()).await?;
        match response.status() {
            StatusCode::OK => Ok(response.into_body()),
            status => Err(refused(path, status, &response.into_body().collect().await?.to_bytes())),
        }
    }

    async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), BenchError> {
        let response = self.request(method, path, body).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    async fn request(&mut self, method: Method, path: &str, body: Bytes) -> Result<Response<Incoming>, BenchError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.address)
            .header("authorization", &self.authorization)
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(|error| BenchError::Said(error.to_string()))?;
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }
}

fn refused(path: &str, status: StatusCode, body: &[u8]) -> BenchError {
    BenchError::Said(format!("{path}: {status} {}", String::from_utf8_lossy(body)))
}

/// An open trial with its patients.
pub struct Opened {
    /// The trial.
    pub trial: Uuid,
    /// Its site.
    pub site: Uuid,
    /// The patients, all of them screened.
    pub patients: Vec<Uuid>,
}

/// The subjects of an open trial who answer a questionnaire.
pub async fn open_trial(system: &System) -> Result<Vec<Value>, BenchError> {
    let Opened { trial, patients, .. } = open_with_patients(system).await?;
    let subject = |patient: Uuid| json!(events::ids::SubjectId::of(patient.into(), trial.into()));
    Ok(patients.into_iter().map(subject).collect())
}

/// Opens a trial, and has patients screened for it.
pub async fn open_with_patients(system: &System) -> Result<Opened, BenchError> {
    let mut client = Client::connect(system).await?;
    let (trial, site) = (Uuid::now_v7(), Uuid::now_v7());
    let mut send = async |path: String, body: Value| client.post(&path, Bytes::from(body.to_string())).await.map(drop);
    let sha256 = "0".repeat(64);
    let adult = json!({"code": "I1", "text": "Adult", "category": "inclusion",
        "test": {"kind": "observation", "code": "AGE", "operator": "at-least", "value": 18}});
    for (command, body) in [
        (
            "register-trial",
            json!({"protocol": trial.to_string(), "title": "T", "blinding": "open-label",
            "planned_enrolment": 10_000, "enrolment_mode": "manual"}),
        ),
        ("add-arm", json!({"code": "A", "name": "Arm"})),
        ("define-eligibility", json!({"criteria": [adult]})),
        (
            "publish-consent-form",
            json!({"form_version": "1", "language": "en", "text_sha256": sha256,
            "effective_on": "2020-01-01"}),
        ),
        ("define-questionnaire", json!({"questionnaire": {"instrument": "PAIN-NRS"}})),
    ] {
        send(format!("/v1/trials/{trial}/{command}"), body).await?;
    }
    send(format!("/v1/sites/{site}/register-site"), json!({"trial_id": trial, "code": "701", "name": "Hospital"}))
        .await?;
    let activate = json!({"enrolment_cap": 10_000, "investigator": "dr"});
    send(format!("/v1/sites/{site}/activate-site"), activate).await?;
    send(format!("/v1/trials/{trial}/open-enrolment"), json!({})).await?;
    let mut patients = Vec::with_capacity(SUBJECTS);
    for _ in 0..SUBJECTS {
        let patient = Uuid::now_v7();
        let consent = json!({"trial_id": trial, "form_version": "1", "language": "en"});
        let mut present = consent.clone();
        present["site_id"] = json!(site);
        for (command, body) in [
            ("register-patient", json!({})),
            ("present-consent-form", present),
            ("sign-consent", consent),
            ("screen-patient", json!({"trial_id": trial})),
        ] {
            send(format!("/v1/patients/{patient}/{command}"), body).await?;
        }
        patients.push(patient);
    }
    Ok(Opened { trial, site, patients })
}
