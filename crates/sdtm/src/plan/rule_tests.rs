//! What the plan takes from single rows and words.

use super::super::source::Table;
use super::tests::{SUBJECT, planned};

#[test]
fn a_missing_word_makes_no_arm_no_site_no_death_and_no_answer() {
    let first = SUBJECT.replace("ARMCD=A|ARM=Active", "ARMCD=NA|ARM=NA|ARMNRS=Observational Study");
    let second = SUBJECT.replace("-01|SUBJID=01", "-02|SUBJID=02");
    let third = SUBJECT.replace("-01|SUBJID=01|SITEID=S", "-03|SUBJID=03|SITEID=NULL");
    let planned = planned(&[
        (Table::Dm, &format!("{first}|DTHDTC=NA|DTHFL=")),
        (Table::Dm, &format!("{second}|DTHDTC=UNK|DTHFL=N")),
        (Table::Dm, &format!("{third}|DTHDTC=NaT")),
        (Table::Ta, "STUDYID=T1|ARMCD=NA|ARM=NA"),
        (Table::Ae, "USUBJID=T1-S-02|AESEQ=1|AEDECOD=RASH|AESEV=MILD|AESER=N|AEOUT=NA|AEREL=NONE|AESTDTC=."),
        (Table::Qs, "USUBJID=T1-S-02|QSCAT=WELL|QSTESTCD=W1|QSSTRESC=2|VISITNUM=1|QSDTC=2014-01-02"),
        (Table::Qs, "USUBJID=T1-S-02|QSCAT=WELL|QSTESTCD=W2|QSSTRESC=NA|QSORRES=NA|VISITNUM=1|QSDTC=2014-01-02"),
    ]);
    assert!(!planned.trial.contains(r#""code":"NA""#) && !planned.trial.contains("NULL"), "{}", planned.trial);
    let told = planned.subject();
    assert!(!told.contains("DEATH"), "{told}");
    assert!(told.contains(r#""answers":{"W1":2}"#) && told.contains(r#""relatedness":"NONE""#), "{told}");
    assert_eq!(planned.names().iter().filter(|name| **name == "RandomiseSubject").count(), 1, "{told}");
    assert_eq!(planned.rejected(), [(10, "SITEID is empty: no site is named")]);
    let patterns: Vec<String> =
        planned.accounts.patterns().map(|(_, text, pattern)| format!("{text} {}", pattern.rows)).collect();
    for expected in ["DTHDTC: `NA` is read as missing 1", "ARMCD: `NA` is read as missing 2"] {
        assert!(patterns.iter().any(|text| text == expected), "{patterns:?}");
    }
    planned.accounted_for();
}

#[test]
fn a_death_is_told_by_the_flag_or_a_date() {
    let death = |more: &str| {
        let planned = planned(&[(Table::Dm, &format!("{SUBJECT}|{more}"))]);
        let told = planned.subject();
        let end = told.lines().find(|line| line.contains("DEATH")).map(str::to_owned);
        end.and_then(|line| line.split_once("occurred_at\":\"").map(|(_, at)| at[..10].to_owned()))
    };
    assert_eq!(death("DTHDTC=2014-05-01"), Some("2014-05-01".to_owned()));
    assert_eq!(death("DTHFL=Y|DTHDTC="), Some("2014-01-01".to_owned()));
    assert_eq!(death("DTHFL=Y|DTHDTC=|RFENDTC=2014-04-30"), Some("2014-04-30".to_owned()));
    assert_eq!(death("DTHDTC=2014"), Some("2014-01-01".to_owned()));
    assert_eq!(death("DTHDTC=soon"), None);
    assert_eq!(death("DTHFL=N"), None);
}

#[test]
fn why_there_is_no_arm_decides_whether_anybody_was_allocated() {
    let randomised = |arm: &str| {
        let row = SUBJECT.replace("ARMCD=A|ARM=Active", arm);
        planned(&[(Table::Dm, &row)]).names().contains(&"RandomiseSubject")
    };
    assert!(randomised("ARMCD=A|ARM=Active"));
    assert!(randomised("ARMCD=A|ARM=Active|ARMNRS=ASSIGNED, NOT TREATED"));
    assert!(randomised("ARMCD=A|ARM=Active|ARMNRS=NA"));
    for arm in [
        "ARMCD=|ARM=|ARMNRS=NOT ASSIGNED",
        "ARMCD=|ARM=Active|ARMNRS=Observational Study",
        "ARMCD=NOTASSGN|ARM=Not Assigned",
        "ARMCD=SCRNFAIL|ARM=Screen Failure",
        "ARMCD=Not Assigned|ARM=Not Assigned",
    ] {
        assert!(!randomised(arm), "{arm}");
    }
}

#[test]
fn a_consent_is_withdrawn_where_ds_says_so() {
    let withdrawn = |row: &str| {
        let row = format!("USUBJID=T1-S-01|DSSTDTC=2014-03-01|{row}");
        let planned = planned(&[(Table::Dm, SUBJECT), (Table::Ds, &row)]);
        let names = planned.names().into_iter().skip(8).map(str::to_owned).collect::<Vec<_>>();
        planned.accounted_for();
        names
    };
    let both = ["DiscontinueSubject", "WithdrawConsent"];
    assert_eq!(withdrawn("DSCAT=DISPOSITION EVENT|DSDECOD=WITHDRAWAL BY SUBJECT|DSTERM=WITHDREW CONSENT"), both);
    assert_eq!(withdrawn("DSCAT=DISPOSITION EVENT|DSDECOD=CONSENT WITHDRAWN"), both);
    assert_eq!(withdrawn("DSCAT=OTHER EVENT|DSDECOD=CONSENT REVOKED"), ["WithdrawConsent"]);
    for other in [
        "DSCAT=DISPOSITION EVENT|DSDECOD=WITHDRAWAL BY SUBJECT|DSTERM=MOVED AWAY",
        "DSCAT=DISPOSITION EVENT|DSDECOD=WITHDRAWAL BY SUBJECT|DSTERM=DID NOT WITHDRAW CONSENT",
        "DSCAT=DISPOSITION EVENT|DSSCAT=STUDY TREATMENT|DSDECOD=WITHDRAWAL BY SUBJECT|DSTERM=CONSENT TO DRUG WITHDRAWN",
    ] {
        assert_eq!(withdrawn(other), ["DiscontinueSubject"], "{other}");
    }
    let milestone = withdrawn("DSCAT=PROTOCOL MILESTONE|DSDECOD=INFORMED CONSENT OBTAINED");
    assert_eq!(milestone, [""; 0]);
}

#[test]
fn criteria_that_were_not_met_are_why_screening_failed() {
    let failed = SUBJECT.replace("ARMCD=A|ARM=Active", "ARMCD=SCRNFAIL|ARM=Screen Failure");
    let planned = planned(&[
        (Table::Dm, &failed),
        (Table::Ds, "USUBJID=T1-S-01|DSDECOD=SCREEN FAILURE|DSCAT=DISPOSITION EVENT|DSSTDTC=2014-01-03"),
        (Table::Ie, "USUBJID=T1-S-01|IETESTCD=EXCL01|IECAT=EXCLUSION|IEORRES=Y|IESTRESC=Y"),
        (Table::Ie, "USUBJID=T1-S-01|IETESTCD=INCL01|IECAT=INCLUSION|IEORRES=N|IESTRESC=N"),
        (Table::Ie, "USUBJID=T1-S-01|IETESTCD=INCL77|IETEST=Tall enough|IEORRES=N"),
    ]);
    let told = planned.subject();
    assert!(told.contains(r#""judgements":{"EXCL01":true,"INCL01":false}"#), "{told}");
    assert!(told.contains(r#""reasons":["EXCL01","INCL01","Tall enough","SCREEN FAILURE"]"#), "{told}");
    assert_eq!(planned.rejected(), []);
    planned.accounted_for();
}

#[test]
fn vital_signs_are_observations_with_ucum_units() {
    let planned = planned(&[
        (Table::Dm, SUBJECT),
        (
            Table::Vs,
            "USUBJID=T1-S-01|VSSEQ=1|VSTESTCD=SYSBP|VSSTRESC=128|VSSTRESN=128.0|VSSTRESU=mmHg|VSDTC=2014-01-02T09:30",
        ),
        (
            Table::Vs,
            "USUBJID=T1-S-01|VSSEQ=2|VSTESTCD=TEMP|VSORRES=37,1|VSORRESU=C|VSSTRESC=|VSSTRESN=NA|VSDTC=2014-01-02",
        ),
        (Table::Vs, "USUBJID=T1-S-01|VSSEQ=3|VSTESTCD=PULSE|VSSTAT=NOT DONE|VSDTC=2014-01-02"),
        (Table::Vs, "USUBJID=T1-S-01|VSSEQ=4|VSTESTCD=WEIGHT|VSSTRESN=70|VSSTRESU=kg|VSDTC=2014-01"),
        (Table::Vs, "USUBJID=T1-S-01|VSSEQ=5|VSTESTCD=SYSBP|VSSTRESN=128|VSSTRESU=mmHg|VSDTC=2014-01-02T09:30"),
    ]);
    let told = planned.subject();
    assert!(
        told.contains(r#"{"code":"SYSBP","observed_at":"2014-01-02T09:30:00Z","unit":"mm[Hg]","value":128}"#),
        "{told}"
    );
    assert_eq!(planned.rejected(), [(12, "VSDTC `2014-01` tells no day")]);
    assert_eq!(
        planned.noted(),
        [(11, "NOT DONE, or without a result"), (13, "the same value of the same test and time stands there already")]
    );
    planned.accounted_for();
}

#[test]
fn numbers_with_a_fraction_of_zero_are_the_same_numbers() {
    let planned = planned(&[
        (Table::Tv, "VISITNUM=3.0|VISIT=WEEK 2"),
        (Table::Dm, &SUBJECT.replace("SITEID=S", "SITEID=701.0").replace("SUBJID=01", "SUBJID=1001.0")),
        (Table::Dm, &SUBJECT.replace("SITEID=S", "SITEID=701").replace("-01|SUBJID=01", "-02|SUBJID=1002")),
        (Table::Sv, "USUBJID=T1-S-01|VISITNUM=3|VISIT=WEEK 2|SVSTDTC=2014-01-15"),
        (Table::Qs, "USUBJID=T1-S-01|QSCAT=WELL|QSTESTCD=W1|QSSTRESN=3.0|VISITNUM=3.0|QSDTC="),
    ]);
    assert_eq!(planned.trial.matches("RegisterSite").count(), 1, "{}", planned.trial);
    let told = planned.subject();
    assert!(told.contains(r#""subject_number":"1001""#) && told.contains(r#""visit_number":3"#), "{told}");
    assert!(told.contains(r#""answers":{"W1":3},"completed_at":"2014-01-15"#), "{told}");
    planned.accounted_for();
}

#[test]
fn the_reporters_words_stand_beside_the_coded_term() {
    let planned = planned(&[
        (Table::Dm, SUBJECT),
        (Table::Ae, "USUBJID=T1-S-01|AESEQ=1|AETERM=itchy arm|AEDECOD=PRURITUS|AESEV=MILD|AESER=N|AESTDTC=2014-02-01"),
        (Table::Ae, "USUBJID=T1-S-01|AESEQ=2|AETERM=None|AESEV=MILD|AESER=N|AESTDTC=2014-02-01/2014-02-03"),
    ]);
    let told = planned.subject();
    assert!(told.contains(r#""reported_term":"itchy arm""#) && told.contains(r#""term":"PRURITUS""#), "{told}");
    assert!(told.contains(r#""onset":"2014-02","#) && told.contains(r#""term":"None""#), "{told}");
}
