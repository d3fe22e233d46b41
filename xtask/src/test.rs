//! `cargo xtask test` and `cargo xtask servers`.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use clap::Args;
use xtask::install::{
    NATS_SERVER_VARIABLE, OPENBAO_VARIABLE, guide_tools, nats_server, nginx, pgbouncer_binary, promtool,
};
use xtask::process::{TaskError, describe, output};
use xtask::servers::PostgresCluster;
use xtask::tools::{
    helm_venv, java, mail_venv, npm_folder, openbao, python_venv, subscriber_packages, subscriber_venv,
};

/// Environment variable with the address of the test cluster's `postgres` database.
const POSTGRES_VARIABLE: &str = "ANAMNESIS_TEST_POSTGRES_URL";

#[derive(Args)]
pub struct Arguments {
    /// Passed on to the test runner, such as `-p event-store` or a test's name.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    runner_arguments: Vec<String>,
}

/// What tests need from their surroundings; the servers stop when it is dropped.
pub struct Surroundings {
    postgres: PostgresCluster,
    nats: PathBuf,
    openbao: PathBuf,
}

impl Surroundings {
    /// Installs and starts what is missing.
    ///
    /// # Errors
    /// [`TaskError`].
    pub fn start() -> Result<Self, TaskError> {
        let folder = root().join("target").join("servers");
        std::fs::create_dir_all(&folder).map_err(TaskError::file("cannot make the folder", &folder))?;
        let nats = nats_server(&folder)?;
        let openbao = openbao()?;
        // Before the tests, which would install it all at once.
        pgbouncer_binary()?;
        promtool(&folder)?;
        guide_tools()?;
        npm_folder()?;
        python_venv()?;
        subscriber_packages()?;
        subscriber_venv()?;
        mail_venv()?;
        helm_venv()?;
        nginx()?;
        java()?;
        let postgres = PostgresCluster::start()?;
        Ok(Self { postgres, nats, openbao })
    }

    /// The environment by which tests find it.
    pub fn variables(&self) -> [(&'static str, String); 3] {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        [
            (POSTGRES_VARIABLE, self.postgres.url("postgres")),
            (NATS_SERVER_VARIABLE, text(&self.nats)),
            (OPENBAO_VARIABLE, text(&self.openbao)),
        ]
    }
}

/// Runs every test.
pub fn run(arguments: &Arguments) -> Result<ExitCode, TaskError> {
    let started = Instant::now();
    let surroundings = Surroundings::start()?;
    let versions = versions(&surroundings);
    eprintln!("{versions}");
    let mut tests = runner(&arguments.runner_arguments);
    tests.envs(surroundings.variables()).current_dir(root());
    let status = tests.status().map_err(|source| TaskError::Start { program: describe(&tests), source })?;
    drop(surroundings);
    let verdict = if status.success() { "all tests passed" } else { "tests FAILED" };
    eprintln!("xtask test: {verdict} in {} s on {versions}; its servers are stopped", started.elapsed().as_secs());
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Keeps the servers until standard input ends or Ctrl-C.
pub fn serve() -> Result<ExitCode, TaskError> {
    let surroundings = Surroundings::start()?;
    for (name, value) in surroundings.variables() {
        // A reader that went away no longer needs them.
        drop(writeln!(std::io::stdout(), "export {name}='{value}'"));
    }
    eprintln!("the test servers run until this command's input ends (Ctrl-D)");
    let ended = std::io::stdin().read_to_end(&mut Vec::new());
    ended.map_err(TaskError::file("cannot read", "standard input"))?;
    Ok(ExitCode::SUCCESS)
}

/// nextest where it is installed; cargo's own runner gives the same verdict, slower.
///
/// Everything is tested unless the arguments choose packages.
fn runner(arguments: &[String]) -> Command {
    let chooses = |argument: &String| argument.starts_with("-p") || argument.starts_with("--package");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    if output(Command::new("cargo").args(["nextest", "--version"])).is_ok() {
        cargo.args(["nextest", "run", "--no-fail-fast"]);
    } else {
        eprintln!("cargo-nextest is not installed: using `cargo test` (cargo install cargo-nextest is faster)");
        cargo.args(["test", "--no-fail-fast"]);
    }
    if !arguments.iter().any(chooses) {
        cargo.arg("--workspace");
    }
    cargo.args(arguments);
    cargo
}

fn versions(surroundings: &Surroundings) -> String {
    let postgres = output(Command::new("psql").args([
        "--no-psqlrc",
        "--tuples-only",
        "--no-align",
        "--command=SHOW server_version",
        &surroundings.postgres.url("postgres"),
    ]));
    let nats = output(Command::new(&surroundings.nats).arg("--version"));
    let text =
        |printed: Result<String, TaskError>| printed.map_or_else(|_| "?".to_owned(), |text| text.trim().to_owned());
    let openbao = output(Command::new(&surroundings.openbao).arg("version"));
    let openbao = text(openbao).split(" (").next().unwrap_or_default().to_owned();
    format!("PostgreSQL {}, {} and {openbao}", text(postgres), text(nats))
}

/// The project's folder.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}
