//! What is shipped beside the program: the chart, the gateway in front, dashboards.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use service::metrics::METRICS;
use testkit::eventually;

use crate::api::Api;
use crate::clinic::{Clinic, Plan, fresh};
use crate::system::System;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_chart_renders_to_what_kubernetes_takes() {
    let python = xtask::tools::helm_venv().expect("Python's packages").join("python");
    let output = Command::new(python).arg(root().join("deploy/helm/check.py")).output().expect("python");
    let told = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
    assert!(output.status.success(), "{told}");
    assert_eq!(told.matches("refused:").count(), 4, "{told}");
}

/// A metric's name without what makes a histogram's series of it.
fn base(name: &str) -> &str {
    ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

#[test]
fn dashboards_ask_for_what_is_measured() {
    let mut asked = 0;
    for name in ["service", "clinic"] {
        let file = root().join(format!("deploy/grafana/{name}.json"));
        let dashboard: Value = serde_json::from_slice(&std::fs::read(file).expect("a dashboard")).expect("JSON");
        let targets = dashboard["panels"].as_array().expect("panels").iter();
        let targets = targets.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
        let mut rules = Vec::new();
        for (index, target) in targets.enumerate() {
            let expr = target["expr"].as_str().expect("a question").replace("$__rate_interval", "5m");
            let words = expr.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
            for metric in words.filter(|word| word.starts_with("anamnesis_")) {
                assert!(METRICS.iter().any(|known| known.name == base(metric)), "{name}: {metric} is not measured");
                asked += 1;
            }
            rules.push(json!({"record": format!("dashboard:{name}:{index}"), "expr": expr}));
        }
        // Whether Prometheus understands the questions.
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("rules.yml");
        let groups = json!({"groups": [{"name": name, "rules": rules}]});
        std::fs::write(&file, groups.to_string()).expect("the rules are written");
        crate::metrics::promtool(&["check", "rules", &file.to_string_lossy()], "");
    }
    assert!(asked > 20, "{asked}");
}

#[test]
fn every_alert_of_prometheus_has_its_answer() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).expect("a file");
    let (rules, page) = (read("deploy/prometheus/alerts.yml"), read("docs/operations.md"));
    let named: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(named.len() > 15, "{named:?}");
    let answers: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(name, _)| name).collect();
    let (mut rules, mut answered) = (named.clone(), answers);
    rules.sort_unstable();
    answered.sort_unstable();
    assert_eq!(answered, rules);
}

/// nginx with the gateway's settings, before two interfaces; killed on drop.
struct Nginx {
    child: Child,
    http: u16,
    grpc: u16,
    _folder: tempfile::TempDir,
}

impl Nginx {
    fn start(commands: &str, queries: &str) -> Self {
        let nginx = xtask::install::nginx().expect("nginx");
        let folder = tempfile::tempdir().expect("a folder");
        let port = || xtask::servers::free_port().expect("a free port");
        let (http, grpc) = (port(), port());
        let shipped = root().join("deploy/helm/anamnesis/files/gateway.conf");
        let side = |url: &str| url.trim_start_matches("http://").to_owned();
        let conf = std::fs::read_to_string(shipped)
            .expect("the gateway's settings")
            .replace("listen 8080;", &format!("listen 127.0.0.1:{http};"))
            .replace("listen 8081 http2;", &format!("listen 127.0.0.1:{grpc} http2;"))
            .replace(" command-api;", &format!(" {};", side(commands)))
            .replace(" query-api;", &format!(" {};", side(queries)))
            .replace("$side:8080", "$side")
            .replace("$grpc_side:8081", "$grpc_side");
        let path = folder.path().display();
        let whole = format!(
            "daemon off; user root; pid {path}/pid; error_log {path}/error.log;\n\
             events {{}}\nhttp {{ access_log off; client_body_temp_path {path}/a; proxy_temp_path {path}/b;\n\
             fastcgi_temp_path {path}/c; uwsgi_temp_path {path}/d; scgi_temp_path {path}/e;\n{conf}\n}}\n"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, whole).expect("the settings are written");
        let child = Command::new(nginx).arg("-c").arg(&file).stderr(Stdio::null()).spawn().expect("nginx starts");
        Self { child, http, grpc, _folder: folder }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers end with it when it is asked to.
        let id = self.child.id().to_string();
        drop(Command::new("kill").args(["-TERM", &id]).status());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn one_address_stands_before_both_sides_for_rest_and_grpc() {
    let system = System::apart().await;
    let (commands, queries) = (system.api.command_url().to_owned(), system.api.query_url().to_owned());
    let nginx = Nginx::start(&commands, &queries);
    let token = system.api.token().expect("a token").to_owned();
    let at = |port: u16| format!("http://127.0.0.1:{port}");
    let api = Api::new(vec![at(nginx.http)], vec![at(nginx.http)], token.clone());
    eventually("nginx answers", Duration::from_secs(30), async || api.get_raw_checked("/healthz").await).await;
    // REST: commands to one side, queries to the other.
    let clinic = Clinic::open(&api, Plan::default()).await;
    let patient = clinic.patient(Some(40)).await;
    api.until(&format!("/v1/patients/{patient}"), "registered", |_| true).await;
    // Uploads to the side of commands, as they come.
    crate::readings::sent_by_somebody(&clinic).await;
    // gRPC, through its own port: a command, and a query.
    let by_grpc = Api::new(vec![at(nginx.grpc)], vec![at(nginx.http)], token).by_grpc();
    let registered = by_grpc.post(&format!("/v1/patients/{}/register-patient", fresh()), json!({})).await.ok();
    assert!(registered["position"].as_u64() > Some(0), "{registered:#}");
    let channel = crate::rpc::channel(&at(nginx.grpc));
    let mut trials = proto::v1::trial_service_client::TrialServiceClient::new(channel);
    let asked = proto::v1::ListSitesRequest { trial_id: clinic.trial.to_string(), ..Default::default() };
    let sites = trials.list_sites(crate::rpc::call(asked, by_grpc.token())).await.expect("an answer");
    assert_eq!(sites.into_inner().sites.len(), 1);
}
