//! What the program tells of itself: help, completions, manual pages, versions, the list of metrics.

use std::path::Path;

use tempfile::TempDir;

use crate::system::{System, http, run, text};

fn told(arguments: &[&str]) -> String {
    let output = run(arguments, Path::new("/tmp"));
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Every command, as its own help names it.
fn every_command() -> Vec<String> {
    let help = told(&["--help"]);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    commands
        .filter_map(|line| {
            line.strip_prefix("  ").filter(|line| !line.starts_with(' '))?.split_whitespace().next().map(str::to_owned)
        })
        .collect()
}

#[test]
fn every_command_explains_itself_with_examples_that_are_right() {
    let commands = every_command();
    assert!(commands.len() >= 19, "{commands:?}");
    for command in commands.iter().filter(|command| *command != "help") {
        let help = told(&[command, "--help"]);
        assert!(help.contains("--config <FILE>"), "{command}: one settings file serves every command\n{help}");
        let examples: Vec<&str> = help.lines().filter_map(|line| line.strip_prefix("  anamnesis ")).collect();
        assert!(!examples.is_empty(), "{command} has no example:\n{help}");
        for example in examples {
            // A file of settings would be read first.
            let example = example.replace("--config /etc/anamnesis.toml", "");
            let mut words: Vec<&str> = example.split_whitespace().collect();
            // Every flag in it is one of the command's: with an unknown one last, that one is what is refused.
            words.push("--no-such-flag");
            let refused = text(&run(&words, Path::new("/tmp")).stderr);
            assert!(refused.contains("'--no-such-flag'"), "{example}: {refused}");
        }
    }
    assert_eq!(told(&["help", "--help"]), told(&["--help"]));
    assert!(told(&["help", "token"]).contains("--account"));
}

#[test]
fn the_version_names_the_commit() {
    let version = told(&["--version"]);
    let commit = version.trim().split("(commit ").nth(1).and_then(|rest| rest.strip_suffix(')')).expect("a commit");
    assert!(commit == "unknown" || commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{version}");
}

#[test]
fn shells_complete_it_and_man_explains_it() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(told(&["completions", shell]).contains("simulate"), "{shell}");
    }
    let folder = TempDir::new().expect("a folder");
    let man = run(&["man", "man1"], folder.path());
    assert!(man.status.success(), "{}", text(&man.stderr));
    for page in ["anamnesis.1", "anamnesis-serve.1", "anamnesis-replay-patient.1"] {
        let page = std::fs::read_to_string(folder.path().join("man1").join(page)).expect(page);
        assert!(page.contains(".SH NAME") || page.contains(".SH \"NAME\""), "{page}");
    }
}

#[test]
fn the_lists_of_metrics_and_settings_are_in_the_documents() {
    for list in ["metrics", "settings"] {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/{list}.md"));
        let written = std::fs::read_to_string(&page).unwrap_or_default();
        assert_eq!(written, told(&[list]), "write it anew: anamnesis {list} > docs/{list}.md");
    }
}

#[tokio::test]
async fn addresses_are_given_as_people_write_them() {
    let system = System::embedded_with(&[]).await;
    let root: serde_json::Value =
        http().get(&system.processes[0].url).send().await.expect("an answer").json().await.expect("JSON");
    for (what, link) in root["links"].as_object().expect("links") {
        let address = format!("{}{}", system.processes[0].url, link.as_str().expect("an address"));
        assert!(http().get(&address).send().await.expect("an answer").status().is_success(), "{what}: {address}");
    }
    let told = system.processes[0].told();
    assert!(told.contains("started version=\"") && told.contains("listen=127.0.0.1:"), "{told}");
    assert!(!told.contains('\u{1b}'), "colours are for terminals: {told}");
    let taken = system.processes[0].url.rsplit(':').next().expect("a port").to_owned();
    let data = system.folder.path().join("other").to_string_lossy().into_owned();
    for listen in [format!("localhost:{taken}"), format!(":{taken}"), taken.clone()] {
        let output = run(&["serve", "--listen", &listen, "--data-dir", &data], system.folder.path());
        assert!(
            text(&output.stderr).contains(&format!("cannot listen on 127.0.0.1:{taken}")),
            "{listen}: {}",
            text(&output.stderr)
        );
    }
    let output = run(&["--listen", "localhost"], system.folder.path());
    assert!(text(&output.stderr).contains("such as 127.0.0.1:8080"), "{}", text(&output.stderr));
}
