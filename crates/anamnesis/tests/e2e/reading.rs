//! Reading: who sees what, which list finds it, and how a reader guards a command.

use reqwest::Method;
use serde_json::{Value, json};

use crate::clinic::{Clinic, Plan, fresh};
use crate::system::System;

#[tokio::test]
async fn r20_who_sees_the_arm_follows_from_the_trials_blinding() {
    let system = System::embedded().await;
    for (blinding, sees) in [
        (
            "open-label",
            &["investigator", "coordinator", "sponsor", "monitor", "auditor", "administrator", "participant"][..],
        ),
        ("single-blind", &["investigator", "coordinator", "sponsor", "monitor", "auditor", "administrator"]),
        ("double-blind", &[]),
    ] {
        let clinic = Clinic::open(&system.api, Plan { blinding, ..Plan::default() }).await;
        let (patient, subject) = clinic.randomised_subject("ARMACTIVE").await;
        clinic.enrolment_until("randomised", |figures| figures["randomised"] == 1).await;
        let trial = clinic.trial;
        let history = clinic.api.get(&format!("/v1/patients/{patient}/history")).await.ok();
        let of_arm =
            history["items"].as_array().expect("events").iter().find(|event| event["type"] == "SubjectRandomised");
        let event = of_arm.expect("the allocation")["event_id"].as_str().expect("an id");
        for role in [
            "investigator",
            "coordinator",
            "sponsor",
            "monitor",
            "auditor",
            "administrator",
            "unblinded-statistician",
            "participant",
        ] {
            let is_oneself = role == "participant";
            let api = if is_oneself { system.as_participant(patient) } else { system.as_role(role) };
            let expected = sees.contains(&role) || role == "unblinded-statistician";
            for path in [
                format!("/v1/subjects/{subject}"),
                format!("/v1/subjects?trial_id={trial}"),
                format!("/v1/patients/{patient}/history"),
                format!("/v1/patients/{patient}/history?format=csv"),
                format!("/v1/patients/{patient}/state"),
                format!("/v1/events/{event}"),
            ] {
                let text = api.get_raw(&path).await.text().await.expect("a body");
                assert_eq!(text.contains("ARMACTIVE"), expected, "{blinding} {role} {path}: {text}");
            }
            for path in [format!("/v1/trials/{trial}"), format!("/v1/trials?protocol={}", clinic.protocol())] {
                if is_oneself {
                    // How a trial goes is not theirs to know.
                    continue;
                }
                let figures = api.get(&path).await.ok();
                let figures = if figures["items"].is_array() { &figures["items"][0] } else { &figures };
                assert_eq!(figures["by_arm"].is_array(), expected, "{blinding} {role} {path}: {figures:#}");
            }
            let stream =
                api.request(Method::GET, &format!("/v1/events?trial_id={trial}&type=SubjectRandomised&after=0"));
            let mut stream = stream.send().await.expect("a stream");
            let mut text = String::new();
            while !text.contains("\ndata:") || !text.ends_with("\n\n") {
                text.push_str(&String::from_utf8_lossy(&stream.chunk().await.expect("a frame").expect("it goes on")));
            }
            assert_eq!(text.contains("ARMACTIVE"), expected, "{blinding} {role}: {text}");
        }
    }
}

/// How many are in which arm at one site is told to who sees that site's arms; how many in all, to who sees all of them.
#[tokio::test]
async fn totals_by_arm_are_of_the_whole_trial() {
    let system = System::embedded().await;
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    clinic.randomised_subject("ARMACTIVE").await;
    clinic.enrolment_until("randomised", |figures| figures["randomised"] == 1).await;
    let (trial, site) = (clinic.trial.to_string(), clinic.site.to_string());
    for (username, scope, sees) in
        [("of-the-trial", &["--trial", &trial][..], true), ("of-a-site", &["--trial", &trial, "--site", &site], false)]
    {
        let api = system.as_member(username, "unblinded-statistician", scope);
        let figures = api.get(&format!("/v1/trials/{trial}")).await.ok();
        assert_eq!(figures["by_arm"].is_array(), sees, "{username}: {figures:#}");
    }
}

#[tokio::test]
async fn the_inbox_holds_what_nobody_settled_and_the_most_urgent_comes_first() {
    let system = System::embedded().await;
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let (_, subject) = clinic.randomised_subject("ARMACTIVE").await;
    // Item 9 is critical, a total of 20 and more is high.
    clinic.phq9(subject, [3, 3, 3, 3, 3, 3, 3, 3, 0]).await.ok();
    clinic.phq9(subject, [0, 0, 0, 0, 0, 0, 0, 0, 1]).await.ok();
    clinic.phq9(subject, [0, 0, 0, 0, 0, 0, 0, 0, 2]).await.ok();
    let inbox = |more: &str| format!("/v1/alerts?trial_id={}{more}", clinic.trial);
    let three = |page: &Value| page["items"].as_array().is_some_and(|items| items.len() == 3);
    let page = clinic.api.until(&inbox("&open=true"), "three alerts", three).await;
    let of = |page: &Value, field: &str| -> Vec<String> {
        let items = page["items"].as_array().expect("alerts").iter();
        items.map(|alert| alert[field].as_str().expect("text").to_owned()).collect()
    };
    assert_eq!(of(&page, "severity"), ["critical", "critical", "high"]);
    let ids = of(&page, "alert_id");
    let send = async |id: &str, command: &str, body: Value| -> u64 {
        let answer = clinic.api.post(&format!("/v1/alerts/{id}/{command}"), body).await.ok();
        answer["position"].as_u64().expect("a position")
    };
    let at = send(&ids[1], "acknowledge-alert", json!({"note": "called"})).await;
    let page = clinic.api.get(&inbox(&format!("&open=true&at_least={at}"))).await.ok();
    assert_eq!(of(&page, "alert_id"), [ids[0].clone(), ids[2].clone(), ids[1].clone()]);
    let page = clinic.api.get(&inbox("&open=true&acknowledged=false")).await.ok();
    assert_eq!(of(&page, "alert_id"), [ids[0].clone(), ids[2].clone()]);
    let at = send(&ids[1], "resolve-alert", json!({"action_taken": "seen"})).await;
    let page = clinic.api.get(&inbox(&format!("&open=true&at_least={at}"))).await.ok();
    assert_eq!(of(&page, "alert_id"), [ids[0].clone(), ids[2].clone()]);
    // Several values: with commas, repeated, page by page.
    for values in ["&status=raised,resolved", "&status=raised&status=resolved"] {
        let mut seen = Vec::new();
        let mut after = String::new();
        loop {
            let page = clinic.api.get(&inbox(&format!("{values}&limit=1{after}"))).await.ok();
            seen.extend(of(&page, "alert_id"));
            let Some(next) = page["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        assert_eq!(seen, [ids[0].clone(), ids[2].clone(), ids[1].clone()], "{values}");
    }
    let page = clinic.api.get(&inbox("&sort=-severity&severity=high,critical")).await.ok();
    assert_eq!(of(&page, "severity"), ["critical", "critical", "high"]);
    let refused = clinic.api.get(&inbox("&status=Raised")).await;
    let told = refused.body["detail"].as_str().expect("text").to_owned();
    refused.refused(400, "unknown-value");
    assert!(told.contains("raised, escalated, acknowledged, resolved"), "{told}");
}

#[tokio::test]
async fn what_was_read_guards_what_is_written() {
    let system = System::embedded().await;
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let (_, subject) = clinic.randomised_subject("ARMACTIVE").await;
    let submitted = clinic.phq9(subject, [1; 9]).await.ok();
    let address = format!("/v1/reports/{}", submitted["stream"]["id"].as_str().expect("an id"));
    let position = submitted["position"].as_u64().expect("a position");
    let read = async |path: &str, known: Option<&str>| {
        let mut request = clinic.api.request(Method::GET, path);
        if let Some(known) = known {
            request = request.header("if-none-match", known);
        }
        let response = request.send().await.expect("an answer");
        let tag = response.headers()["etag"].to_str().expect("text").to_owned();
        let status = response.status().as_u16();
        (status, tag, response.text().await.expect("a body"))
    };
    let (_, tag, body) = read(&format!("{address}?at_least={position}"), None).await;
    let report: Value = serde_json::from_str(&body).expect("JSON");
    // The answer tells the position of the last of its events, one of which is the casebook's.
    let of_report = &submitted["events"][0]["position"];
    assert_eq!((&report["version"], &report["position"]), (&json!(1), of_report), "{report:#}");
    // What happens elsewhere changes neither the tag nor the document.
    let other = clinic.phq9(subject, [2; 9]).await.ok()["position"].as_u64().expect("a position");
    let (_, same, unchanged) = read(&format!("{address}?at_least={other}"), None).await;
    assert_eq!((&same, &unchanged), (&tag, &body));
    for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        let (status, same, body) = read(&address, Some(&known)).await;
        assert_eq!((status, &same, body.as_str()), (304, &tag, ""), "{known}");
    }
    let correct = async |if_match: &str, answer: u8| {
        let body = json!({"answers": {"PHQ0101": answer}, "reason": "misheard"});
        clinic.api.post_with(&format!("{address}/correct-report"), body, &[("if-match", if_match)]).await
    };
    for stale in ["\"7\"", "\"another\"", &format!("W/{tag}")] {
        correct(stale, 2).await.refused(412, "version-mismatch");
    }
    let corrected = correct(&tag, 2).await.ok();
    assert_eq!(corrected["version"], 2);
    correct(&tag, 3).await.refused(412, "version-mismatch");
    let at = corrected["position"].as_u64().expect("a position");
    let (status, now, body) = read(&format!("{address}?at_least={at}"), Some(&tag)).await;
    let report: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &report["version"]), (200, &json!(2)));
    assert_ne!(now, tag);
    correct(&format!("\"1\", {now}"), 1).await.ok();
    correct("*", 0).await.ok();
    // A page is the same for as long as it holds the same documents.
    let list = format!("/v1/patients?limit=3&at_least={at}");
    let (_, page, _) = read(&list, None).await;
    let elsewhere = clinic.phq9(subject, [2; 9]).await.ok()["position"].as_u64().expect("a position");
    let (status, same, _) = read(&format!("/v1/patients?limit=3&at_least={elsewhere}"), Some(&page)).await;
    assert_eq!((status, same), (304, page));
    // The same account of another role gets another representation.
    let subject = format!("/v1/subjects/{subject}");
    let (_, whole, _) = read(&subject, None).await;
    let blinded = system.as_role("monitor").get_raw(&subject).await;
    assert_ne!(blinded.headers()["etag"].to_str().expect("text"), whole);
}

#[tokio::test]
async fn a_header_that_says_something_twice_is_refused() {
    let system = System::embedded().await;
    let path = format!("/v1/patients/{}/register-patient", fresh());
    for name in ["Idempotency-Key", "If-Match"] {
        let answer = system.api.post_with(&path, json!({}), &[(name, "\"1\""), (name, "\"1\"")]).await;
        assert_eq!(answer.body["errors"][0]["field"], name, "{:#}", answer.body);
        answer.refused(400, "duplicate");
    }
    let twice = system.api.request(Method::GET, "/v1/trials").header("authorization", "Bearer another");
    assert_eq!(twice.send().await.expect("an answer").status(), 400);
}

#[tokio::test]
async fn whatever_was_defined_can_be_read() {
    let system = System::embedded().await;
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let trial = format!("/v1/trials/{}", clinic.trial);
    let own = |version: &str, max: u8| {
        json!({"questionnaire": {"definition": {"instrument": "DIARY", "version": version, "title": "Diary", "source": "ours",
            "items": [{"code": "V1", "text": "How are you?", "required": true,
                       "answers": {"kind": "integer", "min": 0, "max": max}}],
            "scores": [{"code": "S", "items": ["V1"], "method": "sum", "missing": {"kind": "complete"}}],
            "alert_rules": []}}})
    };
    clinic.api.post(&format!("{trial}/define-questionnaire"), own("1", 5)).await.ok();
    let last = clinic.api.post(&format!("{trial}/define-questionnaire"), own("2", 7)).await.ok();
    let at = last["position"].as_u64().expect("a position");
    let api = system.as_participant(clinic.patient(None).await);
    let get = async |path: String| api.get(&path).await.ok();
    let all = get(format!("{trial}/questionnaires?at_least={at}")).await;
    let names = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().expect("a page").iter();
        items.map(|form| format!("{} {}", form["instrument"], form["version"]).replace('"', "")).collect()
    };
    assert_eq!(names(&all), ["PHQ-9 1", "DIARY 1", "DIARY 2"]);
    assert_eq!(names(&get(format!("{trial}/questionnaires?instrument=DIARY")).await), ["DIARY 1", "DIARY 2"]);
    let newest = get(format!("{trial}/questionnaires/DIARY")).await;
    assert_eq!((&newest["version"], &newest["items"][0]["answers"]["max"]), (&json!("2"), &json!(7)), "{newest:#}");
    assert_eq!(newest["items"][0]["text"], "How are you?");
    let first = get(format!("{trial}/questionnaires/DIARY?version=1")).await;
    assert_eq!(first["items"][0]["answers"]["max"], 5);
    let phq9 = get(format!("{trial}/questionnaires/PHQ-9")).await;
    assert_eq!(phq9["items"][0]["text"], "Little interest or pleasure in doing things", "{phq9:#}");
    assert!(!phq9["alert_rules"].as_array().expect("rules").is_empty());
    for missing in ["questionnaires/DIARY?version=3", "questionnaires/GAD-7", "eligibility?version=2"] {
        api.get(&format!("{trial}/{missing}")).await.refused(404, "not-found");
    }
    let criteria = get(format!("{trial}/eligibility")).await;
    assert_eq!((&criteria["criteria_version"], &criteria["criteria"][0]["code"]), (&json!(1), &json!("INCL01")));
    let forms = get(format!("{trial}/consent-forms?language=en&form_version=1.0")).await;
    assert_eq!(forms["items"][0]["effective_on"], "2020-01-01", "{forms:#}");
    assert_eq!(get(format!("{trial}/consent-forms?language=nb")).await["items"], json!([]));
    let arms = get(format!("{trial}/arms")).await;
    assert_eq!(arms["items"][1]["code"], "ARMACTIVE", "which arms there are is no secret: {arms:#}");
    let protocol = get(format!("/v1/protocols/{}", clinic.trial)).await;
    assert_eq!((&protocol["arms"], &protocol["version"]), (&arms["items"], &last["version"]));
    // The tag of any part guards the trial.
    let response = api.get_raw(&format!("{trial}/questionnaires/DIARY")).await;
    let tag = response.headers()["etag"].to_str().expect("text").to_owned();
    let define = format!("{trial}/define-questionnaire");
    clinic.api.post_with(&define, own("3", 9), &[("if-match", &tag)]).await.ok();
    clinic.api.post_with(&define, own("4", 9), &[("if-match", &tag)]).await.refused(412, "version-mismatch");
}

#[tokio::test]
async fn a_correction_is_told_field_by_field_in_every_form() {
    let system = System::embedded().await;
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let (patient, subject) = clinic.randomised_subject("ARMACTIVE").await;
    let submitted = clinic.phq9(subject, [1, 0, 0, 0, 0, 0, 0, 0, 0]).await.ok();
    let report = submitted["stream"]["id"].as_str().expect("an id").to_owned();
    let body = json!({"answers": {"PHQ0101": 2, "PHQ0102": 1}, "reason": "misheard, \"twice\""});
    clinic.api.post(&format!("/v1/reports/{report}/correct-report"), body).await.ok();
    let path = format!("/v1/patients/{patient}/history");
    let history = clinic.api.get(&path).await.ok();
    let corrected =
        history["items"].as_array().expect("events").iter().find(|event| event["type"] == "ReportCorrected");
    let changes = corrected.expect("the correction")["changes"].clone();
    let change = |field: &str, old: Value, new: Value| json!({"field": field, "old": old, "new": new});
    let told = changes.as_array().expect("changes");
    assert!(told.contains(&change("answers/PHQ0101", json!(1), json!(2))), "{changes:#}");
    assert!(told.contains(&change("answers/PHQ0102", json!(0), json!(1))), "{changes:#}");
    for csv in [format!("{path}/export"), format!("{path}/export?format=csv"), format!("{path}?format=csv")] {
        let text = clinic.api.get_raw(&csv).await.text().await.expect("a body");
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().expect("a header").clone();
        let column = |name: &str| header.iter().position(|column| column == name).expect("a column");
        let of: Vec<usize> = ["type", "field", "old_value", "new_value", "reason"].map(column).to_vec();
        let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.expect("a row")).collect();
        let corrections = rows.iter().filter(|row| row[of[0]] == *"ReportCorrected");
        let cells: Vec<Vec<&str>> = corrections.map(|row| of[1..].iter().map(|place| &row[*place]).collect()).collect();
        assert_eq!(cells.len(), told.len(), "{csv}: {text}");
        assert!(cells.contains(&vec!["answers/PHQ0101", "1", "2", "misheard, \"twice\""]), "{csv}: {cells:?}");
    }
    // A day is known to its end; a subject has a number by which people know it.
    let now = history["items"][0]["recorded_at"].as_str().expect("a time");
    let today = clinic.api.get(&format!("{path}?as_of={}", &now[..10])).await.ok();
    assert!(!today["items"].as_array().expect("events").is_empty());
    clinic.api.get(&format!("{path}?as_of=2000-01-01")).await.refused(404, "not-found");
    clinic.api.get(&format!("{path}?as_of=2026-02-30")).await.refused(400, "malformed");
    // What will be known nobody can tell, and a part is not the whole.
    clinic.api.get(&format!("{path}?as_of=2999-01-01")).await.refused(400, "in-the-future");
    clinic.api.get(&format!("{path}?at_position=999999999")).await.refused(400, "out-of-range");
    clinic.api.get(&format!("{path}?format=csv&limit=5")).await.refused(400, "exclusive");
    let number = clinic.api.get(&format!("/v1/subjects/{subject}")).await.ok()["subject_number"].clone();
    let url = system.processes[0].url.clone();
    let token = system.folder.path().join("data/admin.token");
    let token = token.to_string_lossy();
    let replay = |what: &str| {
        let arguments = ["replay", "patient", what, "--url", &url, "--token-file", &token, "--as-of", &now[..10]];
        crate::system::run(&arguments, system.folder.path())
    };
    let told = replay(number.as_str().expect("text"));
    let text = crate::system::text(&told.stdout);
    assert!(told.status.success() && text.contains(&patient.to_string()), "{text} {told:?}");
    assert!(text.contains("answers/PHQ0101: 1 → 2"), "{text}");
    let unknown = replay("999-999");
    assert!(!unknown.status.success() && crate::system::text(&unknown.stderr).contains("999-999"), "{unknown:?}");
}
