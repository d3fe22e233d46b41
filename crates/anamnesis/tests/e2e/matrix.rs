//! Role, scope and command: every cell over REST on both engines, as the matrix of duties says.

use authority::matrix;
use domain::commands::{COMMANDS, CommandSpec, Duty};
use events::access::account::Scope;
use events::envelope::Role;
use events::ids::StreamType;
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use testkit::place::Place;

use crate::api::Answer;
use crate::clinic::fresh;
use crate::stage::{Actor, Stage};
use crate::system::System;

/// Accounts that try at once.
const AT_ONCE: usize = 4;

/// What an answer is about, whatever the ids.
fn masked(answer: &Answer, places: &[&Place]) -> String {
    let part = |name: &str| answer.body[name].to_string();
    let mut text = format!("{} {} {} {}", answer.status, part("type"), part("detail"), part("errors"));
    for place in places {
        for spec in COMMANDS {
            text = text.replace(&place.of_kind(spec.target).to_string(), "…");
        }
    }
    text
}

/// Whether an answer is a refusal by this rule.
fn is_refused_by(answer: &Answer, rule: &str) -> bool {
    answer.status == 403 && answer.body["type"] == format!("urn:anamnesis:problem:{rule}")
}

/// Kinds of which something is at every place.
fn is_there(kind: StreamType) -> bool {
    !matches!(
        kind,
        StreamType::Notification
            | StreamType::Message
            | StreamType::Article
            | StreamType::Incident
            | StreamType::DeadLetter
    )
}

/// What is wrong with the answers to a command by somebody who has its duty.
async fn with_duty(stage: &Stage, actor: &Actor, spec: &'static CommandSpec) -> Vec<String> {
    let mut wrong = Vec::new();
    let absent = Place::new(fresh);
    let nowhere = stage.try_as(actor, &absent.spoken(spec.name)).await;
    for place in stage.places() {
        let answer = stage.try_as(actor, &place.spoken(spec.name)).await;
        let cell = format!("{} {} {}", actor.username, spec.name, masked(&answer, &[]));
        let is_of_all_sites = spec.target == StreamType::Trial && place.trial == stage.own.trial;
        if spec.target == StreamType::Article && actor.scope != Scope::Installation {
            // What everybody reads is nobody's in particular: whoever writes it holds the role everywhere. That it is there is no secret.
            if !is_refused_by(&answer, "out-of-scope") && ![404, 422].contains(&answer.status.as_u16()) {
                wrong.push(format!("of everybody: {cell}"));
            }
        } else if matches!(actor.scope, Scope::Site { .. }) && is_of_all_sites {
            // A trial as a whole is no site's to change.
            let is_refused = is_refused_by(&answer, "out-of-scope") || answer.status == 422 || answer.status == 400;
            if !is_refused {
                wrong.push(format!("a site's: {cell}"));
            }
        } else if actor.reaches(place) || (is_of_all_sites && matches!(actor.scope, Scope::Trial { .. })) {
            let has_account = spec.target != StreamType::Account || *place != stage.neighbour;
            let is_missing = answer.status == 404 && is_there(spec.target) && has_account;
            if answer.status == 403 || answer.status == 401 || is_missing || answer.status.is_server_error() {
                wrong.push(format!("within: {cell}"));
            }
        } else if spec.target != StreamType::Account {
            let is_same = masked(&answer, &[place]) == masked(&nowhere, &[&absent]);
            // An id that is taken is not given again, and who brings over records admits whom they know the id of.
            if !(is_same || spec.creates && answer.status.is_client_error()) {
                wrong.push(format!("outside: {cell} | {}", masked(&nowhere, &[])));
            }
        }
    }
    wrong
}

/// What is wrong with the answers to somebody.
async fn tried(stage: &Stage, actor: &Actor) -> (usize, Vec<String>) {
    let (mut cells, mut wrong) = (0, Vec::new());
    for spec in COMMANDS {
        cells += 1;
        if spec.is_sent() && matrix::has_duty(actor.role, spec.duty) {
            wrong.extend(with_duty(stage, actor, spec).await);
            continue;
        }
        let answer = stage.try_as(actor, &stage.own.spoken(spec.name)).await;
        // What only the program does has no address.
        let is_well = if spec.is_sent() { is_refused_by(&answer, "not-a-duty") } else { answer.status == 404 };
        if !is_well {
            wrong.push(format!("no duty: {} {} {}", actor.username, spec.name, masked(&answer, &[])));
        }
    }
    (cells, wrong)
}

async fn every_cell_of_the_matrix_of_commands(system: System) {
    let stage = Stage::new(system).await;
    let actors = stage.actors().await;
    let tried: Vec<_> =
        stream::iter(&actors).map(|actor| tried(&stage, actor)).buffer_unordered(AT_ONCE).collect().await;
    let cells: usize = tried.iter().map(|(cells, _)| cells).sum();
    let wrong: Vec<&String> = tried.iter().flat_map(|(_, wrong)| wrong).collect();
    assert!(wrong.is_empty(), "{} of {cells} {wrong:#?}", wrong.len());
    assert!(actors.len() > 20 && cells > 1_000, "{} {cells}", actors.len());
}

#[tokio::test]
async fn every_cell_of_the_matrix_of_commands_embedded() {
    every_cell_of_the_matrix_of_commands(System::embedded_with(&[]).await).await;
}

#[tokio::test]
async fn every_cell_of_the_matrix_of_commands_on_postgres() {
    every_cell_of_the_matrix_of_commands(System::on_postgres().await).await;
}

#[tokio::test]
async fn every_cell_of_the_matrix_of_commands_by_grpc() {
    let mut system = System::embedded_with(&[]).await;
    system.api = system.api.by_grpc();
    every_cell_of_the_matrix_of_commands(system).await;
}

/// R22 (ICH E6(R3), 3.16.1): the sponsor has no control over what participants and sites recorded.
#[tokio::test]
async fn r22_a_sponsor_writes_nothing_of_participants() {
    let stage = Stage::new(System::embedded_with(&[]).await).await;
    let trial = Scope::Trial { trial_id: stage.own.trial.into() };
    let history = format!("/v1/patients/{}/history", stage.own.patient);
    let before = stage.system.api.get(&history).await.ok()["items"].clone();
    for scope in [Scope::Installation, trial] {
        let sponsor = stage.actor(&format!("sponsor-{}", fresh()), Role::Sponsor, scope).await;
        let of_participants = |spec: &&CommandSpec| {
            [Duty::SiteWork, Duty::Participation, Duty::Safety, Duty::Allocation].contains(&spec.duty)
        };
        for spec in COMMANDS.iter().filter(|spec| spec.is_sent()).filter(of_participants) {
            let answer = stage.try_as(&sponsor, &stage.own.spoken(spec.name)).await;
            assert!(is_refused_by(&answer, "not-a-duty"), "{} {:#}", spec.name, answer.body);
        }
        // What they asked for, they still read.
        assert_eq!(
            sponsor.api.get(&history).await.ok()["items"].as_array().map(Vec::len),
            before.as_array().map(Vec::len)
        );
    }
    assert_eq!(stage.system.api.get(&history).await.ok()["items"], before);
    // The site does correct what it recorded, and the change names what it was.
    let scope = Scope::Site { trial_id: stage.own.trial.into(), site_id: stage.own.site.into() };
    let site = stage.actor("site", Role::Investigator, scope).await;
    let path = format!("/v1/reports/{}/correct-report", stage.own.report);
    let correction = json!({"answers": {"PHQ0101": 2}, "reason": "Misheard"});
    site.api.post(&path, correction).await.ok();
    let after = stage.system.api.get(&history).await.ok()["items"].clone();
    let corrected = after.as_array().and_then(|events| events.iter().find(|event| event["type"] == "ReportCorrected"));
    let corrected: &Value = corrected.expect("the correction");
    assert_eq!(corrected["actor"]["id"], "site");
    assert!(!corrected["changes"].as_array().expect("changes").is_empty(), "{corrected:#}");
}
