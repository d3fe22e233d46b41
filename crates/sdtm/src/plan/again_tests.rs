//! What a later transfer must not do: undo, swap or make up.

use domain::commands::AnyCommand;
use domain::enrolment::subject::CorrectSubjectEnd;
use events::change::Change;
use events::enrolment::subject::SubjectEnd;
use serde_json::json;

use super::super::source::Table;
use super::tests::{SUBJECT, planned};
use super::transfer_tests::{System, changed, imported, study};

/// The study of `changed`, with rows of a table replaced by these.
fn with_rows(table: Table, rows: &[&str]) -> Vec<(Table, String)> {
    let others = study().into_iter().filter(|(of, _)| *of != table);
    others.chain(rows.iter().map(|row| (table, (*row).to_owned()))).collect()
}

fn event(number: u32, term: &str, more: &str) -> String {
    format!("USUBJID=T1-S-01|AESEQ={number}|AETERM={term}|AEDECOD={term}|AESTDTC=2014-02-20|{more}")
}

#[test]
fn numbers_that_are_given_anew_swap_no_events() {
    let (mild, severe) = ("AESEV=MILD|AESER=N", "AESEV=SEVERE|AESER=Y");
    let events = |of: [(u32, &str, &str); 2]| of.map(|(number, term, more)| event(number, term, more));
    let first = events([(1, "HEADACHE", mild), (2, "SEPSIS", severe)]);
    let mut system = System::default();
    assert_eq!(system.transfer(&with_rows(Table::Ae, &[&first[0], &first[1]])).failures, [""; 0]);
    let swapped = events([(1, "SEPSIS", severe), (2, "HEADACHE", mild)]);
    let again = system.transfer(&with_rows(Table::Ae, &[&swapped[0], &swapped[1]]));
    assert_eq!(again.names(), [""; 0]);
}

#[test]
fn what_a_row_does_not_tell_takes_nothing_away() {
    let mut system = imported();
    let serious = changed(&[("AEDECOD=PHARYNGITIS|AESEV=MILD|AESER=N", "AEDECOD=PHARYNGITIS|AESEV=MILD|AESER=Y")]);
    assert_eq!(system.transfer(&serious).names(), ["UpdateAdverseEvent"]);
    for silent in [
        changed(&[("AEDECOD=PHARYNGITIS|AESEV=MILD|AESER=N", "AEDECOD=PHARYNGITIS|AESEV=MILD|AESER=NA")]),
        changed(&[("AEDECOD=PHARYNGITIS|AESEV=MILD|AESER=N", "AEDECOD=|AESEV=MILD|AESER=Y")]),
        changed(&[
            ("AESER=N|AESTDTC=2014-02-03", "AESTDTC=2014-02-03"),
            ("VISITNUM=2|VISIT=WEEK 4|SV", "VISITNUM=2|SV"),
        ]),
    ] {
        assert_eq!(system.transfer(&silent).names(), [""; 0]);
    }
}

/// What the site corrected stays where the transfer changes another field.
#[test]
fn the_sites_corrections_stay_field_by_field() {
    let mut system = imported();
    let subject = system.subject();
    let correct = CorrectSubjectEnd {
        end: Change::to(SubjectEnd::Discontinued),
        discontinuation_reason: Change::to("ADVERSE EVENT".to_owned()),
        detail: Default::default(),
        ended_at: domain::When::NOW,
        reason: "the site knows better".to_owned(),
        occurred_at: domain::When::NOW,
    };
    system.send_any(&AnyCommand::from((subject, correct))).expect("it is corrected");
    let moved =
        changed(&[("DSCAT=DISPOSITION EVENT|DSSTDTC=2014-06-01", "DSCAT=DISPOSITION EVENT|DSSTDTC=2014-06-02")]);
    let again = system.transfer(&moved);
    assert_eq!(again.names(), ["CorrectSubjectEnd"]);
    let body = again.body("CorrectSubjectEnd");
    assert_eq!((body.get("end"), body.get("discontinuation_reason")), (None, None), "{body}");
    assert_eq!(body["ended_at"], "2014-06-02T00:00:00Z");
}

#[test]
fn a_form_whose_date_or_visit_is_corrected_is_the_same_form() {
    let mut system = imported();
    let moved = |rows: &mut Vec<(Table, String)>, from: &str, to: &str| {
        rows.iter_mut().filter(|(table, _)| *table == Table::Qs).for_each(|(_, row)| *row = row.replace(from, to));
    };
    let mut rows = study();
    moved(&mut rows, "QSDTC=2014-02-01", "QSDTC=2014-02-02");
    let again = system.transfer(&rows);
    assert_eq!(again.names(), ["CorrectReport"]);
    let body = again.body("CorrectReport");
    assert_eq!((&body["completed_at"], body.get("answers")), (&json!("2014-02-02T00:00:00Z"), None));
    assert_eq!(system.transfer(&rows).names(), [""; 0]);
    moved(&mut rows, "VISIT=WEEK 4|", "VISIT=WEEK FOUR|");
    let again = system.transfer(&rows);
    assert_eq!(again.names(), ["CorrectReport"]);
    assert_eq!(again.body("CorrectReport")["visit"], "WEEK FOUR");
    assert_eq!(system.transfer(&rows).names(), [""; 0]);
}

#[test]
fn what_is_new_is_added_and_what_looks_the_same_is_the_same() {
    let mut system = imported();
    let second = SUBJECT.replace("-01|SUBJID=01|SITEID=S", "-02|SUBJID=02|SITEID=s");
    let mut rows = study();
    rows.push((Table::Dm, second));
    rows.push((Table::Ae, "USUBJID=t1-s-02|AESEQ=1|AEDECOD=RASH|AESEV=MILD|AESER=N|AESTDTC=2014-02-03".to_owned()));
    let again = system.transfer(&rows);
    assert_eq!(again.failures, [""; 0]);
    assert!(again.names().contains(&"RandomiseSubject") && again.names().contains(&"ReportAdverseEvent"));
    assert_eq!(system.transfer(&changed(&[("SITEID=S", "SITEID=s")])).failures, [""; 0]);
}

#[test]
fn what_is_told_no_more_is_named() {
    let mut system = imported();
    let without_arm = changed(&[
        ("ARMCD=A|ARM=Active|COUNTRY", "ARMCD=NOTASSGN|ARM=Not Assigned|COUNTRY"),
        ("DSDECOD=RANDOMIZED", "DSDECOD=OTHER"),
    ]);
    let again = system.transfer(&without_arm);
    assert!(again.notes().contains("the subject was allocated: this transfer does not tell it"), "{}", again.notes());
}

#[test]
fn an_end_is_made_of_what_is_one() {
    let ends = |row: &str, more: &str| {
        let row = format!("USUBJID=T1-S-01|DSSTDTC=2014-03-01|{row}");
        let subject = format!("{SUBJECT}{more}");
        let planned = planned(&[(Table::Dm, &subject), (Table::Ds, &row)]);
        let told = planned.subject();
        let notes: Vec<String> = planned.accounts.notes().iter().map(|note| note.text.clone()).collect();
        planned.accounted_for();
        let end = |name: &str| told.lines().any(|line| line.starts_with(name));
        (end("CompleteSubject"), end("DiscontinueSubject"), end("WithdrawConsent"), notes.join("\n"))
    };
    let is = |row: &str, completed: bool, left: bool, withdrew: bool| {
        let (was_completed, has_left, has_withdrawn, _) = ends(row, "");
        assert_eq!((was_completed, has_left, has_withdrawn), (completed, left, withdrew), "{row}");
    };
    is("DSCAT=DISPOSITION EVENT|DSDECOD=COMPLETED|EPOCH=TREATMENT", true, false, false);
    is("DSCAT=DISPOSITION EVENT|DSDECOD=COMPLETED|EPOCH=SCREENING", false, false, false);
    is("DSCAT=DISPOSITION EVENT|DSDECOD=COMPLETED STUDY", true, false, false);
    is("DSCAT=NA|DSDECOD=FINAL LAB VISIT", false, false, false);
    is("DSDECOD=LOST TO FOLLOW-UP", false, true, false);
    let part = "DSCAT=OTHER EVENT|DSDECOD=OTHER|DSTERM=WITHDREW CONSENT FOR OPTIONAL GENETIC SAMPLING";
    is(part, false, false, false);
    let (_, left, withdrew, _) =
        ends("DSCAT=DISPOSITION EVENT|DSDECOD=WITHDRAWAL BY SUBJECT|DSTERM=WITHDREW CONSENT TO STUDY TREATMENT", "");
    assert_eq!((left, withdrew), (true, false));
    let (_, left, _, notes) = ends("DSCAT=DISPOSITION EVENT|DSDECOD=ADVERSE EVENT", "|DTHFL=YES|DTHDTC=2014-03-12");
    assert!(left && notes.contains("dm tells of a death"), "{notes}");
}

#[test]
fn a_stray_code_takes_no_scores_away() {
    let answer = |code: &str| {
        format!("USUBJID=T1-S-01|QSCAT=PHQ-9|QSTESTCD={code}|QSSTRESN=1|VISITNUM=1|VISIT=V|QSDTC=2014-01-02")
    };
    let codes = (1..=9).map(|number| format!("PHQ010{number}")).chain(["PHQ0199".to_owned()]);
    let rows: Vec<String> = codes.map(|code| answer(&code)).collect();
    let mut all = vec![(Table::Dm, SUBJECT)];
    all.extend(rows.iter().map(|row| (Table::Qs, row.as_str())));
    let planned = planned(&all);
    assert!(planned.trial.contains(r#""instrument":"PHQ-9""#) && !planned.trial.contains("sdtm-"), "{}", planned.trial);
    assert_eq!(planned.rejected(), [(18, "`PHQ0199` of PHQ-9: no item of it")]);
}

#[test]
fn two_visits_of_one_number_and_day_are_told_apart_by_nobody() {
    let planned = planned(&[
        (Table::Dm, SUBJECT),
        (Table::Sv, "USUBJID=T1-S-01|VISITNUM=3|VISIT=WEEK 2|SVSTDTC=2014-01-15"),
        (Table::Sv, "USUBJID=T1-S-01|VISITNUM=3|VISIT=WEEK TWO|SVSTDTC=2014-01-15"),
    ]);
    assert_eq!(planned.names().iter().filter(|name| **name == "RecordVisit").count(), 1);
    assert!(planned.rejected()[0].1.contains("under another name"), "{:?}", planned.rejected());
}
