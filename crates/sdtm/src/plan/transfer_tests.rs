//! A study that is transferred again: planned, carried out by the domain, planned once more.

use std::fmt::Write as _;

use domain::commands::AnyCommand;
use domain::safety::adverse_event::UpdateAdverseEvent;
use events::change::Change;
use serde_json::{Value, json};
use testkit::given::World;

use super::super::accounts::Accounts;
use super::super::source::Table;
use super::super::study::Collector;
use super::tests::{Rows, SUBJECT, TRIAL, collect};
use super::{Frame, Known, Step, plan_subject, plan_trial, reconcile};

/// A system into which studies are imported.
#[derive(Clone, Default)]
pub(super) struct System {
    world: World,
}

/// What a transfer did.
pub(super) struct Transferred {
    /// The commands about subjects that were sent, as name and body.
    sent: Vec<(&'static str, Value)>,
    /// What could not be carried over.
    pub(super) failures: Vec<String>,
    accounts: Accounts,
}

impl Transferred {
    pub(super) fn names(&self) -> Vec<&str> {
        self.sent.iter().map(|(name, _)| *name).collect()
    }

    #[track_caller]
    pub(super) fn body(&self, name: &str) -> &Value {
        let found = self.sent.iter().find(|(sent, _)| *sent == name);
        &found.unwrap_or_else(|| panic!("no {name} in {:?}", self.names())).1
    }

    pub(super) fn notes(&self) -> String {
        self.accounts.notes().iter().map(|remark| remark.text.clone()).collect::<Vec<_>>().join("\n")
    }
}

impl System {
    pub(super) fn transfer(&mut self, rows: &[(Table, String)]) -> Transferred {
        let all: Vec<(Table, &str)> = rows.iter().map(|(table, row)| (*table, row.as_str())).collect();
        let rows: Rows<'_> = &all;
        let Collector { mut study, mut accounts, .. } = collect(rows);
        let name = study.id.clone().expect("a study");
        let trial = plan_trial(&study, &name, &mut accounts);
        let is_new = self.world.streams().is_empty();
        for step in trial.steps.iter().filter(|_| is_new) {
            self.send(step).expect("a trial is set up");
        }
        let (mut sent, mut failures) = (Vec::new(), Vec::new());
        for rows in std::mem::take(&mut study.subjects).into_values() {
            let known = (!is_new).then(|| self.known(&trial.frame, &rows.demographics.subject));
            let plan = plan_subject(&trial.frame, rows, &mut accounts);
            let plan = match &known {
                Some(known) => reconcile(plan, known, &trial.frame, &mut accounts),
                None => plan,
            };
            failures.extend(plan.failures.into_values());
            for step in &plan.steps {
                match self.send(step) {
                    Ok(()) => {
                        let body = serde_json::from_slice(&step.request().body).expect("JSON");
                        sent.push((step.command.name(), body));
                    }
                    Err(reason) => failures.push(format!("{}: {reason}", step.command.name())),
                }
            }
        }
        Transferred { sent, failures, accounts }
    }

    fn send(&mut self, step: &Step) -> Result<(), String> {
        self.send_any(&step.command)
    }

    pub(super) fn send_any(&mut self, command: &AnyCommand) -> Result<(), String> {
        let outcome = self.world.when_any(command);
        let refused = outcome.result().as_ref().err().map(|refusal| format!("{refusal:?}"));
        self.world = outcome.then_either();
        refused.map_or(Ok(()), Err)
    }

    /// The only subject.
    pub(super) fn subject(&self) -> events::ids::SubjectId {
        let streams = self.world.streams().keys();
        let mut subjects = streams.filter(|stream| stream.kind == events::ids::StreamType::Subject);
        subjects.next().expect("a subject").id.into()
    }

    /// As the server tells a patient's history.
    fn known(&self, frame: &Frame, subject: &str) -> Known {
        let patient = frame.patient(subject);
        let mut lines = String::new();
        for (stream, events) in self.world.streams() {
            for (event, version) in
                events.iter().zip(1..).filter(|(event, _)| event.references.patient_id == Some(patient))
            {
                let payload: Value = serde_json::from_slice(&event.payload).expect("JSON");
                let mut line = json!({
                    "occurred_at": event.occurred_at, "type": event.event_type, "schema_version": event.schema_version,
                    "stream": stream, "version": version, "payload": payload,
                });
                let references = serde_json::to_value(event.references).expect("JSON");
                line.as_object_mut().expect("fields").extend(references.as_object().expect("fields").clone());
                writeln!(lines, "{line}").expect("text");
            }
        }
        Known::read(&lines, frame.trial_id).expect("a history")
    }
}

const AE: &str = "USUBJID=T1-S-01|AESEQ=1|AETERM=sore throat|AEDECOD=PHARYNGITIS|AESEV=MILD|AESER=N|AESTDTC=2014-02-03|AEENDTC=2014-02-09|AEOUT=RECOVERED/RESOLVED";
const OTHER_AE: &str =
    "USUBJID=T1-S-01|AESEQ=2|AETERM=cough|AEDECOD=COUGH|AESEV=MILD|AESER=N|AESTDTC=2014-02-20|AEENDTC=|AEOUT=UNKNOWN";
const END: &str = "USUBJID=T1-S-01|DSDECOD=COMPLETED|DSTERM=COMPLETED|DSCAT=DISPOSITION EVENT|DSSTDTC=2014-06-01";

pub(super) fn study() -> Vec<(Table, String)> {
    let first = format!("{SUBJECT}|BRTHDTC=1973-05");
    let rows = [
        (Table::Dm, first.as_str()),
        (Table::Ds, END),
        (Table::Ds, "USUBJID=T1-S-01|DSDECOD=RANDOMIZED|DSCAT=PROTOCOL MILESTONE|DSSTDTC=2014-01-05"),
        (Table::Sv, "USUBJID=T1-S-01|VISITNUM=1|VISIT=SCREENING|SVSTDTC=2014-01-01"),
        (Table::Sv, "USUBJID=T1-S-01|VISITNUM=2|VISIT=WEEK 4|SVSTDTC=2014-02-01"),
        (Table::Ae, AE),
        (Table::Ae, OTHER_AE),
        (Table::Qs, "USUBJID=T1-S-01|QSCAT=MMSE|QSTESTCD=MMITM01|QSSTRESN=5|VISITNUM=2|VISIT=WEEK 4|QSDTC=2014-02-01"),
        (Table::Qs, "USUBJID=T1-S-01|QSCAT=MMSE|QSTESTCD=MMITM02|QSSTRESN=4|VISITNUM=2|VISIT=WEEK 4|QSDTC=2014-02-01"),
        (Table::Vs, "USUBJID=T1-S-01|VSTESTCD=SYSBP|VSSTRESN=121|VSSTRESU=mmHg|VSDTC=2014-02-01"),
        (Table::Vs, "USUBJID=T1-S-01|VSTESTCD=DIABP|VSSTRESN=80|VSSTRESU=mmHg|VSDTC=2014-02-01"),
    ];
    TRIAL.iter().copied().chain(rows).map(|(table, row)| (table, row.to_owned())).collect()
}

/// The study with texts replaced in it, each once.
pub(super) fn changed(changes: &[(&str, &str)]) -> Vec<(Table, String)> {
    let mut rows = study();
    for (old, new) in changes {
        let place = rows.iter_mut().find(|(_, row)| row.contains(old));
        let (_, row) = place.unwrap_or_else(|| panic!("no row has {old}"));
        *row = row.replace(old, new);
    }
    rows
}

pub(super) fn imported() -> System {
    let mut system = System::default();
    let first = system.transfer(&study());
    assert_eq!(first.failures, [""; 0]);
    assert_eq!(first.sent.len(), 16, "{:?}", first.names());
    system
}

#[test]
fn the_same_transfer_again_changes_nothing() {
    let mut system = imported();
    for rows in
        [study(), changed(&[("AESEQ=1|", "AESEQ=1.0|"), ("VISITNUM=1|", "VISITNUM=1.0|"), ("SITEID=S", "SITEID= S ")])]
    {
        let again = system.transfer(&rows);
        assert_eq!((again.names(), again.failures.as_slice()), (vec![], [].as_slice()));
    }
}

#[test]
fn what_changed_is_corrected_with_the_reason_and_nothing_else() {
    let mut system = imported();
    let rows = changed(&[
        ("AEDECOD=PHARYNGITIS|AESEV=MILD|AESER=N", "AEDECOD=TONSILLITIS|AESEV=SEVERE|AESER=Y"),
        ("AEENDTC=2014-02-09|AEOUT=RECOVERED/RESOLVED", "AEENDTC=|AEOUT=FATAL"),
        ("MMITM02|QSSTRESN=4", "MMITM02|QSSTRESN=3"),
        (
            END,
            "USUBJID=T1-S-01|DSDECOD=WITHDRAWAL BY SUBJECT|DSTERM=CONSENT WITHDRAWN|DSCAT=DISPOSITION EVENT|DSSTDTC=2014-05-20",
        ),
        ("VISIT=WEEK 4|SVSTDTC=2014-02-01", "VISIT=WEEK FOUR|SVSTDTC=2014-02-04"),
        ("BRTHDTC=1973-05", "BRTHDTC=1973-06"),
        ("VSSTRESN=121", "VSSTRESN=112"),
    ]);
    let again = system.transfer(&rows);
    assert_eq!(again.failures, [""; 0]);
    let mut names = again.names();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "CorrectDemographics",
            "CorrectObservation",
            "CorrectReport",
            "CorrectSubjectEnd",
            "CorrectVisit",
            "UpdateAdverseEvent",
            "WithdrawConsent"
        ]
    );
    let update = again.body("UpdateAdverseEvent");
    let fields = ["term", "severity", "serious", "ended", "outcome", "reason", "historical"];
    assert_eq!(
        json!(fields.map(|field| update[field].clone())),
        json!(["TONSILLITIS", "severe", true, null, "FATAL", "Changed in a later transfer", true])
    );
    assert!(update.get("onset").is_none() && update.get("reported_term").is_none(), "{update}");
    assert_eq!(again.body("CorrectReport")["answers"], json!({"MMITM02": 3}));
    let end = again.body("CorrectSubjectEnd");
    assert_eq!(
        (&end["end"], &end["discontinuation_reason"]),
        (&json!("discontinued"), &json!("WITHDRAWAL BY SUBJECT"))
    );
    assert_eq!(again.body("CorrectVisit")["visit"], json!("WEEK FOUR"));
    assert_eq!(again.body("CorrectObservation")["value"], json!(112));
    assert_eq!(system.transfer(&rows).names(), [""; 0]);
}

#[test]
fn what_turns_out_to_have_begun_later_is_corrected() {
    let mut system = imported();
    let again = system.transfer(&changed(&[("AESTDTC=2014-02-20", "AESTDTC=2014-03-20")]));
    assert_eq!((again.names(), again.failures.as_slice()), (vec!["UpdateAdverseEvent"], [].as_slice()));
    assert_eq!(again.body("UpdateAdverseEvent")["onset"], json!("2014-03-20"));
}

#[test]
fn a_value_that_comes_back_is_corrected_back_as_a_command_of_its_own() {
    let mut system = imported();
    let other = changed(&[("AEDECOD=COUGH", "AEDECOD=COUGH VARIANT")]);
    let keys: Vec<_> = [&other, &study(), &other]
        .into_iter()
        .map(|rows| {
            let Collector { mut study, mut accounts, .. } =
                collect(&rows.iter().map(|(table, row)| (*table, row.as_str())).collect::<Vec<_>>());
            let name = study.id.clone().expect("a study");
            let trial = plan_trial(&study, &name, &mut accounts);
            let rows = std::mem::take(&mut study.subjects).into_values().next().expect("a subject");
            let known = system.known(&trial.frame, "T1-S-01");
            let plan = reconcile(plan_subject(&trial.frame, rows, &mut accounts), &known, &trial.frame, &mut accounts);
            let [step] = plan.steps.as_slice() else { panic!("{:?}", plan.steps) };
            system.send(step).expect("carried out");
            step.request().idempotency_key
        })
        .collect();
    assert!(keys[0] != keys[2], "sent again after something else, it is another command");
}

#[test]
fn what_the_site_corrected_since_is_not_undone_by_a_transfer_that_says_the_same_as_before() {
    let mut system = imported();
    let (stream, _) = system.world.events("AdverseEventReported")[0];
    let update = UpdateAdverseEvent {
        term: Change::to("LARYNGITIS".to_owned()),
        ..serde_json::from_value(json!({"reason": "the site's note"})).expect("a command")
    };
    system.send_any(&(events::ids::AdverseEventId::from(stream.id), update).into()).expect("carried out");
    assert_eq!(system.transfer(&study()).names(), [""; 0]);
}

#[test]
fn numbers_that_are_given_anew_do_not_mix_adverse_events_up() {
    let mut system = imported();
    let mut rows = changed(&[("AESEQ=2|", "AESEQ=3|")]);
    rows.push((Table::Ae, "USUBJID=T1-S-01|AESEQ=2|AETERM=cold|AEDECOD=NASOPHARYNGITIS|AESEV=MILD|AESER=N|AESTDTC=2014-02-11|AEENDTC=|AEOUT=UNKNOWN".to_owned()));
    let again = system.transfer(&rows);
    assert_eq!((again.names(), again.failures.as_slice()), (vec!["ReportAdverseEvent"], [].as_slice()));
    assert_eq!(again.body("ReportAdverseEvent")["term"], json!("NASOPHARYNGITIS"));
    assert_eq!(system.transfer(&rows).names(), [""; 0]);
}

#[test]
fn what_is_no_longer_there_is_named_and_kept() {
    let mut system = imported();
    let gone = ["AEDECOD=COUGH", "VISIT=SCREENING", "MMITM02", "DIABP", "DSDECOD=COMPLETED"];
    let mut rows = study();
    rows.retain(|(_, row)| !gone.iter().any(|gone| row.contains(gone)));
    let again = system.transfer(&rows);
    assert_eq!((again.names(), again.failures.as_slice()), (vec![], [].as_slice()));
    let notes = again.notes();
    for told in ["COUGH", "SCREENING of 2014-01-01", "MMITM02", "DIABP of 2014-02-01", "COMPLETED"] {
        assert!(notes.contains(told), "{told}: {notes}");
    }
    // A part of the study says nothing about the other tables.
    let only_dm: Vec<_> = rows.into_iter().filter(|(table, _)| *table == Table::Dm || *table == Table::Ta).collect();
    let again = system.transfer(&only_dm);
    assert!(!again.notes().contains("SYSBP") && !again.notes().contains("PHARYNGITIS"), "{}", again.notes());
}

#[test]
fn an_answer_that_was_taken_back_is_no_answer_any_more() {
    let mut system = imported();
    let again = system.transfer(&changed(&[("MMITM02|QSSTRESN=4", "MMITM02|QSSTAT=NOT DONE|QSSTRESN=")]));
    assert_eq!(again.names(), ["CorrectReport"]);
    assert_eq!(again.body("CorrectReport")["answers"], json!({"MMITM02": null}));
}

#[test]
fn what_no_command_can_change_is_told_with_both_values() {
    let mut system = imported();
    let mut rows = changed(&[("ARMCD=A|ARM=Active|COUNTRY", "ARMCD=B|ARM=Basic|COUNTRY")]);
    rows.push((Table::Ta, "STUDYID=T1|ARMCD=B|ARM=Basic".to_owned()));
    let again = system.transfer(&rows);
    assert_eq!(again.names(), [""; 0]);
    assert_eq!(again.failures, ["the subject was allocated to `A`, and now to `B`: it is kept"]);
    let again = system.transfer(&changed(&[("SITEID=S", "SITEID=OTHER")]));
    assert!(again.failures[0].contains("another site"), "{:?}", again.failures);
}

#[test]
fn whoever_is_new_in_a_later_transfer_is_taken_in() {
    let mut system = imported();
    let mut rows = study();
    rows.push((Table::Dm, SUBJECT.replace("-01|SUBJID=01", "-02|SUBJID=02")));
    rows.push((Table::Ds, "USUBJID=T1-S-02|DSDECOD=DEATH|DSCAT=DISPOSITION EVENT|DSSTDTC=2014-03-01".to_owned()));
    let again = system.transfer(&rows);
    assert_eq!(again.failures, [""; 0]);
    assert_eq!(again.names().last(), Some(&"DiscontinueSubject"));
    assert_eq!(again.sent.len(), 9, "{:?}", again.names());
}
