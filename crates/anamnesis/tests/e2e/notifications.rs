//! Messages to people, at gateways that fail.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};
use testkit::eventually;
use uuid::Uuid;

use crate::api::Api;
use crate::clinic::{Clinic, Plan, fresh};
use crate::metrics::OF_MESSAGES;
use crate::system::{System, http, program};

/// How long what fails may be tried again.
const PATIENCE: Duration = Duration::from_secs(120);

/// The stand-in for a gateway, as a process of its own; killed on drop.
pub struct Gateway {
    child: Child,
    address: String,
}

impl Gateway {
    pub async fn start(folder: &Path, words: &[&str]) -> Self {
        let port = xtask::servers::free_port().expect("a free port");
        let gateway = Self::at(folder, port, words);
        eventually("the gateway answers", Duration::from_secs(30), async || gateway.taken().await.is_some()).await;
        gateway
    }

    fn at(folder: &Path, port: u16, words: &[&str]) -> Self {
        let address = format!("127.0.0.1:{port}");
        let mut program = program(folder);
        let child =
            program.args(["gateway", "--quiet", "--listen", &address]).args(words).stdout(Stdio::null()).spawn();
        Self { child: child.expect("the gateway starts"), address }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    fn sms(&self) -> String {
        format!("http://{}/sms", self.address)
    }

    /// What it has taken, where it answers.
    async fn taken(&self) -> Option<Value> {
        http().get(format!("http://{}/messages", self.address)).send().await.ok()?.json().await.ok()
    }

    async fn count(&self) -> u64 {
        self.taken().await.and_then(|taken| taken["count"].as_u64()).unwrap_or(0)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A participant with a telephone, screened.
async fn participant(clinic: &Clinic, mobile: &str) -> Uuid {
    let patient = fresh();
    let body = json!({"sex": "F", "site_id": clinic.site, "mobile": mobile});
    clinic.patient_command(patient, "register-patient", body).await.ok();
    clinic.present(patient).await;
    clinic.sign(patient).await.ok();
    clinic.patient_command(patient, "screen-patient", json!({"trial_id": clinic.trial})).await.ok();
    patient
}

async fn clinic(api: &Api) -> Clinic {
    Clinic::open(
        api,
        Plan { enrolment_mode: "manual", planned_enrolment: 1_000, enrolment_cap: 1_000, ..Plan::default() },
    )
    .await
}

/// Has somebody told something; gives the notification's id.
async fn tell(clinic: &Clinic, more: Value) -> Uuid {
    let body = json!({"template": "participant-news", "audience": {"kind": "subjects"}, "trial_id": clinic.trial});
    let body = testkit::given::with(body, &more);
    let response = clinic.api.request(reqwest::Method::POST, "/v1/notifications").json(&body).send().await;
    let response = response.expect("an answer");
    assert_eq!(response.status().as_u16(), 202);
    let location = response.headers()["location"].to_str().expect("an address").to_owned();
    let answer: Value = response.json().await.expect("an answer");
    let id = answer["stream"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(location, format!("/v1/notifications/{id}"));
    id.parse().expect("an id")
}

fn messages(notification: Uuid) -> String {
    format!("/v1/messages?limit=1000&notification_id={notification}")
}

fn with_status(page: &Value, status: &str) -> usize {
    page["items"].as_array().map_or(0, |items| items.iter().filter(|item| item["status"] == status).count())
}

#[tokio::test]
async fn a_trial_is_told_once_each_however_gateway_and_server_fail() {
    const SUBJECTS: usize = 60;
    let folder = tempfile::tempdir().expect("a folder");
    let flaws = ["--fail", "0.2", "--lie", "0.1", "--hang", "0.02", "--seed", "7"];
    let mut gateway = Gateway::start(folder.path(), &flaws).await;
    let mut system = System::embedded_with(&["--sms-url", &gateway.sms()]).await;
    let clinic = clinic(&system.api).await;
    let mut patients = Vec::new();
    for number in 0..SUBJECTS {
        patients.push(participant(&clinic, &format!("+479000{number:04}")).await);
    }
    let unreachable = clinic.patient(None).await;
    clinic.present(unreachable).await;
    clinic.sign(unreachable).await.ok();
    clinic.patient_command(unreachable, "screen-patient", json!({"trial_id": clinic.trial})).await.ok();
    let notification = tell(&clinic, json!({"urgency": "bulk"})).await;

    // In the middle of it the server is killed, and the gateway as well.
    eventually("some were taken", PATIENCE, async || gateway.count().await >= 5).await;
    system.processes[0].kill();
    system.processes[0].restart().await;
    let before = gateway.count().await;
    assert!(before < SUBJECTS as u64, "all were sent before anything failed");
    let path = messages(notification);
    let all = |page: &Value| with_status(page, "sent") == SUBJECTS;
    let page = system.api.until(&path, "every message is sent", all).await;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(SUBJECTS));

    let taken = gateway.taken().await.expect("what was taken");
    assert_eq!(taken["count"], SUBJECTS, "{:#}", taken["requests"]);
    let numbers: std::collections::BTreeSet<String> = taken["messages"]
        .as_object()
        .expect("messages")
        .values()
        .map(|taken| taken["message"]["to"].as_str().expect("a number").to_owned())
        .collect();
    assert_eq!(numbers.len(), SUBJECTS, "each once");
    assert!(taken["requests"]["failed"].as_u64() > Some(0), "{:#}", taken["requests"]);
    let told = system.api.get(&format!("/v1/notifications/{notification}")).await.ok();
    assert_eq!(
        (&told["status"], &told["queued"], &told["unreachable"]),
        (&json!("addressed"), &json!(SUBJECTS), &json!(1)),
        "{told:#}"
    );
    gateway.kill();
}

#[tokio::test]
async fn an_alert_reaches_the_telephone_of_who_must_know_and_tells_nothing_of_anybodys_health() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Gateway::start(folder.path(), &[]).await;
    let system = System::embedded_with(&["--sms-url", &gateway.sms()]).await;
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let (trial, site) = (clinic.trial.to_string(), clinic.site.to_string());
    system.open_account("doctor-701", &["--role", "investigator", "--trial", &trial, "--site", &site]);
    let accounts = system.as_administrator().get("/v1/accounts?username=doctor-701").await.ok();
    let account = accounts["items"][0]["account_id"].as_str().expect("an account").to_owned();
    // At night: an alert does not wait for the morning.
    let contact =
        json!({"mobile": "+4790000701", "quiet_hours": {"from": "00:00", "until": "23:59"}, "language": "nb"});
    system.as_administrator().post(&format!("/v1/accounts/{account}/set-contact"), contact).await.ok();
    let (_, subject) = clinic.enrolled_subject().await;
    clinic.phq9(subject, [0, 0, 0, 0, 0, 0, 0, 0, 3]).await.ok();
    eventually("the telephone rang", PATIENCE, async || gateway.count().await >= 1).await;
    let taken = gateway.taken().await.expect("what was taken");
    let (_, first) = taken["messages"].as_object().and_then(|all| all.iter().next()).expect("a message");
    let text = first["message"]["text"].as_str().expect("a text");
    assert_eq!((&first["message"]["to"], &first["message"]["urgent"]), (&json!("+4790000701"), &json!(true)));
    assert!(text.contains("Sikkerhetsvarsel") || text.contains("sikkerhetsvarsel"), "{text}");
    for word in ["PHQ", "suicid", "answer", "score"] {
        assert!(!text.contains(word), "{text}");
    }
    // Nothing that is recorded of it names the number.
    let events = system.as_administrator().get("/v1/messages").await.ok();
    assert!(!events.to_string().contains("4790000701"), "{events:#}");
}

#[tokio::test]
async fn what_waits_is_told_and_bulk_beyond_the_limit_is_refused_but_no_alert() {
    let folder = tempfile::tempdir().expect("a folder");
    // Nobody listens there.
    let port = xtask::servers::free_port().expect("a free port");
    let nowhere = format!("http://127.0.0.1:{port}/sms");
    let system = System::embedded_with(&["--sms-url", &nowhere, "--message-backlog-max", "1"]).await;
    let clinic = clinic(&system.api).await;
    let patient = participant(&clinic, "+4790000001").await;
    participant(&clinic, "+4790000002").await;
    let first = tell(&clinic, json!({"urgency": "bulk"})).await;
    let failed = |page: &Value| {
        page["items"]
            .as_array()
            .is_some_and(|items| items.len() == 2 && items.iter().all(|item| item["attempts"].as_u64() > Some(0)))
    };
    let page = system.api.until(&messages(first), "it was tried", failed).await;
    assert_eq!(page["items"][0]["fault"], "unreachable", "{page:#}");
    let bulk = json!({"template": "participant-news", "audience": {"kind": "subjects"}, "urgency": "bulk", "trial_id": clinic.trial});
    eventually("the limit is reached", PATIENCE, async || {
        clinic.api.post(&format!("/v1/notifications/{}/request-notification", fresh()), bulk.clone()).await.status
            == 503
    })
    .await;
    let answer =
        clinic.api.request(reqwest::Method::POST, "/v1/notifications").json(&bulk).send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 503);
    assert_eq!(answer.headers()["retry-after"], "30");
    let answer: Value = answer.json().await.expect("a problem");
    assert_eq!(answer["type"], "urn:anamnesis:problem:message-backlog-full");
    tell(&clinic, json!({"urgency": "alert", "audience": {"kind": "patient", "patient_id": patient}})).await;
    // What is measured of it.
    for name in OF_MESSAGES.iter().filter(|name| **name != "anamnesis_message_delay_seconds") {
        let is_told = async || system.processes[0].metrics().await.is_some_and(|told| told.contains(name));
        eventually(name, PATIENCE, is_told).await;
    }
    let opened = "anamnesis_breaker_changes_total{service=\"sms\",to=\"open\"}";
    eventually("the gateway is left alone", PATIENCE, async || system.processes[0].metric(opened).await.is_some())
        .await;
    // Once somebody listens there it goes on by itself.
    let gateway = Gateway::at(folder.path(), port, &[]);
    let all_sent = |page: &Value| {
        page["items"]
            .as_array()
            .is_some_and(|items| !items.is_empty() && items.iter().all(|item| item["status"] == "sent"))
    };
    let page = system.api.until("/v1/messages?limit=1000", "all are sent", all_sent).await;
    let sent = page["items"].as_array().map_or(0, Vec::len) as u64;
    assert_eq!((gateway.count().await, sent > 2), (sent, true), "each once");
    let delay = system.processes[0].metric("anamnesis_message_delay_seconds_count{urgency=\"bulk\"}").await;
    assert_eq!(delay, Some((sent - 1) as f64));
    // Some calls try whether it works again; then it is asked as ever.
    let closed = opened.replace("open", "closed");
    let again = json!({"urgency": "alert", "audience": {"kind": "patient", "patient_id": patient}});
    eventually("it is asked again", PATIENCE, async || {
        tell(&clinic, again.clone()).await;
        system.processes[0].metric(&closed).await.is_some()
    })
    .await;
}

fn secret(folder: &Path, name: &str) -> (String, hmac::Key) {
    use std::os::unix::fs::PermissionsExt as _;
    let file = folder.join(name);
    std::fs::write(&file, format!("whsec_{}\n", STANDARD.encode([7_u8; 32]))).expect("the secret is written");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("it is private");
    (file.to_string_lossy().into_owned(), hmac::Key::new(hmac::HMAC_SHA256, &[7_u8; 32]))
}

#[tokio::test]
async fn a_receipt_counts_by_its_signature() {
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Gateway::start(folder.path(), &[]).await;
    let (file, key) = secret(folder.path(), "receipts");
    let system = System::embedded_with(&["--sms-url", &gateway.sms(), "--receipt-secret-file", &file]).await;
    let clinic = clinic(&system.api).await;
    participant(&clinic, "+4790000001").await;
    let notification = tell(&clinic, json!({})).await;
    let page = system.api.until(&messages(notification), "it is sent", |page| with_status(page, "sent") == 1).await;
    let message = page["items"][0]["message_id"].as_str().expect("an id").to_owned();
    assert_eq!(page["items"][0]["provider_message_id"], format!("gw-{message}"));
    let now = event_store::clock::now().timestamp();
    let receipt = |body: &str, timestamp: i64, altered: &str| {
        let signed = hmac::sign(&key, format!("r1.{timestamp}.{body}").as_bytes());
        let request = http()
            .post(format!("{}/v1/callbacks/sms", system.api.command_url()))
            .header("webhook-id", "r1")
            .header("webhook-timestamp", timestamp.to_string())
            .header("webhook-signature", format!("v1,{}", STANDARD.encode(signed)))
            .body(format!("{body}{altered}"));
        async move { request.send().await.expect("an answer").status().as_u16() }
    };
    let body = json!({"message_id": message, "status": "delivered"}).to_string();
    assert_eq!(receipt(&body, now, " ").await, 401);
    assert_eq!(receipt(&body, now - 600, "").await, 401);
    assert_eq!(receipt("{}", now, "").await, 400);
    let unknown = json!({"message_id": fresh(), "status": "delivered"}).to_string();
    assert_eq!(receipt(&unknown, now, "").await, 404);
    for _ in 0..2 {
        assert_eq!(receipt(&body, now, "").await, 204);
    }
    let page =
        system.api.until(&messages(notification), "it arrived", |page| with_status(page, "delivered") == 1).await;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1));
    let unsigned = http().post(format!("{}/v1/callbacks/sms", system.api.command_url())).body(body).send().await;
    assert_eq!(unsigned.expect("an answer").status().as_u16(), 401);
}

/// A real mail server, which prints the letters that it takes.
struct MailServer {
    child: Child,
    port: u16,
    letters: std::path::PathBuf,
}

impl MailServer {
    fn start(folder: &Path) -> Self {
        let python = xtask::tools::mail_venv().expect("Python's packages").join("python");
        let port = xtask::servers::free_port().expect("a free port");
        let letters = folder.join("letters");
        let output = std::fs::File::create(&letters).expect("a file");
        let listen = format!("127.0.0.1:{port}");
        // Its own options end where those of the handler begin.
        let words = ["-u", "-m", "aiosmtpd", "-n", "-l", &listen, "-c", "aiosmtpd.handlers.Debugging", "stdout"];
        let child = Command::new(python).args(words).stdout(output).stderr(Stdio::null()).spawn();
        Self { child: child.expect("the mail server starts"), port, letters }
    }

    fn told(&self) -> String {
        std::fs::read_to_string(&self.letters).unwrap_or_default()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn a_letter_is_recorded_before_it_is_handed_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let mail = MailServer::start(folder.path());
    let url = format!("smtp://127.0.0.1:{}", mail.port);
    let from = "Study office <study@hospital.example>";
    let system = System::embedded_with(&["--smtp-url", &url, "--email-from", from]).await;
    let clinic = clinic(&system.api).await;
    let patient = participant(&clinic, "+4790000001").await;
    let wishes = json!({"email": "kari@example.org", "channels": ["email"], "language": "nb"});
    clinic.patient_command(patient, "set-contact-preferences", wishes).await.ok();
    let notification = tell(&clinic, json!({})).await;
    let page = system.api.until(&messages(notification), "it is sent", |page| with_status(page, "sent") == 1).await;
    let message = page["items"][0]["message_id"].as_str().expect("an id");
    eventually("the letter arrived", PATIENCE, async || mail.told().contains(message)).await;
    let letter = mail.told();
    assert!(letter.contains("kari@example.org") && letter.contains("studieteamet"), "{letter}");
    let history = clinic.api.get(&format!("/v1/patients/{patient}/history?limit=1000")).await.ok();
    let types: Vec<&str> = history["items"]
        .as_array()
        .expect("events")
        .iter()
        .filter(|event| event["stream"]["type"] == "message")
        .filter_map(|event| event["type"].as_str())
        .collect();
    assert_eq!(types, ["MessageQueued", "MessageSending", "MessageSent"]);
}
