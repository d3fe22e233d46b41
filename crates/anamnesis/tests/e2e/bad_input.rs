//! Whatever is wrong with a request, it is refused with the right status and a
//! problem document that names field and rule, and nothing is appended.

use reqwest::Method;
use serde_json::{Value, json};

use crate::api::Api;
use crate::clinic::{Clinic, Plan, fresh};
use crate::system::System;

/// A request that must be refused.
struct Case {
    what: &'static str,
    path: String,
    body: Vec<u8>,
    status: u16,
    rule: &'static str,
    field: Option<&'static str>,
}

fn case(
    what: &'static str,
    path: &str,
    body: impl Into<Vec<u8>>,
    status: u16,
    rule: &'static str,
    field: Option<&'static str>,
) -> Case {
    Case { what, path: path.to_owned(), body: body.into(), status, rule, field }
}

fn of(body: Value) -> Vec<u8> {
    body.to_string().into_bytes()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table, a line for each case")]
async fn bad_commands_are_refused_by_name_and_leave_nothing() {
    let system = System::embedded().await;
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let (patient, subject) = clinic.randomised_subject("ARMACTIVE").await;
    let trial = format!("/v1/trials/{}/register-trial", fresh());
    let new_patient = format!("/v1/patients/{}/register-patient", fresh());
    let observe = format!("/v1/patients/{patient}/record-observation");
    let report = format!("/v1/reports/{}/submit-report", fresh());
    let event = format!("/v1/adverse-events/{}/report-adverse-event", fresh());
    let registered = |changes: Value| {
        let mut body = json!({"protocol": "P", "title": "T", "blinding": "open-label", "planned_enrolment": 5});
        body.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
        of(body)
    };
    let answered = |answers: Value| of(json!({"subject_id": subject, "instrument": "PHQ-9", "answers": answers}));
    let nested = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let cases = [
        case("no JSON", &new_patient, "nonsense", 400, "malformed", Some("body")),
        case("no body", &new_patient, "", 400, "malformed", Some("body")),
        case("cut short", &new_patient, "{\"sex\":", 400, "malformed", Some("sex")),
        case("trailing text", &new_patient, "{} {}", 400, "malformed", Some("body")),
        case("not UTF-8", &new_patient, b"{\"name\":\"\xff\xfe\"}".to_vec(), 400, "malformed", None),
        case("deeply nested", &new_patient, nested, 400, "malformed", None),
        case("an array", &new_patient, "[]", 400, "malformed", None),
        case("unknown field", &new_patient, of(json!({"nmae": "A"})), 400, "malformed", Some("nmae")),
        case("field twice", &new_patient, "{\"sex\":\"F\",\"sex\":\"M\"}", 400, "malformed", Some("sex")),
        case("unknown sex", &new_patient, of(json!({"sex": "X"})), 400, "malformed", Some("sex")),
        case("no telephone", &new_patient, of(json!({"mobile": "12"})), 400, "malformed", Some("mobile")),
        case("no date", &new_patient, of(json!({"birth_date": "2001-02-30"})), 400, "malformed", Some("birth_date")),
        case(
            "born tomorrow",
            &new_patient,
            of(json!({"birth_date": "2999-01-01"})),
            400,
            "in-the-future",
            Some("birth_date"),
        ),
        case("NUL", &new_patient, of(json!({"name": "a\u{0}b"})), 400, "control-character", Some("name")),
        case(
            "in the future",
            &new_patient,
            of(json!({"occurred_at": "2999-01-01T00:00:00Z"})),
            400,
            "in-the-future",
            Some("occurred_at"),
        ),
        case(
            "before all",
            &new_patient,
            of(json!({"occurred_at": "0001-01-01T00:00:00Z"})),
            400,
            "too-early",
            Some("occurred_at"),
        ),
        case("no time", &new_patient, of(json!({"occurred_at": "yesterday"})), 400, "malformed", Some("occurred_at")),
        case(
            "negative",
            &trial,
            registered(json!({"planned_enrolment": -5})),
            400,
            "malformed",
            Some("planned_enrolment"),
        ),
        case(
            "zero",
            &trial,
            registered(json!({"planned_enrolment": 0})),
            400,
            "out-of-range",
            Some("planned_enrolment"),
        ),
        case(
            "too great",
            &trial,
            registered(json!({"planned_enrolment": 99999999999_u64})),
            400,
            "malformed",
            Some("planned_enrolment"),
        ),
        case(
            "fraction",
            &trial,
            registered(json!({"planned_enrolment": 1.5})),
            400,
            "malformed",
            Some("planned_enrolment"),
        ),
        case("blank", &trial, registered(json!({"title": " "})), 400, "blank", Some("title")),
        case("too long", &trial, registered(json!({"title": "t".repeat(501)})), 400, "too-long", Some("title")),
        case("missing", &trial, of(json!({"protocol": "P"})), 400, "malformed", Some("title")),
        case(
            "too precise",
            &observe,
            "{\"code\":\"X\",\"value\":1.2345678901234567890123}",
            400,
            "malformed",
            Some("value"),
        ),
        case("huge number", &observe, "{\"code\":\"X\",\"value\":1e400}", 400, "malformed", None),
        case("out of range", &report, answered(json!({"PHQ0101": 4})), 400, "out-of-range", Some("answers/PHQ0101")),
        case("unknown item", &report, answered(json!({"PHQ01099": 1})), 400, "malformed", Some("answers/PHQ01099")),
        case(
            "text for a number",
            &report,
            answered(json!({"PHQ0101": "one"})),
            400,
            "out-of-range",
            Some("answers/PHQ0101"),
        ),
        case(
            "unknown subject",
            &report,
            of(json!({"subject_id": fresh(), "instrument": "PHQ-9", "answers": {}})),
            422,
            "subject-not-found",
            Some("subject_id"),
        ),
        case(
            "grade of six",
            &event,
            of(json!({"subject_id": subject, "term": "X", "severity": "mild", "serious": false, "ctcae_grade": 6})),
            400,
            "out-of-range",
            Some("ctcae_grade"),
        ),
        case(
            "unknown patient",
            &format!("/v1/patients/{}/record-observation", fresh()),
            of(json!({"code": "X", "value": 1})),
            404,
            "patient-not-found",
            None,
        ),
        case("no UUID", "/v1/patients/7/register-patient", "{}", 400, "malformed", Some("id")),
        case("no such command", &format!("/v1/patients/{patient}/resurrect"), "{}", 404, "route-not-found", None),
        case(
            "enrolled twice",
            &format!("/v1/subjects/{subject}/enrol-subject"),
            "{}",
            422,
            "subject-not-in-screening",
            None,
        ),
        case(
            "no such arm",
            &format!("/v1/subjects/{subject}/randomise-subject"),
            of(json!({"arm": "Z"})),
            422,
            "subject-not-enrolled",
            None,
        ),
        case(
            "screened twice",
            &format!("/v1/patients/{patient}/screen-patient"),
            of(json!({"trial_id": clinic.trial})),
            422,
            "subject-already-screened",
            None,
        ),
        case(
            "signed twice",
            &format!("/v1/patients/{patient}/sign-consent"),
            of(json!({"trial_id": clinic.trial, "form_version": "1.0", "language": "en"})),
            422,
            "consent-already-signed",
            None,
        ),
        case(
            "registered twice",
            &format!("/v1/patients/{patient}/register-patient"),
            "{}",
            422,
            "patient-already-registered",
            None,
        ),
    ];
    // Within the limit of a body, and more than one event may have.
    let criterion = |number: u32| {
        json!({"code": format!("C{number}"), "text": "\u{1f600}".repeat(490), "category": "inclusion",
               "test": {"kind": "observation", "code": "AGE", "operator": "at-least", "value": 18}})
    };
    let criteria: Vec<Value> = (0..485).map(criterion).collect();
    let eligibility = format!("/v1/trials/{}/define-eligibility", clinic.trial);
    let large = case("a large event", &eligibility, of(json!({"criteria": criteria})), 413, "event-too-large", None);
    let before = head(&system.api).await;
    for case in cases.into_iter().chain([large]) {
        let answer = send(&system.api, &case.path, &case.body, "application/json").await;
        let (status, document) = answer;
        assert_eq!(status, case.status, "{}: {document:#}", case.what);
        assert_eq!(document["type"], format!("urn:anamnesis:problem:{}", case.rule), "{}: {document:#}", case.what);
        assert_eq!(document["status"], case.status);
        if let Some(field) = case.field {
            assert_eq!(document["errors"][0]["field"], field, "{}: {document:#}", case.what);
        }
    }
    assert_eq!(head(&system.api).await, before, "nothing was appended");
}

#[tokio::test]
async fn bad_requests_of_every_other_kind_are_refused() {
    let system = System::embedded().await;
    let api = &system.api;
    let path = format!("/v1/patients/{}/register-patient", fresh());
    let (status, document) = send(api, &path, b"{}", "text/plain").await;
    assert_eq!((status, &document["rule"]), (415, &json!("unsupported-media-type")));
    let (status, document) = send(api, &path, &vec![b' '; 2_000_000], "application/json").await;
    assert_eq!((status, &document["rule"]), (413, &json!("body-too-large")));
    for (name, value) in [("Idempotency-Key", "a b"), ("Idempotency-Key", &"k".repeat(256)), ("If-Match", "3")] {
        let answer = api.post_with(&path, json!({}), &[(name, value)]).await;
        assert_eq!((answer.status.as_u16(), &answer.body["errors"][0]["field"]), (400, &json!(name)));
    }
    let answer = api.request(Method::DELETE, "/v1/trials").send().await.expect("an answer");
    assert_eq!(answer.status(), 405);
    assert!(answer.headers().contains_key("allow"));
    let queries = [
        ("/v1/subjects?trail=x", "unknown-parameter", "trail"),
        ("/v1/subjects?trial_id=x", "malformed", "trial_id"),
        ("/v1/subjects?limit=0", "out-of-range", "limit"),
        ("/v1/subjects?limit=1001", "out-of-range", "limit"),
        ("/v1/subjects?limit=ten", "malformed", "limit"),
        ("/v1/subjects?sort=arm", "unknown-column", "sort"),
        ("/v1/subjects?after=abc", "foreign-cursor", "after"),
        ("/v1/subjects?sort=screened_at&sort=screened_at", "duplicate", "sort"),
        ("/v1/subjects?status=enrolled&status=b", "unknown-value", "status"),
        ("/v1/subjects?status=enrolled,", "empty", "status"),
        ("/v1/subjects?subject_number=", "empty", "subject_number"),
        ("/v1/events?type=alertraised", "unknown-value", "type"),
        ("/v1/subjects?status=%00", "control-character", "status"),
        ("/v1/subjects?at_least=-1", "malformed", "at_least"),
        ("/v1/subjects?at_least=99999999999999999999", "malformed", "at_least"),
        ("/v1/adverse-events?serious=perhaps", "malformed", "serious"),
        ("/v1/alerts?status=open", "unknown-value", "status"),
        ("/v1/reports?since=yesterday", "malformed", "since"),
        ("/v1/patients/7", "malformed", "id"),
        ("/v1/events?after=x", "malformed", "after"),
    ];
    for (path, rule, field) in queries {
        let answer = api.get(path).await;
        assert_eq!(answer.status.as_u16(), 400, "{path}: {:#}", answer.body);
        assert_eq!((&answer.body["rule"], &answer.body["errors"][0]["field"]), (&json!(rule), &json!(field)), "{path}");
    }
    api.get(&format!("/v1/patients/{}", fresh())).await.refused(404, "not-found");
    api.get("/v1/subjects?at_least=999999&timeout_ms=50").await.refused(409, "position-beyond-head");
}

#[tokio::test]
async fn every_fault_of_a_body_is_told_at_once() {
    let system = System::embedded().await;
    let body = json!({"protcol": "P", "title": 7, "blinding": "triple", "planned_enrolment": -1});
    let answer = system.api.post("/v1/trials", body).await;
    let errors = answer.body["errors"].as_array().expect("faults").iter();
    let fields: Vec<&str> = errors.map(|error| error["field"].as_str().expect("a field")).collect();
    for field in ["protocol", "protcol", "title", "blinding", "planned_enrolment"] {
        assert!(fields.contains(&field), "{:#}", answer.body);
    }
    assert!(!answer.body.to_string().contains(" column "), "{:#}", answer.body);
    answer.refused(400, "malformed");
}

#[tokio::test]
async fn bodies_and_answers_may_be_packed() {
    let system = System::embedded().await;
    let api = &system.api;
    let pack = |bytes: &[u8]| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut packer, bytes).expect("it is packed");
        packer.finish().expect("it is packed")
    };
    let path = format!("/v1/patients/{}/register-patient", fresh());
    let packed = async |body: Vec<u8>, encoding: &str| {
        let send = || {
            let request = api.request(Method::POST, &path).header("content-type", "application/json");
            request.header("content-encoding", encoding).body(body.clone()).send()
        };
        // A connection whose body was not read to its end is closed: the next request may still meet it.
        match send().await {
            Ok(answer) => answer,
            Err(_) => send().await.expect("an answer"),
        }
    };
    let answer = packed(pack(br#"{"sex": "F"}"#), "gzip").await;
    assert!(answer.status().is_success(), "{}", answer.status());
    // What it unpacks to counts: a megabyte of blanks takes a thousand bytes.
    let bomb = pack(&vec![b' '; 50_000_000]);
    assert!(bomb.len() < 100_000);
    let answer = packed(bomb, "gzip").await;
    assert_eq!(answer.status(), 413);
    assert_eq!(packed(b"no gzip".to_vec(), "gzip").await.status(), 400);
    let answer = packed(b"{}".to_vec(), "br").await;
    assert_eq!(answer.status(), 415);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    for encoding in ["gzip", "zstd"] {
        let answer = api.request(Method::GET, "/v1/views").header("accept-encoding", encoding).send().await;
        assert_eq!(answer.expect("an answer").headers()["content-encoding"], encoding);
    }
    // What is sent piece by piece, too.
    let export = path.replace("register-patient", "history/export");
    let plain = api.get_raw(&export).await.text().await.expect("a body");
    let answer = api.request(Method::GET, &export).header("accept-encoding", "gzip").send().await.expect("an answer");
    let bytes = answer.bytes().await.expect("a body");
    let unpacked = std::io::read_to_string(flate2::read::GzDecoder::new(&*bytes)).expect("it is unpacked");
    assert_eq!(unpacked, plain);
    let stream = api.request(Method::GET, "/v1/events").header("accept-encoding", "gzip").send().await;
    assert!(!stream.expect("a stream").headers().contains_key("content-encoding"), "events are not held back");
}

#[tokio::test]
async fn head_and_options_are_answered() {
    let system = System::embedded().await;
    let whole = system.api.get_raw("/v1/views").await;
    let head = system.api.request(Method::HEAD, "/v1/views").send().await.expect("an answer");
    assert_eq!((head.status(), &head.headers()["content-type"]), (whole.status(), &whole.headers()["content-type"]));
    assert!(head.bytes().await.expect("a body").is_empty());
    // Browsers and tools ask before they have a token.
    let nobody = system.api.with_token(None);
    for (path, allowed) in [("/v1/reports", ["GET", "POST"]), ("/v1/views", ["GET", "HEAD"])] {
        let options = nobody.request(Method::OPTIONS, path).send().await.expect("an answer");
        assert_eq!(options.status(), 204, "{path}");
        let told = options.headers()["allow"].to_str().expect("text").to_owned();
        assert!(allowed.iter().all(|method| told.contains(method)), "{path}: {told}");
    }
}

#[tokio::test]
async fn roles_may_do_what_is_theirs_and_no_more() {
    let system = System::embedded().await;
    let clinic = Clinic::open(&system.api, Plan::default()).await;
    let (patient, subject) = clinic.enrolled_subject().await;
    let randomise = format!("/v1/subjects/{subject}/randomise-subject");
    for role in ["administrator", "sponsor", "monitor", "auditor", "investigator"] {
        let refused = system.as_role(role).post(&randomise, json!({"arm": "ARMACTIVE"})).await;
        refused.refused(403, "not-a-duty");
    }
    let oneself = system.as_participant(patient);
    oneself.post(&randomise, json!({"arm": "ARMACTIVE"})).await.refused(403, "not-a-duty");
    system.as_role("unblinded-statistician").post(&randomise, json!({"arm": "ARMACTIVE"})).await.ok();
    let register = format!("/v1/patients/{}/register-patient", fresh());
    system.as_role("sponsor").post(&register, json!({})).await.refused(403, "not-a-duty");
    system.as_role("coordinator").post(&register, json!({})).await.ok();
}

async fn send(api: &Api, path: &str, body: &[u8], kind: &str) -> (u16, Value) {
    let request = api.request(Method::POST, path).header("content-type", kind).body(body.to_vec());
    let response = request.send().await.expect("an answer");
    let (status, text) = (response.status().as_u16(), response.text().await.expect("a body"));
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

async fn head(api: &Api) -> Value {
    api.get("/v1/views").await.ok()["position"].clone()
}
