//! Commands that the program prints work as they are printed, in another shell and folder.

use std::path::Path;
use std::process::{Command, Output};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::system::{BINARY, Process, System, clean, run, text};

/// Runs a line as another terminal would: another folder, no variables of ours.
fn paste(line: &str) -> Output {
    let shell = clean(Command::new("sh"), Path::new("/")).args(["-eu", "-c", line]).output();
    shell.expect("sh")
}

/// The lines that begin as commands do, in the order of the text.
fn commands(text: &str) -> Vec<String> {
    let is_command = |line: &&str| line.contains(BINARY) || line.starts_with("curl ");
    text.lines().map(str::trim).filter(is_command).map(str::to_owned).collect()
}

fn succeeds(line: &str) -> String {
    let output = paste(line);
    assert!(output.status.success(), "{line}\n{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[tokio::test]
async fn a_newcomer_follows_what_is_printed_from_the_banner_to_a_history() {
    let folder = tempfile::Builder::new().prefix("it's a folder? ").tempdir().expect("a folder");
    let arguments = ["--data-dir".to_owned(), "my data".to_owned()];
    let mut process = Process::start("serve", folder.path(), &arguments);
    process.ready().await;
    let banner = commands(&process.told());
    assert_eq!(banner.len(), 3, "simulate, curl, token: {}", process.told());
    let simulate = banner[0].replace("--subjects 200", "--subjects 12");
    assert!(simulate.contains("simulate"), "{simulate}");
    let told = succeeds(&simulate);
    let replay = commands(&told).pop().unwrap_or_else(|| panic!("nothing to try next: {told}"));
    assert!(replay.contains("replay patient"), "{replay}");
    let history = succeeds(&replay);
    // Each played their own part.
    for who in ["by coordinator-70", "by participant-", "by randomisation-service (integration)", "by system:"] {
        assert!(history.contains(who), "{who}: {history}");
    }
    // Who opened the participant's account is told as well; nothing else is an administrator's.
    let of_administrators: Vec<&str> = history.lines().filter(|line| line.contains("(administrator)")).collect();
    assert!(of_administrators.iter().all(|line| line.contains("RoleGranted")), "{of_administrators:?}");
    let alerts: Value = serde_json::from_str(&succeeds(&banner[1])).expect("JSON");
    assert!(alerts["items"].as_array().is_some_and(|alerts| !alerts.is_empty()), "{alerts}");
    let token = succeeds(&banner[2]);
    assert_eq!(token.trim().split('.').count(), 3, "{token}");

    // The same again, in words of a machine: nothing is new, on any later day.
    let again: Value = serde_json::from_str(&succeeds(&format!("{simulate} --json"))).expect("JSON");
    assert_eq!((&again["new_events"], &again["protocol"]), (&0.into(), &"SIM-1-12-5".into()), "{again}");
}

/// What a terminal of 60 columns shows: pieces between returns of the carriage, without control sequences.
fn seen_at_60_columns(folder: &Path, line: &str) -> Vec<String> {
    let typescript = folder.join("typescript");
    let shown = format!("stty cols 60 rows 24 && exec {line}");
    let mut script = clean(Command::new("script"), Path::new("/"));
    let status = script.env("SHELL", "/bin/sh").env("TERM", "xterm").args(["--quiet", "--return", "--command", &shown]);
    let status = status.arg(&typescript).stdout(std::process::Stdio::null()).status().expect("script");
    let shown = text(&std::fs::read(&typescript).expect("what was shown"));
    assert!(status.success(), "{shown}");
    let mut plain = String::new();
    let mut letters = shown.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' && letters.next_if_eq(&'[').is_some() {
            // Up to the letter that ends it.
            while letters.next().is_some_and(|letter| !letter.is_ascii_alphabetic()) {}
        } else {
            plain.push(letter);
        }
    }
    plain.split(['\r', '\n']).map(str::to_owned).collect()
}

#[tokio::test]
async fn progress_is_seen_from_the_start_and_fits_a_narrow_terminal() {
    let system = System::embedded_with(&[]).await;
    let simulate = commands(&system.processes[0].told())[0].replace("--subjects 200", "--subjects 30");
    let seen = seen_at_60_columns(system.folder.path(), &simulate);
    assert!(seen.iter().any(|line| line.starts_with("consents [") && line.contains(" 0/30")), "{seen:?}");
    let bars: Vec<&String> = seen.iter().filter(|line| line.contains(" [") && !line.starts_with("Script")).collect();
    assert!(bars.iter().all(|line| line.chars().count() <= 60), "torn: {bars:?}");
    let replay = seen.iter().find(|line| line.contains("replay patient")).expect("a command").trim().to_owned();
    let history = seen_at_60_columns(system.folder.path(), &replay);
    let too_long: Vec<&String> =
        history.iter().filter(|line| line.chars().count() > 60 && !line.contains("Script")).collect();
    assert!(history.len() > 20 && too_long.is_empty(), "{too_long:?}");
}

#[tokio::test]
async fn a_simulation_that_is_interrupted_says_how_to_go_on() {
    let system = System::embedded_with(&[]).await;
    let simulate = commands(&system.processes[0].told())[0].replace("--subjects 200", "--subjects 4000");
    let mut shell = clean(Command::new("sh"), Path::new("/"));
    let shell = shell.args(["-c", &format!("exec {simulate}")]).stderr(std::process::Stdio::piped());
    let child = shell.stdout(std::process::Stdio::null()).spawn().expect("sh");
    let begun = |page: &Value| page["items"].as_array().is_some_and(|patients| !patients.is_empty());
    system.api.until("/v1/patients?limit=1", "begun", begun).await;
    kill_process(Pid::from_child(&child), Signal::INT).expect("it is there");
    let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await.expect("waited").expect("its end");
    assert_eq!(output.status.code(), Some(130));
    assert!(text(&output.stderr).contains("run the same command again to go on"), "{}", text(&output.stderr));
}

#[tokio::test]
async fn a_backup_is_served_by_the_command_that_it_prints() {
    let system = System::embedded_with(&[]).await;
    let data = system.folder.path().join("data").to_string_lossy().into_owned();
    let backup = run(&["backup", "its copy", "--data-dir", &data], system.folder.path());
    let line = commands(&text(&backup.stdout)).pop().expect("a command");
    // Without a place for it, it says what to do.
    let taken = system.processes[0].url.trim_start_matches("http://").to_owned();
    let output = paste(&format!("{line} --listen {taken}"));
    assert!(text(&output.stderr).contains("cannot listen"), "{}", text(&output.stderr));
    let kept = |folder: &str| -> Vec<String> {
        let files = std::fs::read_dir(system.folder.path().join(folder)).expect("a folder");
        files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned()).collect()
    };
    let mut copied = kept("its copy");
    copied.sort();
    assert_eq!(copied, ["log.db", "readings.db"]);
    let restored = kept("its copy-restored");
    assert!(
        ["log.db", "readings.db", "keys.db"].iter().all(|file| restored.iter().any(|kept| kept == file)),
        "{restored:?}"
    );
    // Where there is one, it is served.
    let (_, serve) = line.rsplit_once(" serve ").expect("what serves it");
    let mut again = Process::start("serve", system.folder.path(), &shlex::split(serve).expect("words"));
    again.ready().await;
    let json = run(&["backup", "second", "--data-dir", &data, "--json"], system.folder.path());
    let told: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert!(told["file"].as_str().is_some_and(|file| Path::new(file).is_file()), "{told}");
}

#[tokio::test]
async fn one_of_several_processes_says_how_to_get_a_token() {
    let system = System::on_postgres().await;
    let told = system.processes[0].told();
    let lines = commands(&told);
    let [administrator, issue] = lines.as_slice() else { panic!("an administrator and a token: {told}") };
    let [administrator, issue] = [administrator, issue].map(|line| &line[line.find(BINARY).expect("the program")..]);
    let url = &system.database.as_ref().expect("a database").url;
    succeeds(&format!("ANAMNESIS_DATABASE_URL='{url}' {administrator}"));
    let token = succeeds(issue);
    let api = system.api.with_token(Some(token.trim().to_owned()));
    api.get("/v1/views").await.ok();
}
