//! Plans of small studies.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::super::accounts::Accounts;
use super::super::source::testing::with_row;
use super::super::source::{Read, Table};
use super::super::study::Collector;
use super::{Step, SubjectPlan, plan_subject, plan_trial};

/// Rows of tables as `COLUMN=cell|COLUMN=cell`, one a line.
pub type Rows<'rows> = &'rows [(Table, &'rows str)];

pub fn collect(rows: Rows<'_>) -> Collector {
    let mut collector = Collector::default();
    for ((table, row), line) in rows.iter().zip(2..) {
        let cells: Vec<(&str, &str)> = row.split('|').filter_map(|cell| cell.split_once('=')).collect();
        with_row(line, &cells, |row| collector.take(*table, 0, Read::Row(row)));
        let names = cells.iter().map(|(name, _)| (*name).to_owned());
        collector.study.columns.entry(*table).or_default().extend(names);
    }
    collector
}

pub struct Planned {
    pub trial: String,
    subjects: Vec<SubjectPlan>,
    pub accounts: Accounts,
}

fn plan(rows: Rows<'_>) -> Planned {
    let Collector { mut study, mut accounts, .. } = collect(rows);
    let name = study.id.clone().expect("a study");
    let trial = plan_trial(&study, &name, &mut accounts);
    let subjects = std::mem::take(&mut study.subjects);
    let subjects = subjects.into_values().map(|rows| plan_subject(&trial.frame, rows, &mut accounts)).collect();
    for row in &trial.rows {
        accounts.take(*row);
    }
    let trial = told(&trial.steps);
    Planned { trial, subjects, accounts }
}

impl Planned {
    pub fn subject(&self) -> String {
        told(self.subjects.iter().flat_map(|plan| &plan.steps))
    }

    pub fn rejected(&self) -> Vec<(u64, &str)> {
        self.accounts.rejected().iter().map(|remark| (remark.row.line, remark.text.as_str())).collect()
    }

    pub fn noted(&self) -> Vec<(u64, &str)> {
        self.accounts.left_out().iter().map(|remark| (remark.row.line, remark.text.as_str())).collect()
    }

    pub fn names(&self) -> Vec<&str> {
        self.subjects.iter().flat_map(|plan| &plan.steps).map(|step| step.command.name()).collect()
    }

    /// Every row that was read is planned or rejected, and none is both.
    #[track_caller]
    pub fn accounted_for(self) {
        let Planned { subjects, mut accounts, .. } = self;
        for row in subjects.iter().flat_map(|plan| &plan.rows) {
            accounts.take(*row);
        }
        assert_eq!(accounts.rows_settled(), accounts.rows_read(), "{accounts:#?}");
    }
}

/// Commands without ids, which are derived and say nothing to a reader, and without what is not given.
fn told<'step>(steps: impl IntoIterator<Item = &'step Step>) -> String {
    let mut text = String::new();
    for request in steps.into_iter().map(Step::request) {
        let mut body: serde_json::Value = serde_json::from_slice(&request.body).expect("JSON");
        let fields = body.as_object_mut().expect("fields");
        fields.retain(|name, value| !name.ends_with("_id") && !value.is_null());
        writeln!(text, "{} {body}", request.name).expect("text");
    }
    text
}

pub const TRIAL: [(Table, &str); 6] = [
    (Table::Ts, "STUDYID=T1|TSPARMCD=TITLE|TSVAL=A small trial"),
    (Table::Ts, "STUDYID=T1|TSPARMCD=TBLIND|TSVAL=OPEN LABEL"),
    (Table::Ts, "STUDYID=T1|TSPARMCD=PLANSUB|TSVAL=20"),
    (Table::Ta, "STUDYID=T1|ARMCD=A|ARM=Active|TAETORD=1"),
    (Table::Ti, "STUDYID=T1|IETESTCD=INCL01|IETEST=Adult|IECAT=INCLUSION"),
    (Table::Ti, "STUDYID=T1|IETESTCD=EXCL01|IETEST=Pregnant|IECAT=EXCLUSION"),
];

fn with(rows: Rows<'_>) -> Vec<(Table, String)> {
    TRIAL.iter().chain(rows).map(|(table, row)| (*table, (*row).to_owned())).collect()
}

pub fn planned(rows: Rows<'_>) -> Planned {
    let all = with(rows);
    plan(&all.iter().map(|(table, row)| (*table, row.as_str())).collect::<Vec<_>>())
}

/// A subject at line 8, whose ids are easy to read.
pub const SUBJECT: &str = "STUDYID=T1|USUBJID=T1-S-01|SUBJID=01|SITEID=S|SEX=F|AGE=40|AGEU=YEARS|RFICDTC=2014-01-01|ARMCD=A|ARM=Active|COUNTRY=NOR";

#[test]
fn the_trial_of_a_small_study() {
    let planned = planned(&[
        (Table::Dm, SUBJECT),
        (Table::Qs, "USUBJID=T1-S-01|QSCAT=WELL|QSTESTCD=W1|QSSTRESN=3|VISITNUM=1|QSDTC=2014-01-02"),
    ]);
    insta::assert_snapshot!(planned.trial);
}

#[test]
fn the_commands_of_a_small_study_in_their_order() {
    let planned = planned(&[
        (Table::Dm, SUBJECT),
        (Table::Ds, "USUBJID=T1-S-01|DSDECOD=COMPLETED|DSCAT=DISPOSITION EVENT|DSSTDTC=2014-06-01"),
        (Table::Ds, "USUBJID=T1-S-01|DSDECOD=RANDOMIZED|DSCAT=PROTOCOL MILESTONE|DSSTDTC=2014-01-05"),
        (Table::Sv, "USUBJID=T1-S-01|VISITNUM=3.1|VISIT=UNSCHEDULED 3.1|SVSTDTC=2014-02"),
        (Table::Sv, "USUBJID=T1-S-01|VISITNUM=1|VISIT=SCREENING|SVSTDTC=2014-01-01"),
        (Table::Ae, "USUBJID=T1-S-01|AESEQ=1|AEDECOD=RASH|AESEV=mild|AESER=N|AESTDTC=2013|AEDTC=2014-03-01"),
        (
            Table::Qs,
            "USUBJID=T1-S-01|QSCAT=MMSE|QSTESTCD=MMITM01|QSSTRESN=5|VISITNUM=1|VISIT=SCREENING|QSDTC=2014-01-01",
        ),
        (Table::Qs, "USUBJID=T1-S-01|QSCAT=MMSE|QSTESTCD=MMITM02|QSSTRESN=4|VISITNUM=1|VISIT=SCREENING|QSDTC="),
        (Table::Qs, "USUBJID=T1-S-01|QSCAT=MMSE|QSTESTCD=MMITM03|QSSTAT=NOT DONE|VISITNUM=1|QSDTC=2014-01-01"),
    ]);
    insta::assert_snapshot!(planned.subject());
    assert_eq!(planned.rejected(), []);
    planned.accounted_for();
}

#[test]
fn whoever_failed_screening_is_not_enrolled() {
    let failed = SUBJECT.replace("ARMCD=A|ARM=Active", "ARMCD=SCRNFAIL|ARM=Screen Failure");
    let planned = planned(&[
        (Table::Dm, &failed),
        (Table::Ds, "USUBJID=T1-S-01|DSDECOD=SCREEN FAILURE|DSTERM=Too ill|DSCAT=DISPOSITION EVENT|DSSTDTC=2014-01-03"),
    ]);
    let failures: Vec<&str> = planned.names().into_iter().skip(5).collect();
    assert_eq!(failures, ["FailScreening"]);
    assert!(planned.subject().contains("Too ill"));
    planned.accounted_for();
}

#[test]
fn of_several_ends_the_last_of_the_study_counts() {
    let planned = planned(&[
        (Table::Dm, SUBJECT),
        (
            Table::Ds,
            "USUBJID=T1-S-01|DSDECOD=ADVERSE EVENT|DSCAT=DISPOSITION EVENT|DSSCAT=STUDY TREATMENT|DSSTDTC=2014-05-01",
        ),
        (
            Table::Ds,
            "USUBJID=T1-S-01|DSDECOD=Death|DSCAT=DISPOSITION EVENT|DSSCAT=STUDY PARTICIPATION|DSSTDTC=2014-04-01",
        ),
        (Table::Ds, "USUBJID=T1-S-01|DSDECOD=FINAL VISIT|DSCAT=OTHER EVENT|DSSTDTC=2014-06-01"),
    ]);
    assert_eq!(
        planned.noted(),
        [
            (9, "participation ends once: by the disposition event at line 10"),
            (11, "OTHER EVENT `FINAL VISIT` does not change where the subject stands"),
        ]
    );
    assert!(planned.subject().contains(r#""reason":"DEATH""#), "{}", planned.subject());
    planned.accounted_for();
}

#[test]
fn rows_that_cannot_be_taken_are_told_of_with_their_reason() {
    let planned = planned(&[
        (Table::Dm, SUBJECT),
        (Table::Dm, "STUDYID=T1|USUBJID=T1-S-02|SUBJID=02|SITEID=S|ARMCD=A"),
        (Table::Sv, "USUBJID=T1-S-02|VISITNUM=1|VISIT=SCREENING|SVSTDTC="),
        (Table::Sv, "USUBJID=T1-S-01|VISITNUM=1|VISIT=SCREENING|SVSTDTC=2014-01-01"),
        (Table::Sv, "USUBJID=T1-S-01|VISITNUM=1|VISIT=SCREENING|SVSTDTC=2014-01-01"),
        (Table::Ae, "USUBJID=T1-S-01|AESEQ=1|AEDECOD=RASH|AESEV=|AESER=N"),
        (Table::Ae, "USUBJID=T1-S-01|AESEQ=2|AEDECOD=|AETERM=|AESEV=MILD"),
        (Table::Qs, "USUBJID=T1-S-01|QSCAT=MMSE|QSTESTCD=MMITM01|QSSTRESN=9|VISITNUM=1|QSDTC=2014-01-01"),
        (Table::Qs, "USUBJID=T1-S-01|QSCAT=MMSE|QSTESTCD=MMITM02|QSSTRESN=|VISITNUM=1|QSDTC=2014-01-01"),
        (Table::Qs, "USUBJID=T1-S-01|QSCAT=MMSE|QSTESTCD=MMITM03|QSSTRESN=1|VISITNUM=7|QSDTC=2014-02"),
    ]);
    assert_eq!(
        planned.rejected(),
        [
            (9, "RFICDTC, DMDTC and RFSTDTC tell no day: the consent cannot be dated"),
            (10, "not sent, because the subject at line 9 is not taken"),
            (13, "AESEV is empty: how severe it was is not told"),
            (14, "AEDECOD and AETERM are empty"),
            (15, "`9` is not a whole number from 0 to 5"),
            (17, "QSDTC `2014-02` tells no day: the form has no date"),
        ]
    );
    assert_eq!(
        planned.noted(),
        [(12, "repeats line 11"), (16, "QSSTRESN, QSSTRESC and QSORRES are empty: there is no result")]
    );
    planned.accounted_for();
}

#[test]
fn a_study_without_protocol_tables_is_taken_all_the_same() {
    let planned = plan(&[
        (Table::Dm, "STUDYID=T2|USUBJID=T2-1|SUBJID=7|SITEID=OSLO|DMDTC=2014-01-01|ARMCD=|ARM="),
        (
            Table::Dm,
            "STUDYID=T2|USUBJID=T2-2|SUBJID=7|SITEID=BERGEN|DMDTC=2014-01-01|ARMCD=B|ARM=Both|DTHFL=Y|DTHDTC=2014-03",
        ),
    ]);
    assert!(planned.trial.contains(r#"AddArm {"allocation_weight":1,"code":"B","name":"Both""#), "{}", planned.trial);
    let told = planned.subject();
    assert!(told.contains(r#""subject_number":"T2-1""#) && told.contains(r#""subject_number":"T2-2""#), "{told}");
    assert!(told.contains(r#""reason":"DEATH""#), "{told}");
    planned.accounted_for();
}

/// Rows made of cells that exports hold, sensible and not.
fn any_rows() -> impl Strategy<Value = Vec<(Table, String)>> {
    let date = prop::sample::select(vec!["2014-01-01", "2014-02", "2014", "", "UNK", "2014-06-01T10:00", "1999-01-01"]);
    let subject = prop::sample::select(vec!["T1-S-01", "T1-S-02", "T1-S-09", ""]);
    let word = prop::sample::select(vec![
        "RANDOMIZED",
        "COMPLETED",
        "SCREEN FAILURE",
        "DEATH",
        "",
        "MILD",
        "1",
        "2.5",
        "NOT DONE",
        "A",
        "SCRNFAIL",
        "NA",
        "INCL01",
        "CONSENT WITHDRAWN",
    ]);
    let category = prop::sample::select(vec!["PROTOCOL MILESTONE", "DISPOSITION EVENT", "OTHER EVENT", "", "MMSE"]);
    let table = prop::sample::select(vec![Table::Dm, Table::Ds, Table::Ie, Table::Sv, Table::Ae, Table::Qs, Table::Vs]);
    let row = (table, subject, date, word.clone(), word, category).prop_map(|(table, subject, date, one, other, category)| {
        let row = match table {
            Table::Dm => format!("STUDYID=T1|USUBJID={subject}|SUBJID={one}|SITEID=S|DMDTC={date}|ARMCD={other}"),
            Table::Ds => format!("USUBJID={subject}|DSDECOD={one}|DSTERM={other}|DSCAT={category}|DSSTDTC={date}"),
            Table::Sv => format!("USUBJID={subject}|VISITNUM={one}|VISIT={other}|SVSTDTC={date}"),
            Table::Ae => format!("USUBJID={subject}|AESEQ={one}|AEDECOD={other}|AESEV={one}|AESTDTC={date}"),
            Table::Ie => format!("USUBJID={subject}|IETESTCD={other}|IESTRESC={one}"),
            Table::Vs => format!("USUBJID={subject}|VSTESTCD={one}|VSSTRESC={other}|VSDTC={date}"),
            _ => format!("USUBJID={subject}|QSCAT={category}|QSTESTCD={one}|QSSTRESC={other}|QSSTAT={one}|VISITNUM={other}|QSDTC={date}"),
        };
        (table, row)
    });
    prop::collection::vec(row, 0..40)
}

proptest! {
    #[test]
    fn whatever_the_rows_every_one_is_accounted_for_and_the_plan_is_the_same_again(rows in any_rows()) {
        let mut all = with(&[(Table::Dm, SUBJECT)]);
        all.extend(rows);
        let all: Vec<(Table, &str)> = all.iter().map(|(table, row)| (*table, row.as_str())).collect();
        let (first, second) = (plan(&all), plan(&all));
        prop_assert_eq!(&first.trial, &second.trial);
        let requests = |planned: &Planned| {
            planned.subjects.iter().flat_map(|plan| &plan.steps).map(Step::request).collect::<Vec<_>>()
        };
        prop_assert_eq!(requests(&first), requests(&second));
        first.accounted_for();
    }
}
