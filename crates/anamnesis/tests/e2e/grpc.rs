//! gRPC: what `proto/` says is what the server does, for whoever may see it, and for no longer than they wait.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use events::envelope::Role;
use futures::StreamExt as _;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use proto::v1::event_service_client::EventServiceClient;
use proto::v1::patient_service_client::PatientServiceClient;
use proto::v1::report_service_client::ReportServiceClient;
use proto::v1::trial_service_client::TrialServiceClient;
use proto::v1::{
    CheckEligibilityRequest, GetLatestReportRequest, GetPatientRequest, GetTrialProgressRequest,
    ListPatientsByTrialRequest, ListSitesRequest, SubscribeRequest, subscribe_response,
};
use serde_json::Value;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use testkit::eventually;
use testkit::place::Place;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Response, Status};
use tonic_prost::ProstCodec;
use xtask::process::output;
use xtask::tools::grpc_venv;

use crate::rpc::{call, channel, told};
use crate::stage::{Actor, PATIENCE, Stage};
use crate::system::System;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the source tree")
}

fn done(command: &mut Command) -> String {
    output(command).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn what_proto_says_is_in_good_style_and_breaks_nothing_that_was_kept() {
    let buf = grpc_venv().expect("Python's packages").join("buf");
    let (proto, home) = (root().join("proto"), TempDir::new().expect("a folder"));
    let buf = |words: &[&str]| done(Command::new(&buf).args(words).current_dir(&proto).env("HOME", home.path()));
    buf(&["lint"]);
    buf(&["format", "--diff", "--exit-code"]);
    for kept in std::fs::read_dir(proto.join("kept")).expect("kept contracts") {
        let kept = kept.expect("a file").path();
        buf(&["breaking", "--against", kept.to_str().expect("a path is text")]);
    }
}

/// The whole course of the outer contract with a client that is generated from `proto/`, on a port of its own and on that of
/// REST.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_grpcio_works() {
    let venv = grpc_venv().expect("Python's packages");
    let folder = TempDir::new().expect("a folder");
    let proto = root().join("proto");
    let sources =
        std::fs::read_dir(proto.join("anamnesis/v1")).expect("proto").map(|file| file.expect("a file").path());
    let mut generate = Command::new(venv.join("python"));
    generate.args(["-m", "grpc_tools.protoc", "--python_out=.", "--grpc_python_out=.", "--proto_path"]).arg(&proto);
    done(generate.args(sources).current_dir(folder.path()));
    let scenario = root().join("examples/clients/grpcio/scenario.py");
    for port in ["127.0.0.1:0", "same"] {
        let system = System::embedded_with(&["--grpc-listen", port]).await;
        for role in ["integration", "investigator"] {
            system.open_account("example-1", &["--role", role]);
        }
        let told = system.processes[0].told();
        let (_, address) = told.rsplit_once("grpc_listen=").expect("it tells where");
        let address = address.split_whitespace().next().expect("an address");
        let is_apart = !system.processes[0].url.ends_with(address);
        assert_eq!(is_apart, port != "same", "{address}");
        let mut run = Command::new(venv.join("python"));
        run.arg(&scenario).current_dir(folder.path()).env("PYTHONPATH", folder.path()).env("ANAMNESIS_GRPC", address);
        run.env("ANAMNESIS_TOKEN", system.token("example-1", &[]));
        assert_eq!(done(&mut run).trim(), "done");
    }
}

/// The paths of all methods that `proto/` defines.
fn methods() -> Vec<String> {
    let files = FileDescriptorSet::decode(proto::DESCRIPTORS).expect("descriptors");
    let services = files.file.iter().flat_map(|file| file.service.iter().map(|service| (file.package(), service)));
    let all = services.flat_map(|(package, service)| {
        service.method.iter().map(move |method| format!("/{package}.{}/{}", service.name(), method.name()))
    });
    all.collect()
}

#[tokio::test]
async fn no_method_answers_without_a_token() {
    let system = System::embedded_with(&[]).await;
    let channel = channel(&system.processes[0].url);
    let methods = methods();
    assert!(methods.len() >= 10, "{methods:?}");
    for (token, code) in [(None, Code::Unauthenticated), (Some("no.token.atall"), Code::Unauthenticated)] {
        for method in &methods {
            let mut grpc = Grpc::new(channel.clone());
            grpc.ready().await.expect("a connection");
            let path = PathAndQuery::try_from(method.as_str()).expect("a path");
            let answered: Result<Response<()>, Status> =
                grpc.unary(call((), token), path, ProstCodec::<(), ()>::default()).await;
            assert_eq!(answered.expect_err(method).code(), code, "{method}");
        }
    }
    // What does not exist is said of services to everybody, of methods to who is let in.
    let token = system.api.token();
    for (path, token) in [("/anamnesis.v1.Unknown/Ask", None), ("/anamnesis.v1.PatientService/Unknown", token)] {
        let mut grpc = Grpc::new(channel.clone());
        grpc.ready().await.expect("a connection");
        let path = PathAndQuery::from_static(path);
        let answered: Result<Response<()>, Status> =
            grpc.unary(call((), token), path, ProstCodec::<(), ()>::default()).await;
        assert_eq!(answered.expect_err("no such method").code(), Code::Unimplemented);
    }
    // What was tried is on record as over REST.
    let administrator = system.as_administrator();
    let are_recorded = |found: &Value| {
        let operations = found["items"].as_array().into_iter().flatten().filter_map(|item| item["operation"].as_str());
        operations.into_iter().any(|operation| operation.starts_with("anamnesis.v1."))
    };
    administrator.until("/v1/incidents?kind=authentication-failed", "recorded", are_recorded).await;
}

/// What a read is answered with, or refused for: the same by gRPC as by REST.
#[derive(Clone, Debug, PartialEq)]
enum Told {
    /// What identifies the answer.
    Found(Vec<String>),
    /// The status, and the problem.
    Refused(u16, String),
}

fn by_rest(status: u16, body: &Value, found: impl Fn(&Value) -> Vec<String>) -> Told {
    if (200..300).contains(&status) {
        return Told::Found(found(body));
    }
    Told::Refused(status, body["type"].as_str().unwrap_or_default().to_owned())
}

fn by_grpc<T>(answered: Result<Response<T>, Status>, found: impl Fn(&T) -> Vec<String>) -> Told {
    match answered {
        Ok(answered) => Told::Found(found(answered.get_ref())),
        Err(status) => {
            let told = told(&status);
            Told::Refused(told.status.as_u16(), told.body["type"].as_str().unwrap_or_default().to_owned())
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn texts(items: &Value, fields: &[&str]) -> Vec<String> {
    let items = items.as_array().into_iter().flatten();
    items.flat_map(|item| fields.iter().map(|field| text(&item[field])).collect::<Vec<_>>()).collect()
}

/// Every read about people at one place by somebody: by REST, and by gRPC.
async fn of_people(stage: &Stage, actor: &Actor, place: &Place) -> Vec<(Told, Told)> {
    let (token, channel) = (actor.api.token(), channel(&stage.system.processes[0].url));
    let (patient_id, trial_id) = (place.patient.to_string(), place.trial.to_string());
    let rest = async |path: String| actor.api.get(&path).await;
    let mut pairs = Vec::new();

    let asked =
        CheckEligibilityRequest { patient_id: patient_id.clone(), trial_id: trial_id.clone(), ..Default::default() };
    let answer = rest(format!("/v1/patients/{patient_id}/eligibility?trial_id={trial_id}")).await;
    let found = |body: &Value| [vec![text(&body["eligible"])], texts(&body["criteria"], &["code", "against"])].concat();
    let mut patients = PatientServiceClient::new(channel.clone());
    pairs.push((
        by_rest(answer.status.as_u16(), &answer.body, found),
        by_grpc(patients.check_eligibility(call(asked, token)).await, |answer| {
            let criteria = answer.criteria.iter().flat_map(|one| [one.code.clone(), one.against.to_string()]);
            std::iter::once(answer.eligible.to_string()).chain(criteria).collect()
        }),
    ));

    let asked = GetPatientRequest { patient_id: patient_id.clone(), ..Default::default() };
    let answer = rest(format!("/v1/patients/{patient_id}")).await;
    pairs.push((
        by_rest(answer.status.as_u16(), &answer.body, |body| {
            vec![text(&body["patient_id"]), text(&body["version"]), text(&body["site_id"])]
        }),
        by_grpc(patients.get_patient(call(asked, token)).await, |answer| {
            let patient = answer.patient.clone().expect("a patient");
            let site_id = patient.site_id.unwrap_or_else(|| "null".to_owned());
            vec![patient.patient_id, patient.standing.expect("a standing").version.to_string(), site_id]
        }),
    ));

    let asked = ListPatientsByTrialRequest { trial_id: trial_id.clone(), ..Default::default() };
    let answer = rest(format!("/v1/subjects?trial_id={trial_id}&sort=subject_number")).await;
    pairs.push((
        by_rest(answer.status.as_u16(), &answer.body, |body| texts(&body["items"], &["subject_id", "arm"])),
        by_grpc(patients.list_patients_by_trial(call(asked, token)).await, |answer| {
            let told = |arm: &Option<String>| arm.clone().unwrap_or_else(|| "null".to_owned());
            answer.subjects.iter().flat_map(|subject| [subject.subject_id.clone(), told(&subject.arm)]).collect()
        }),
    ));

    let asked = GetLatestReportRequest { patient_id: patient_id.clone(), ..Default::default() };
    let answer = rest(format!("/v1/reports?patient_id={patient_id}&sort=-completed_at&limit=1")).await;
    let by_grpc_told =
        by_grpc(ReportServiceClient::new(channel.clone()).get_latest_report(call(asked, token)).await, |answer| {
            vec![answer.report.clone().expect("a report").report_id]
        });
    // A list of none is nothing that could be got.
    let by_grpc_told = match by_grpc_told {
        Told::Refused(404, _) => Told::Found(Vec::new()),
        told => told,
    };
    let listed = by_rest(answer.status.as_u16(), &answer.body, |body| texts(&body["items"], &["report_id"]));
    pairs.push((listed, by_grpc_told));

    pairs
}

/// Every read about the trial and its sites.
async fn of_trials(stage: &Stage, actor: &Actor, place: &Place) -> Vec<(Told, Told)> {
    let (token, channel) = (actor.api.token(), channel(&stage.system.processes[0].url));
    let trial_id = place.trial.to_string();
    let rest = async |path: String| actor.api.get(&path).await;
    let mut pairs = Vec::new();

    let asked = GetTrialProgressRequest { trial_id: trial_id.clone(), ..Default::default() };
    let mut trials = TrialServiceClient::new(channel);
    let answer = rest(format!("/v1/trials/{trial_id}/enrolment")).await;
    pairs.push((
        by_rest(answer.status.as_u16(), &answer.body, |body| {
            [vec![text(&body["consented"])], texts(&body["by_site"], &["site"]), texts(&body["by_arm"], &["arm"])]
                .concat()
        }),
        by_grpc(trials.get_trial_progress(call(asked, token)).await, |answer| {
            let progress = answer.progress.clone().expect("figures");
            let sites = progress.by_site.into_iter().map(|figures| figures.site);
            let arms = progress.by_arm.into_iter().map(|figures| figures.arm);
            std::iter::once(progress.consented.to_string()).chain(sites).chain(arms).collect()
        }),
    ));

    let asked = ListSitesRequest { trial_id: trial_id.clone(), ..Default::default() };
    let answer = rest(format!("/v1/sites?trial_id={trial_id}&sort=site")).await;
    pairs.push((
        by_rest(answer.status.as_u16(), &answer.body, |body| texts(&body["items"], &["site_id"])),
        by_grpc(trials.list_sites(call(asked, token)).await, |answer| {
            answer.sites.iter().map(|site| site.site_id.clone()).collect()
        }),
    ));

    pairs
}

/// Compares every read of one place by somebody.
async fn compare(stage: &Stage, actor: &Actor, place: &Place) -> Vec<String> {
    let pairs = [of_people(stage, actor, place).await, of_trials(stage, actor, place).await].concat();
    let differing = pairs.iter().enumerate().filter(|(_, (rest, grpc))| rest != grpc);
    differing.map(|(number, pair)| format!("{} read {number}: {pair:?}", actor.username)).collect()
}

/// Positions that somebody hears of up to the head, from its beginning.
async fn heard(stage: &Stage, actor: &Actor, head: u64) -> Result<Vec<u64>, Told> {
    let mut events = EventServiceClient::new(channel(&stage.system.processes[0].url));
    let asked = SubscribeRequest { after: "0".to_owned(), ..Default::default() };
    let subscribed = events.subscribe(call(asked, actor.api.token())).await;
    let mut messages = match subscribed {
        Ok(messages) => messages.into_inner(),
        Err(status) => return Err(by_grpc::<()>(Err(status), |()| Vec::new())),
    };
    let mut positions = Vec::new();
    while let Ok(Some(Ok(message))) = tokio::time::timeout(Duration::from_secs(2), messages.next()).await {
        if let Some(subscribe_response::Message::Event(event)) = message.message {
            positions.push(event.position);
            if event.position >= head {
                break;
            }
        }
    }
    Ok(positions)
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_by_grpc_are_those_by_rest_for_everybody() {
    let stage = Stage::new(System::embedded_with(&[]).await).await;
    let actors = stage.actors().await;
    stage.settled().await;
    let mut wrong = Vec::new();
    for actor in &actors {
        for place in stage.places() {
            wrong.extend(compare(&stage, actor, place).await);
        }
    }
    assert!(wrong.is_empty(), "{} {wrong:#?}", wrong.len());
    // Of the stream it is told by the same place in the code: one who sees all and one who sees little.
    let patient = stage.own.patient;
    let history = stage.system.api.get(&format!("/v1/patients/{patient}/history?limit=1000")).await.ok();
    let head = history["position"].as_u64().expect("a position");
    for actor in actors.iter().filter(|actor| [Role::Auditor, Role::Participant].contains(&actor.role)) {
        let positions = heard(&stage, actor, head).await.expect("it is let in");
        assert!(positions.is_sorted() && !positions.is_empty(), "{} {positions:?}", actor.username);
        let all = actor.role == Role::Auditor && actor.username.ends_with("everywhere");
        assert_eq!(positions.len() as u64 >= head, all, "{} hears of {} of {head}", actor.username, positions.len());
    }
}

/// How many statements of requests the database works on.
async fn statements(looking: &mut PgConnection) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND state = 'active' AND query LIKE '%AS seen(id, kind, version)%'
               AND pid <> pg_backend_pid()";
    sqlx::query_scalar(sql).fetch_one(looking).await.expect("statistics")
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_gives_up_leaves_no_statement_running() {
    let system = System::on_postgres().await;
    let database = system.database.as_ref().expect("a database");
    let (api, url) = (system.api.clone(), system.processes[0].url.clone());
    let path = "/v1/patients/0190a000-0000-7000-8000-000000000001";
    // Who asks is known, and looked at again for every query.
    assert_eq!(api.get(path).await.status, 404);
    let mut looking = PgConnection::connect(&database.url).await.expect("a connection");
    let mut locking = PgConnection::connect(&database.url).await.expect("a connection");
    locking.execute("BEGIN; LOCK TABLE log.events IN ACCESS EXCLUSIVE MODE").await.expect("a lock");

    let late = api.get(&format!("{path}?timeout_ms=300")).await;
    late.refused(504, "deadline-exceeded");
    eventually("the statement is gone", PATIENCE, async || statements(&mut looking).await == 0).await;

    let asked =
        GetPatientRequest { patient_id: "0190a000-0000-7000-8000-000000000001".to_owned(), ..Default::default() };
    let mut patients = PatientServiceClient::new(channel(&url));
    let mut request = call(asked.clone(), api.token());
    request.set_timeout(Duration::from_millis(300));
    let refused = patients.get_patient(request).await.expect_err("it waits for the lock");
    assert!([Code::DeadlineExceeded, Code::Cancelled].contains(&refused.code()), "{refused:?}");
    eventually("the statement is gone", PATIENCE, async || statements(&mut looking).await == 0).await;

    // Who hangs up gives up, too.
    let token = api.token().map(str::to_owned);
    let waiting = tokio::spawn(async move { patients.get_patient(call(asked, token.as_deref())).await });
    eventually("the statement runs", PATIENCE, async || statements(&mut looking).await == 1).await;
    waiting.abort();
    eventually("the statement is gone", PATIENCE, async || statements(&mut looking).await == 0).await;
    let hanging = tokio::spawn(async move { api.get(path).await });
    eventually("the statement runs", PATIENCE, async || statements(&mut looking).await == 1).await;
    hanging.abort();
    eventually("the statement is gone", PATIENCE, async || statements(&mut looking).await == 0).await;
}
