//! Studies are imported over REST: one with faults, and the one in `examples/`, again and changed.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::system::{System, run};

/// Tables of a study of our own: two subjects let in, one not, and rows that cannot be taken.
const STUDY: [(&str, &str); 7] = [
    (
        "DM.csv",
        "STUDYID,USUBJID,SUBJID,SITEID,RFICDTC,SEX,ARMCD,ARM,COUNTRY\r\n\
         E2E-1,E2E-1-01,01,OSLO,2014-01-01,F,ACT,Active,NOR\r\n\
         E2E-1,E2E-1-02,02,OSLO,2014-01-02,M,PBO,Placebo,NOR\r\n\
         E2E-1,E2E-1-03,03,BERGEN,2014-01-03,M,SCRNFAIL,Screen Failure,NOR\r\n",
    ),
    (
        "ds.csv",
        "USUBJID,DSDECOD,DSCAT,DSSTDTC\n\
         E2E-1-01,RANDOMIZED,PROTOCOL MILESTONE,2014-01-05\n\
         E2E-1-01,COMPLETED,DISPOSITION EVENT,2014-06-05\n\
         E2E-1-02,RANDOMIZED,PROTOCOL MILESTONE,2014-01-06\n\
         E2E-1-02,LOST TO FOLLOW-UP,DISPOSITION EVENT,2014-02-01\n\
         E2E-1-03,SCREEN FAILURE,DISPOSITION EVENT,2014-01-04\n",
    ),
    ("sv.csv", "USUBJID,VISITNUM,VISIT,SVSTDTC\nE2E-1-01,1,SCREENING,2014-01-01\nE2E-1-09,1,SCREENING,2014-01-01\n"),
    (
        "ae.csv",
        "USUBJID,AESEQ,AEDECOD,AESEV,AESER,AESTDTC\nE2E-1-01,1,\"RASH,\nITCHING\",MILD,N,2014-02\nE2E-1-02,1,COUGH,,N,2014\n",
    ),
    (
        "qs.json",
        r#"{"datasetJSONVersion": "1.1.0", "name": "QS", "columns": [{"name": "USUBJID"}, {"name": "QSCAT"},
            {"name": "QSTESTCD"}, {"name": "QSSTRESN"}, {"name": "VISITNUM"}, {"name": "QSDTC"}],
            "rows": [["E2E-1-01", "MMSE", "MMITM01", 5, 1, "2014-01-01"], ["E2E-1-01", "MMSE", "MMITM02", 4, 1, null]]}"#,
    ),
    ("ta.csv", "ARMCD,ARM\nACT,Active\nPBO,Placebo\n"),
    ("ex.csv", "USUBJID\nE2E-1-01\n"),
];

#[tokio::test]
async fn a_study_with_faults_is_imported_and_again_adds_nothing() {
    let system = System::embedded().await;
    let folder = system.folder.path().join("study");
    std::fs::create_dir(&folder).expect("a folder");
    for (name, content) in STUDY {
        std::fs::write(folder.join(name), content).expect("written");
    }
    let (first, report) = import(&system, &folder);
    assert!(first.contains("total      16     14      0         2"), "{first}");
    assert!(first.contains("ex.csv: not imported, 1 rows"), "{first}");
    let rejected: Vec<&str> = report.lines().filter(|line| line.contains(",rejected,")).collect();
    assert_eq!(rejected.len(), 2, "{report}");
    assert!(rejected[0].starts_with("sv.csv,3,E2E-1-09,rejected,dm has no subject"), "{report}");
    assert!(rejected[1].starts_with("ae.csv,4,E2E-1-02,rejected,AESEV is empty"), "{report}");

    let trial = system.api.get("/v1/trials?protocol=E2E-1").await.ok();
    let trial = trial["items"][0]["trial_id"].as_str().expect("the trial").to_owned();
    let figures = system.api.get(&format!("/v1/trials/{trial}/enrolment")).await.ok();
    let figure = |name: &str| figures[name].as_u64();
    assert_eq!((figure("screened"), figure("screen_failed"), figure("randomised")), (Some(3), Some(1), Some(2)));
    assert_eq!((figure("completed"), &figures["discontinued"]["LOST TO FOLLOW-UP"]), (Some(1), &Value::from(1)));

    let (second, report_again) = import(&system, &folder);
    assert!(second.contains("events added: 0"), "{second}");
    assert_eq!(report_again, report);
    // The line that asks for more works as it is printed, wherever it is pasted.
    let more = second.lines().find(|line| line.trim().starts_with("curl ")).expect("a command").trim().to_owned();
    let asked =
        Command::new("sh").current_dir("/").args(["-c", &format!("{more} --silent --fail")]).output().expect("sh");
    let told: Value = serde_json::from_slice(&asked.stdout).unwrap_or_else(|error| panic!("{error}: {more}"));
    assert_eq!(told["protocol"], "E2E-1");

    let (url, data) = (&system.processes[0].url, system.folder.path().join("data"));
    let (path, data) = (folder.to_string_lossy(), data.to_string_lossy());
    let output = run(&["import", "sdtm", &path, "--url", url, "--data-dir", &data, "--json"], system.folder.path());
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&told["study"], &told["new_events"], &told["complete"]), (&"E2E-1".into(), &0.into(), &true.into()));
    assert!(told["files"].as_array().is_some_and(|files| files.iter().any(|file| file["file"] == "DM.csv")), "{told}");
}

/// Imports a folder; gives what was printed, and the report.
fn import(system: &System, folder: &Path) -> (String, String) {
    let report = system.folder.path().join("rejected.csv");
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let (folder, report_path) = (text(folder), text(&report));
    let data = text(&system.folder.path().join("data"));
    let url = &system.processes[0].url;
    let arguments = ["import", "sdtm", &folder, "--url", url, "--data-dir", &data, "--report", &report_path];
    let output = run(&arguments, system.folder.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (String::from_utf8_lossy(&output.stdout).into_owned(), std::fs::read_to_string(&report).expect("a report"))
}

#[tokio::test]
async fn the_example_is_imported_and_what_a_later_transfer_changes_is_corrected() {
    let system = System::embedded().await;
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/sdtm");
    let (first, _) = import(&system, &example);
    assert!(first.contains("screened 8, screen failures 2, enrolled 6, randomised 6, completed 2"), "{first}");
    let (again, _) = import(&system, &example);
    assert!(again.contains("events added: 0"), "{again}");

    let later = system.folder.path().join("later");
    std::fs::create_dir(&later).expect("a folder");
    for entry in std::fs::read_dir(&example).expect("the example") {
        let path = entry.expect("a file").path();
        std::fs::copy(&path, later.join(path.file_name().expect("a name"))).expect("copied");
    }
    change(&later.join("ae.csv"), "Headache,MILD", "Migraine,MILD");
    change(&later.join("ae.csv"), "Fatigue,MILD,N,", "Fatigue,MILD,Y,");
    change(&later.join("qsph.csv"), "PHQ0109,PHQ-9,Several days,1,1", "PHQ0109,PHQ-9,Not at all,0,0");
    change(&later.join("ds.csv"), "COMPLETED,COMPLETED", "Moved abroad,WITHDRAWAL BY SUBJECT");
    let (changed, _) = import(&system, &later);
    assert!(changed.contains("events added: 4\n"), "{changed}");
    assert!(changed.contains("an earlier transfer said otherwise: 4\n"), "{changed}");
    assert!(changed.contains("completed 1\n"), "{changed}");

    let trial = system.api.get("/v1/trials?protocol=ANM-DEMO-1").await.ok();
    let trial = trial["items"][0]["trial_id"].as_str().expect("the trial").to_owned();
    let events = system.api.get(&format!("/v1/adverse-events?trial_id={trial}&limit=100")).await.ok();
    let events = events["items"].as_array().expect("a list");
    let event = |term: &str| events.iter().find(|event| event["term"] == term).expect("an adverse event");
    assert_eq!(event("Migraine")["reported_term"], "head hurts in the morning");
    assert_eq!((events.len(), &event("Fatigue")["serious"]), (7, &Value::from(true)));
    let patient = event("Migraine")["patient_id"].as_str().expect("an id").to_owned();
    let history = system.api.get(&format!("/v1/patients/{patient}/history?limit=1000")).await.ok();
    let updated =
        history["items"].as_array().expect("a list").iter().find(|event| event["type"] == "AdverseEventUpdated");
    let updated = &updated.expect("the update")["payload"];
    assert_eq!((&updated["previous"]["term"], &updated["changes"]["term"]), (&"Headache".into(), &"Migraine".into()));
    let (last, _) = import(&system, &later);
    assert!(last.contains("events added: 0"), "{last}");
}

/// Replaces the first place of a text in a file.
fn change(path: &Path, old: &str, new: &str) {
    let text = std::fs::read_to_string(path).expect("a table");
    assert!(text.contains(old), "{old}");
    std::fs::write(path, text.replacen(old, new, 1)).expect("written");
}

#[tokio::test]
async fn where_it_cannot_go_on_the_import_ends_with_2() {
    let system = System::embedded().await;
    let url = &system.processes[0].url;
    let nowhere = system.folder.path().join("nowhere");
    let nowhere = nowhere.to_string_lossy();
    let data = system.folder.path().join("data");
    let data = data.to_string_lossy();
    let output = run(&["import", "sdtm", &nowhere, "--url", url, "--data-dir", &data], system.folder.path());
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    let empty = system.folder.path().to_string_lossy().into_owned();
    let output = run(&["import", "sdtm", &empty, "--url", url, "--data-dir", &data], system.folder.path());
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}
