//! Tokens: only a server makes the key, and a token that does not hold is told apart by why.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::system::{System, make_key, program, run, text};

#[test]
fn in_a_wrong_folder_no_key_is_made() {
    let folder = TempDir::new().expect("a folder");
    let output = run(&["token", "--account", "a"], folder.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let told = text(&output.stderr);
    for hint in ["anamnesis-data/signing.pem", "--data-dir", "--signing-key-file", "ANAMNESIS_SIGNING_KEY"] {
        assert!(told.contains(hint), "{told}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0, "nothing was made");
}

#[test]
fn an_account_is_no_name_and_a_token_does_not_last_for_years() {
    let folder = TempDir::new().expect("a folder");
    let key = folder.path().join("signing.pem");
    make_key(&key);
    let issue = |more: &[&str]| {
        let key = key.to_string_lossy().into_owned();
        run(&[&["token", "--signing-key-file", &key], more].concat(), folder.path())
    };
    for refused in [
        ["--account", "Kari Nordmann", "--ttl", "1h"],
        ["--account", "system:enrolment", "--ttl", "1h"],
        ["--account", "a", "--ttl", "2d"],
    ] {
        assert_eq!(issue(&refused).status.code(), Some(2), "{refused:?}");
    }
    let output = issue(&["--account", "audit-1", "--json"]);
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(told["account"], "audit-1");
    assert!(told["token"].as_str().is_some_and(|token| token.split('.').count() == 3), "{told}");
}

#[tokio::test]
async fn a_token_that_does_not_hold_is_told_why() {
    let system = System::embedded_with(&["--oidc-refetch-seconds", "1"]).await;
    let folder = TempDir::new().expect("a folder");
    let key = folder.path().join("other.pem");
    make_key(&key);
    let key = key.to_string_lossy().into_owned();
    let of_another = run(&["token", "--signing-key-file", &key, "--account", "a"], folder.path());
    let of_another = system.api.with_token(Some(text(&of_another.stdout).trim().to_owned()));
    let brief = system.for_a_time("1s");
    let expired = async || brief.get("/v1/views").await.status == 401;
    testkit::eventually("the token has expired", std::time::Duration::from_secs(30), expired).await;
    let answers = [
        (system.api.with_token(Some("nonsense".to_owned())), "malformed"),
        (of_another, "a key that its issuer does not have"),
        (brief, "expired"),
    ];
    for (api, why) in answers {
        // It might be of a key that was made since the keys were looked up last: until they are again, nobody can say.
        let answer = tokio::sync::Mutex::new(None);
        let answered = async || {
            let response = api.get_raw("/v1/views").await;
            let is_said = response.status() != 503;
            *answer.lock().await = Some(response);
            is_said
        };
        testkit::eventually("it is told why", std::time::Duration::from_secs(30), answered).await;
        let response = answer.into_inner().expect("an answer");
        let header = response.headers()["www-authenticate"].to_str().expect("text").to_owned();
        assert!(header.contains("invalid_token") && header.contains(why), "{header}");
        let body: serde_json::Value = response.json().await.expect("a problem document");
        assert!(body["detail"].as_str().is_some_and(|detail| detail.contains(why)), "{body}");
        assert_eq!(body["rule"], "unauthenticated");
    }
    // Who was denied what is in the log.
    let told = system.processes[0].told();
    assert!(told.contains("access denied") && told.contains("/v1/views"), "{told}");
    let twice = system.api.request(reqwest::Method::GET, "/v1/views").header("authorization", "Bearer x").send().await;
    assert_eq!(twice.expect("an answer").status(), 400);
}

/// What compose reads is made once: another start with another password would find its database shut.
#[test]
fn the_secrets_of_compose_are_made_once() {
    let folder = TempDir::new().expect("a folder");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/init-env.sh");
    let file = folder.path().join("compose.env");
    let make = || {
        let output = Command::new("sh").arg(&script).arg(&file).output().expect("sh");
        assert!(output.status.success(), "{}", text(&output.stderr));
        std::fs::read_to_string(&file).expect("the file")
    };
    let made = make();
    assert_eq!(make(), made, "nothing is drawn anew");
    assert_eq!(std::fs::metadata(&file).expect("its rights").permissions().mode() & 0o777, 0o600);
    let value = |name: &str| made.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned).expect(name);
    assert!(value("POSTGRES_PASSWORD=").bytes().all(|byte| byte.is_ascii_hexdigit()), "it stands in an address");
    let key = value("ANAMNESIS_SIGNING_KEY=");
    let issue = ["token", "--account", "admin"];
    let token = program(folder.path()).env("ANAMNESIS_SIGNING_KEY", &key).args(issue).output().expect("it starts");
    assert!(token.status.success(), "{}", text(&token.stderr));

    // What was there before is kept, what was missing is made.
    std::fs::write(&file, format!("OTHER=1\nANAMNESIS_SIGNING_KEY={key}\nPOSTGRES_PASSWORD=\n")).expect("written");
    let completed = make();
    assert!(
        completed.contains("OTHER=1\n") && completed.contains(&format!("ANAMNESIS_SIGNING_KEY={key}\n")),
        "{completed}"
    );
    let passwords = completed.lines().filter(|line| line.starts_with("POSTGRES_PASSWORD="));
    assert_eq!(passwords.filter(|line| line.len() > "POSTGRES_PASSWORD=".len()).count(), 1, "{completed}");
}
