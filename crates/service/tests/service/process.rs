//! A whole process: one of whose tasks ends by itself does not go on, and says so by its exit code.
//!
//! The processes are this very program: no task of the real one can be made to end from outside.

use std::process::{Command, Output};

use axum::Router;
use service::health::Health;
use service::identity::SigningKeys;
use service::limits::Limits;
use service::supervise::{END_MAX, Supervisor};
use service::{lifecycle, server};
use tokio::net::TcpListener;

use crate::server::{CONNECTIONS, LONG};

/// Tells the test below that it is the process, and what one of its tasks does.
const TASK: &str = "ANAMNESIS_TEST_TASK";

/// What `anamnesis serve` does, with nothing in it.
async fn serve(task: &str) -> i32 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let shutdown = lifecycle::shutdown_on_signal().expect("signals");
    let mut supervisor = Supervisor::new(shutdown.clone());
    let asked = shutdown.clone();
    supervisor.spawn("patient", async move { asked.cancelled().await });
    match task {
        "panics" => supervisor.spawn("hasty", async { panic!("on purpose") }),
        "returns" => supervisor.spawn("hasty", async {}),
        _ => rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM).expect("it is"),
    }
    let (gate, _store) = crate::server::gate(&SigningKeys::random().expect("keys"), &[]).await;
    let probes = Health::new(vec![supervisor.check()]).router();
    let router = server::wrap(Router::new(), Router::new(), Router::new(), probes, gate, Limits::new(1024, LONG, 1));
    server::serve(listener, None, router, CONNECTIONS, shutdown).await;
    match supervisor.end(END_MAX).await {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("error: {error}");
            2
        }
    }
}

#[tokio::test]
async fn the_process() {
    if let Ok(task) = std::env::var(TASK) {
        std::process::exit(serve(&task).await);
    }
}

fn process(task: &str) -> Output {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.args(["--exact", "process::the_process", "--nocapture"]).env(TASK, task);
    command.output().expect("it runs")
}

#[test]
fn a_task_that_ends_by_itself_ends_the_process_with_a_failure() {
    for task in ["panics", "returns"] {
        let output = process(task);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("the task `hasty` ended by itself"), "{told}");
    }
    assert_eq!(process("is asked to stop").status.code(), Some(0));
}
