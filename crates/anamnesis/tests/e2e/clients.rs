//! The published interface as tools of others take it: linted, called by generated clients, and by a tool that makes
//! up requests.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use xtask::process::output;
use xtask::tools::{java, npm_folder, npm_tool, python_venv};

use crate::system::System;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the source tree")
}

fn document() -> PathBuf {
    root().join("openapi/openapi.json")
}

/// Runs a program to its end in the folder.
#[track_caller]
fn run(program: impl AsRef<OsStr>, arguments: &[&str], folder: &Path, system: Option<&System>) -> String {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env("NO_COLOR", "1").env("PYTHONDONTWRITEBYTECODE", "1");
    if let Some(system) = system {
        // Whoever brings trials over, and answers for alerts besides.
        let token = token(system, "example-1", &["integration", "investigator"]);
        command.env("ANAMNESIS_URL", &system.processes[0].url).env("ANAMNESIS_TOKEN", token);
    }
    output(&mut command).unwrap_or_else(|error| panic!("{error}"))
}

/// A token of an account that has these roles everywhere.
fn token(system: &System, username: &str, roles: &[&str]) -> String {
    for role in roles {
        system.open_account(username, &["--role", role]);
    }
    system.token(username, &[])
}

/// A folder of its own within `within`, with the files of an example.
fn example(name: &str, within: &Path) -> TempDir {
    let folder = TempDir::new_in(within).expect("a folder");
    for file in std::fs::read_dir(root().join("examples/clients").join(name)).expect("an example") {
        let file = file.expect("a file").path();
        std::fs::copy(&file, folder.path().join(file.file_name().expect("a name"))).expect("it is copied");
    }
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path is text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_openapi_typescript_compiles_and_works() {
    let system = System::embedded().await;
    // Modules are looked for in the folders above.
    let folder = example("openapi-fetch", &npm_folder().expect("npm's packages"));
    let folder = folder.path();
    std::fs::write(folder.join("package.json"), r#"{"type": "module"}"#).expect("a file");
    let tool = |name| npm_tool(name).expect("a tool");
    run(tool("openapi-typescript"), &[text(&document()), "-o", "schema.d.ts"], folder, None);
    run(tool("tsc"), &["--project", "tsconfig.json"], folder, None);
    assert_eq!(run("node", &["out/scenario.js"], folder, Some(&system)).trim(), "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_openapi_python_client_works() {
    let system = System::embedded().await;
    let python = python_venv().expect("Python's packages");
    let folder = example("openapi-python-client", &std::env::temp_dir());
    let folder = folder.path();
    let document = document();
    let arguments = ["generate", "--path", text(&document), "--meta", "none", "--output-path", "anamnesis_client"];
    let told = run(python.join("openapi-python-client"), &arguments, folder, None);
    assert!(!told.contains("Unable to") && !told.contains("Endpoint will not"), "{told}");
    assert_eq!(run(python.join("python"), &["scenario.py"], folder, Some(&system)).trim(), "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_openapi_generator_works() {
    let system = System::embedded().await;
    java().expect("a Java runtime");
    let python = python_venv().expect("Python's packages");
    let folder = example("openapi-generator", &std::env::temp_dir());
    let folder = folder.path();
    let document = document();
    let named = "--additional-properties=packageName=anamnesis_generated";
    let arguments = ["generate", "-g", "python", "-i", text(&document), "-o", ".", named];
    run(python.join("openapi-generator-cli"), &arguments, folder, None);
    assert_eq!(run(python.join("python"), &["scenario.py"], folder, Some(&system)).trim(), "done");
}

#[test]
fn linters_find_nothing_in_the_interfaces_description() {
    let folder = TempDir::new().expect("a folder");
    let rules = folder.path().join("rules.json");
    std::fs::write(&rules, r#"{"extends": ["spectral:oas"]}"#).expect("a file");
    let document = document();
    let arguments = ["lint", "--ruleset", text(&rules), "--fail-severity", "hint", text(&document)];
    run(npm_tool("spectral").expect("Spectral"), &arguments, folder.path(), None);
    let arguments = ["lint", "--format", "json", text(&document)];
    let told = run(npm_tool("redocly").expect("Redocly"), &arguments, folder.path(), None);
    let begin = told.find('{').expect("JSON");
    let found: serde_json::Value = serde_json::from_str(&told[begin..]).expect("JSON");
    assert_eq!((&found["totals"]["errors"], &found["totals"]["warnings"]), (&0.into(), &0.into()), "{told}");
}

/// A tool that makes up requests from the description: no answer is a fault of the server, and each is one that the
/// description knows, of the form that it says.
#[tokio::test(flavor = "multi_thread")]
async fn made_up_requests_get_only_answers_that_are_described() {
    let system = System::embedded().await;
    let python = python_venv().expect("Python's packages");
    let folder = TempDir::new().expect("a folder");
    let document = document();
    // Whoever gives too little time is told so, as a fault of the server's kind.
    let patient =
        "hooks = \"hooks\"\nparameters = { \"query.timeout_ms\" = 60000, \"header.Request-Timeout\" = \"60\" }\n";
    // Bytes of an upload that is resumed.
    let bytes = "import schemathesis\n\n\n@schemathesis.serializer(\"application/offset+octet-stream\")\n\
                 def offset(ctx, value):\n    return str(value).encode()\n";
    std::fs::write(folder.path().join("hooks.py"), bytes).expect("a file");
    std::fs::write(folder.path().join("schemathesis.toml"), patient).expect("a file");
    // What is refused for want of a right is looked at no further, and too much of it locks an account.
    let everything = ["administrator", "integration", "investigator", "unblinded-statistician"];
    let authorization = format!("Authorization: Bearer {}", token(&system, "everybody", &everything));
    let url = system.processes[0].url.clone();
    let checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                  response_schema_conformance,unsupported_method";
    let arguments = [
        "run",
        text(&document),
        "--url",
        &url,
        "--header",
        &authorization,
        "--checks",
        checks,
        "--phases",
        "examples,coverage,fuzzing",
        "--max-examples",
        "8",
        "--max-time",
        "60",
        "--workers",
        "1",
        "--seed",
        "13",
        "--generation-database",
        "none",
        "--request-timeout",
        "10",
        // A connection that was kept may be closed by the server just when it is used again.
        "--request-retries",
        "2",
        "--continue-on-failure",
        "--warnings",
        "off",
        // It never ends.
        "--exclude-operation-id",
        "streamEvents",
        "--no-color",
    ];
    run(python.join("schemathesis"), &arguments, folder.path(), None);
}
