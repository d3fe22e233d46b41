//! `cargo xtask trace`: requirement → test → result.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, ExitCode, Stdio};

use xtask::process::{TaskError, describe};

use crate::test::{Surroundings, root};

/// Where the rows stand.
const REQUIREMENTS: &str = "docs/requirements.md";
/// Tests that bear the number of a row, or of several.
const TESTS: &str = r"test(/(^|::)r\d\d_/)";

/// A row: its number and what is asked for.
struct Requirement {
    number: u32,
    text: String,
}

/// Runs the tests of all rows and prints what each showed.
pub fn run() -> Result<ExitCode, TaskError> {
    let file = root().join(REQUIREMENTS);
    let text = std::fs::read_to_string(&file).map_err(TaskError::file("cannot read", &file))?;
    let requirements: Vec<Requirement> = text.lines().filter_map(requirement).collect();
    let surroundings = Surroundings::start()?;
    let mut tests = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    tests.args(["nextest", "run", "--workspace", "--no-fail-fast", "--color", "never", "-E", TESTS]);
    tests.envs(surroundings.variables()).current_dir(root()).stderr(Stdio::piped());
    let mut child = tests.spawn().map_err(|source| TaskError::Start { program: describe(&tests), source })?;
    let told = BufReader::new(child.stderr.take().into_iter().next().expect("it is piped"));
    let mut results = BTreeMap::new();
    for line in told.lines().map_while(Result::ok) {
        eprintln!("{line}");
        results.extend(result(&line));
    }
    let status = child.wait().map_err(|source| TaskError::Start { program: describe(&tests), source })?;
    let mut is_whole = status.success();
    let mut out = std::io::stdout().lock();
    // A reader that went away no longer needs them.
    drop(writeln!(out, "| row | what is asked for | test | result |\n| --- | --- | --- | --- |"));
    for Requirement { number, text } in &requirements {
        let mut of_row = results.iter().filter(|(test, _)| rows(test).contains(number)).peekable();
        if of_row.peek().is_none() {
            is_whole = false;
            drop(writeln!(out, "| R{number} | {text} | none | MISSING |"));
        }
        for (test, passed) in of_row {
            drop(writeln!(out, "| R{number} | {text} | {test} | {} |", if *passed { "passed" } else { "FAILED" }));
        }
    }
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn requirement(line: &str) -> Option<Requirement> {
    let mut cells = line.strip_prefix("| R")?.split('|').map(str::trim);
    Some(Requirement { number: cells.next()?.parse().ok()?, text: cells.next()?.to_owned() })
}

/// A test's name and whether it passed, of a line of the runner.
fn result(line: &str) -> Option<(String, bool)> {
    let line = line.trim_start();
    let passed = match line.split_whitespace().next()? {
        "PASS" => true,
        "FAIL" | "SIGTERM" | "TIMEOUT" | "SIGABRT" | "SIGSEGV" => false,
        _ => return None,
    };
    let test = line.rsplit(')').next().map(str::trim).filter(|test| !test.is_empty())?;
    Some((test.to_owned(), passed))
}

/// The rows whose numbers a test bears: `r14_r26_…` is of two.
fn rows(test: &str) -> Vec<u32> {
    let name = test.rsplit("::").next().unwrap_or_default();
    let parts =
        name.split('_').map_while(|part| part.strip_prefix('r').filter(|digits| digits.len() == 2)?.parse().ok());
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::{requirement, result, rows};

    #[test]
    fn rows_tests_and_results_are_found() {
        let row = requirement("| R5 | In order | 21 CFR 11.10(f) |").expect("a row");
        assert_eq!((row.number, row.text.as_str()), (5, "In order"));
        assert!(requirement("| row | what is asked for | source |").is_none());
        let line = "        PASS [   2.528s] (1/2) anamnesis::e2e disclosures::r14_r26_who_a_person_is";
        let (test, passed) = result(line).expect("a result");
        assert_eq!((test.as_str(), passed), ("anamnesis::e2e disclosures::r14_r26_who_a_person_is", true));
        assert_eq!(result("     Summary [   5.9s] 2 tests run"), None);
        assert_eq!(rows(&test), [14, 26]);
        assert_eq!(rows("domain::clinic authority::rules_are_kept"), Vec::<u32>::new());
    }
}
