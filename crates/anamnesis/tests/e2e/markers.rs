//! What people are and write is nowhere in the clear: every command is spoken with marked words, and every byte that the
//! program, PostgreSQL and NATS keep is searched for the marks.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use authority::Area;
use domain::commands::COMMANDS;
use memchr::memmem;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use testkit::place::{Place, Spoken};

use crate::clinic::fresh;
use crate::stage::send;
use crate::system::System;

/// Bytes that are read at a time; marks are shorter by far.
const PIECE_BYTES: usize = 8 * 1024 * 1024;
/// Bytes that are looked at again with the next piece.
const OVERLAP_BYTES: usize = 256;
/// Words of clinical commands that are coded terms of a list, and looked for.
const CODED: [&str; 4] = ["term", "reason", "relatedness", "outcome"];

/// Marks that nothing else has.
struct Marks {
    personal: String,
    digits: String,
    born: String,
    arm: String,
    control: String,
}

impl Marks {
    fn new() -> Self {
        let id = fresh().simple().to_string();
        let number = fresh().as_u128();
        Self {
            personal: format!("Zqx{}", &id[20..]),
            digits: format!("{:011}", number % 100_000_000_000),
            // Not a day that occurs by itself: of one of ten thousand years, as far as it may be kept.
            born: format!("{}-0{}-1{}", 1903 + number % 7, 1 + number % 9, number % 10),
            arm: format!("ARM{}", &id[24..]),
            control: format!("Ctl{}", &id[20..]),
        }
    }

    /// The command, with marks wherever somebody writes or is described.
    fn mark(&self, spoken: &mut Spoken) {
        let area = Area::of(spoken.spec.target);
        if matches!(area, Area::Clinical | Area::Access) {
            self.mark_words(&mut spoken.body, "");
        }
        let body = &mut spoken.body;
        match spoken.spec.name {
            "RegisterPatient" | "CorrectDemographics" => {
                let is_new = spoken.spec.name == "RegisterPatient";
                let name = if is_new { "Markerud" } else { "Markerup" };
                body["name"] = json!(format!("{} {name}", self.personal));
                body["mobile"] = json!(format!("+47{}", &self.digits[..8]));
                body["birth_date"] = json!(self.born);
                body["national_id"] = json!(self.digits);
            }
            "AdmitPatient" => body["national_id"] = json!(self.digits),
            "RegisterAccount" => body["printed_name"] = json!(format!("{} Doctor", self.personal)),
            "AddArm" => body["code"] = json!(self.arm),
            "RandomiseSubject" => body["arm"] = json!(self.arm),
            "RegisterSite" => body["name"] = json!(format!("{} Hospital", self.control)),
            _ => {}
        }
    }

    /// Marks whatever reads as prose.
    fn mark_words(&self, value: &mut Value, name: &str) {
        match value {
            Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| self.mark_words(value, name)),
            Value::Array(values) => values.iter_mut().for_each(|value| self.mark_words(value, name)),
            Value::String(text) => {
                let is_prose = text.contains(' ') && text.chars().any(|character| character.is_ascii_lowercase());
                let is_coded = CODED.contains(&name) && !text.ends_with('.') && text.len() < 24;
                if is_prose && !is_coded {
                    *text = format!("{} {text}", self.personal);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn people(&self) -> [&str; 3] {
        [&self.personal, &self.digits, &self.born]
    }

    /// That somebody was allocated, as the event and the view of subjects would tell it. Which arms there are is no secret.
    fn allocation(&self) -> [String; 2] {
        [format!("{{\"arm\":\"{}\"}}", self.arm), format!("\"arm\":\"{}\",\"disc", self.arm)]
    }
}

/// Speaks every command that there is, marked; tells how many there were to whom words could be said.
async fn speak(system: &System, marks: &Marks) -> Place {
    let mut place = Place::new(fresh);
    let mut spoken = place.opening();
    spoken.extend(place.populating());
    for mut spoken in spoken {
        marks.mark(&mut spoken);
        let answer = send(&system.api, &spoken).await;
        assert!(answer.status.is_success(), "{}: {:#}", spoken.spec.name, answer.body);
    }
    let mut randomise = place.spoken("RandomiseSubject");
    marks.mark(&mut randomise);
    send(&system.api, &randomise).await.ok();
    let path = format!("/v1/alerts?patient_id={}", place.patient);
    let alerts = system.api.until(&path, "raised", |alerts| alerts["items"].get(0).is_some()).await;
    place.alert = alerts["items"][0]["alert_id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    let mut diary = place.body("DefineQuestionnaire");
    let words = json!({"code": "WORDS", "text": "What else?", "answers": {"kind": "text", "length_max": 500}});
    diary["questionnaire"]["definition"]["items"].as_array_mut().expect("items").push(words);
    system.api.post(&format!("/v1/trials/{}/define-questionnaire", place.trial), diary).await.ok();
    let answers = json!({"MOOD": 5, "WORDS": format!("{} kept me awake", marks.personal)});
    let report = json!({"subject_id": place.subject(), "instrument": "DIARY", "answers": answers});
    system.api.post(&format!("/v1/reports/{}/submit-report", fresh()), report).await.ok();
    // Whatever comes of it: what is refused must leave no trace either.
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    for spec in COMMANDS {
        let mut spoken = place.spoken(spec.name);
        marks.mark(&mut spoken);
        let answer = send(&system.api, &spoken).await;
        if answer.status.is_success() {
            taken.push(spec.name);
        } else {
            refused.push(format!("{}: {}", spec.name, answer.body));
        }
    }
    for expected in
        ["CorrectDemographics", "AcknowledgeAlert", "CorrectReport", "UpdateAdverseEvent", "WithdrawConsent"]
    {
        assert!(taken.contains(&expected), "{expected} was to be taken: {refused:#?}");
    }
    place
}

/// Reads what was said, so that whatever is kept for reading is there.
async fn listen(system: &System, marks: &Marks, place: &Place) {
    let purpose = format!("{} wants to know", marks.personal);
    let path = format!("/v1/patients/{}/history?unmasked=true", place.patient);
    let request = system.api.request(reqwest::Method::GET, &path).header("anamnesis-purpose", &purpose);
    let told = request.send().await.expect("an answer").text().await.expect("a body");
    for mark in marks.people() {
        assert!(told.contains(mark), "{mark} is told to whom it is shown: {told}");
    }
    let masked = system.api.get(&format!("/v1/patients/{}/history", place.patient)).await.ok().to_string();
    assert!(!masked.contains(&marks.digits) && !masked.contains(&marks.born), "{masked}");
    assert!(masked.contains(&marks.personal), "what was written is shown to whom it was written for: {masked}");
    // Who may see it is shown to what the subject was allocated, and how many were.
    let unblinded = system.as_role("unblinded-statistician");
    let subjects = format!("/v1/subjects?trial_id={}", place.trial);
    unblinded.until(&subjects, "the arm is told", |page| page["items"][0]["arm"] == *marks.arm).await;
    let counted = |trial: &Value| trial["by_arm"][0]["randomised"] == 1;
    unblinded.until(&format!("/v1/trials/{}", place.trial), "the arm is counted", counted).await;
    let blinded = system.as_role("monitor").get(&subjects).await.ok();
    assert!(blinded["items"][0]["subject_number"].is_string() && blinded["items"][0].get("arm").is_none(), "{blinded}");
    let seen = |alerts: &Value| alerts["items"][0]["notes"].to_string().contains(&marks.personal);
    system.api.until(&format!("/v1/alerts?patient_id={}", place.patient), "a note is there", seen).await;
    let listed = |page: &Value| page["items"].to_string().contains(&marks.personal);
    system.api.until(&format!("/v1/disclosures?patient_id={}", place.patient), "it is listed why", listed).await;
}

/// The files below a folder that hold one of the marks, with the mark.
fn found(folder: &Path, marks: &[&str]) -> Vec<(PathBuf, String)> {
    let finders: Vec<_> = marks.iter().map(|mark| (memmem::Finder::new(mark.as_bytes()), *mark)).collect();
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    let mut piece = vec![0; PIECE_BYTES];
    while let Some(folder) = folders.pop() {
        // Others' files may go away meanwhile.
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
                continue;
            }
            let Ok(mut file) = std::fs::File::open(&path) else { continue };
            let mut kept = 0;
            while let Ok(read @ 1..) = file.read(&mut piece[kept..]) {
                let end = kept + read;
                for (finder, mark) in &finders {
                    if finder.find(&piece[..end]).is_some() {
                        found.push((path.clone(), (*mark).to_owned()));
                    }
                }
                kept = end.min(OVERLAP_BYTES);
                piece.copy_within(end - kept..end, 0);
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

fn nowhere(folders: &[PathBuf], marks: &Marks) {
    let allocation = marks.allocation();
    let all: Vec<&str> = marks.people().into_iter().chain(allocation.iter().map(String::as_str)).collect();
    for folder in folders {
        for control in [&marks.control, &marks.arm] {
            assert!(!found(folder, &[control]).is_empty(), "{} was searched in vain", folder.display());
        }
        let found = found(folder, &all);
        assert!(found.is_empty(), "in the clear: {found:#?}");
    }
}

#[tokio::test]
async fn nothing_of_people_is_in_the_clear_on_the_embedded_engine() {
    let marks = Marks::new();
    let mut system = System::embedded_with(&["--log", "debug"]).await;
    let place = speak(&system, &marks).await;
    listen(&system, &marks, &place).await;
    nowhere(&[system.folder.path().to_owned()], &marks);
    // Also what is written at the end, and when it begins again.
    system.processes[0].terminate().await;
    nowhere(&[system.folder.path().to_owned()], &marks);
    system.processes[0].restart().await;
    listen(&system, &marks, &place).await;
    nowhere(&[system.folder.path().to_owned()], &marks);
}

#[tokio::test]
async fn nothing_of_people_is_in_the_clear_on_postgres_and_nats() {
    let marks = Marks::new();
    let system = System::on_postgres().await;
    let place = speak(&system, &marks).await;
    listen(&system, &marks, &place).await;
    let url = &system.database.as_ref().expect("a database").url;
    let mut connection = PgConnection::connect(url).await.expect("a connection");
    let data: String =
        sqlx::query_scalar("SHOW data_directory").fetch_one(&mut connection).await.expect("where the data are");
    sqlx::query("CHECKPOINT").execute(&mut connection).await.expect("it is on the disk");
    let nats = system.nats.as_ref().expect("a server").store();
    let logs = found(system.folder.path(), &marks.people());
    assert!(logs.is_empty(), "in the clear: {logs:#?}");
    nowhere(&[PathBuf::from(data), nats], &marks);
}
