//! Calls to real servers that fail, hang, are slow, die and come back.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use calls::{Address, Breaking, Budgeting, Failure, Lookup, Outgoing, Policy, Service};
use testkit::eventually;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Long enough for whatever is waited for on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a server does with what it is asked.
#[derive(Default)]
struct Script {
    asked: AtomicUsize,
    answering: AtomicUsize,
    /// Statuses of the next answers; then 200.
    next: Mutex<Vec<StatusCode>>,
    fails: AtomicBool,
    hangs: AtomicBool,
    headers: Mutex<HeaderMap>,
}

struct Server {
    address: SocketAddr,
    script: Arc<Script>,
    task: JoinHandle<()>,
}

struct Answering(Arc<Script>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn answer(State(script): State<Arc<Script>>, headers: HeaderMap) -> Response {
    script.asked.fetch_add(1, Ordering::SeqCst);
    script.answering.fetch_add(1, Ordering::SeqCst);
    let _answering = Answering(script.clone());
    *script.headers.lock().expect("nobody panicked") = headers;
    if script.hangs.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    if script.fails.load(Ordering::SeqCst) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let next = script.next.lock().expect("nobody panicked").pop();
    next.unwrap_or(StatusCode::OK).into_response()
}

impl Server {
    async fn start() -> Self {
        Self::at("127.0.0.1:0").await
    }

    async fn at(address: &str) -> Self {
        let script: Arc<Script> = Arc::default();
        let router = Router::new().fallback(answer).with_state(script.clone());
        let listener = TcpListener::bind(address).await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { address, script, task }
    }

    fn asked(&self) -> usize {
        self.script.asked.load(Ordering::SeqCst)
    }

    fn answers(&self, statuses: &[u16]) {
        let statuses = statuses.iter().rev().map(|status| StatusCode::from_u16(*status).expect("a status"));
        *self.script.next.lock().expect("nobody panicked") = statuses.collect();
    }

    fn fails(&self, fails: bool) {
        self.script.fails.store(fails, Ordering::SeqCst);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Quick, and never leaves anybody alone.
fn quick() -> Policy {
    Policy {
        per_try: PATIENCE,
        in_all: PATIENCE,
        first_pause: Duration::from_millis(2),
        pause_max: Duration::from_millis(10),
        budget: None,
        breaking: Breaking { calls_min: 1_000_000, ..Breaking::default() },
        ..Policy::default()
    }
}

fn service(servers: &[&Server], policy: Policy) -> Service {
    let addresses = servers.iter().map(|server| server.address.to_string().parse().expect("an address"));
    Service::new("test", addresses.collect(), policy)
}

#[tokio::test]
async fn only_what_may_be_sent_twice_is_tried_again() {
    let server = Server::start().await;
    let service = service(&[&server], quick());
    let statuses = async |outgoing: Outgoing, statuses: &[u16]| {
        server.answers(statuses);
        let before = server.asked();
        let status = service.ask(&outgoing).await.expect("an answer").status.as_u16();
        (status, server.asked() - before)
    };
    let command = || Outgoing::post("/command", "{}");
    for passing in [429, 502, 503, 504] {
        assert_eq!(statuses(Outgoing::get("/"), &[passing, passing]).await, (200, 3), "{passing}");
        assert_eq!(statuses(command(), &[passing]).await, (passing, 1), "{passing}");
        assert_eq!(statuses(command().known_again(), &[passing]).await, (200, 2), "{passing}");
    }
    // What is refused stays refused, and is an answer.
    for refused in [400, 401, 404, 409, 422, 500] {
        assert_eq!(statuses(Outgoing::get("/"), &[refused]).await, (refused, 1), "{refused}");
    }
    // In the end the last answer is the answer.
    assert_eq!(statuses(Outgoing::get("/"), &[503; 20]).await, (503, 5));
}

#[tokio::test]
async fn who_is_not_there_is_waited_for_and_who_hangs_is_given_up() {
    let server = Server::start().await;
    let address = server.address.to_string();
    let service = service(&[&server], Policy { repeats_max: 1_000, ..quick() });
    drop(server);
    let asked = tokio::spawn({
        let service = service.clone();
        async move { service.ask(&Outgoing::post("/command", "{}")).await }
    });
    tokio::task::yield_now().await;
    let mut server = None;
    eventually("the port is free again", PATIENCE, async || {
        if TcpListener::bind(&address).await.is_ok() {
            server = Some(Server::at(&address).await);
        }
        server.is_some()
    })
    .await;
    let server = server.expect("a server");
    // Nothing had been sent: also what may not be sent twice is.
    assert!(asked.await.expect("it ends").expect("an answer").status.is_success());
    assert_eq!(server.asked(), 1);
    server.script.hangs.store(true, Ordering::SeqCst);
    let hurried = Policy { per_try: Duration::from_millis(100), repeats_max: 2, ..quick() };
    let service = self::service(&[&server], hurried);
    let failed = service.ask(&Outgoing::get("/")).await.expect_err("it hangs");
    assert!(matches!(failed.last, Failure::TimedOut(_)) && failed.may_have_arrived, "{failed:?}");
    assert_eq!((failed.tries, server.asked()), (3, 4));
    let failed = service.ask(&Outgoing::post("/command", "{}")).await.expect_err("it hangs");
    assert_eq!((failed.tries, failed.may_have_arrived), (1, true), "whether it was done is not known");
    // Who gives up before ends what was begun.
    eventually("nothing is answered any more", PATIENCE, async || server.script.answering.load(Ordering::SeqCst) == 0)
        .await;
}

#[tokio::test]
async fn repeats_are_a_share_of_the_calls() {
    let server = Server::start().await;
    server.answers(&[503; 2_000]);
    let budget = Some(Budgeting { per_second_min: 1, share: 0.1 });
    let service = service(&[&server], Policy { budget, ..quick() });
    for _ in 0..200 {
        service.ask(&Outgoing::get("/")).await.expect("an answer");
    }
    // A tenth, and those that are always allowed in ten seconds; time goes on meanwhile.
    let repeats = server.asked() - 200;
    assert!((1..=80).contains(&repeats), "{repeats}");
}

#[tokio::test]
async fn where_too_much_fails_nobody_is_asked_for_a_while_and_then_a_few_try() {
    let server = Server::start().await;
    let breaking = Breaking {
        calls_min: 10,
        failure_rate: 0.5,
        open_for: Duration::from_millis(300),
        window: Duration::from_secs(60),
    };
    let service = service(&[&server], Policy { breaking, repeats_max: 0, ..quick() });
    let ask = async || service.ask(&Outgoing::get("/")).await;
    server.fails(true);
    for _ in 0..10 {
        assert_eq!(ask().await.expect("an answer").status, 500);
    }
    assert!(matches!(ask().await.expect_err("it is left alone").last, Failure::LeftAlone));
    assert_eq!(server.asked(), 10);
    // Tried again after a while: it does not work yet.
    eventually("it is tried", PATIENCE, async || ask().await.is_ok()).await;
    assert!(matches!(ask().await.expect_err("it is left alone").last, Failure::LeftAlone));
    server.fails(false);
    eventually("it works", PATIENCE, async || ask().await.is_ok_and(|reply| reply.status.is_success())).await;
    for _ in 0..20 {
        assert!(ask().await.expect("it is asked again").status.is_success());
    }
}

/// Tries that are further apart than what is looked at.
#[tokio::test]
async fn who_is_asked_seldom_is_asked_again_once_it_works() {
    let server = Server::start().await;
    let breaking = Breaking {
        calls_min: 5,
        open_for: Duration::from_millis(50),
        window: Duration::from_millis(100),
        ..Breaking::default()
    };
    let service = service(&[&server], Policy { breaking, repeats_max: 0, ..quick() });
    let ask = async || service.ask(&Outgoing::get("/")).await;
    server.fails(true);
    eventually("it is left alone", PATIENCE, async || ask().await.is_err()).await;
    server.fails(false);
    for _ in 0..6 {
        tokio::time::sleep(breaking.window * 2).await;
        assert!(ask().await.expect("it is asked").status.is_success());
    }
}

#[tokio::test]
async fn of_several_addresses_the_bad_one_is_left_alone_until_it_is_good() {
    let (good, bad) = (Server::start().await, Server::start().await);
    bad.fails(true);
    let breaking = Breaking { calls_min: 5, open_for: Duration::from_millis(500), ..Breaking::default() };
    let service = service(&[&good, &bad], Policy { breaking, ..quick() });
    let mut failed = 0;
    for _ in 0..200 {
        failed += usize::from(!service.ask(&Outgoing::get("/")).await.expect("an answer").status.is_success());
    }
    // Those that showed that it is bad, and those that tried whether it still is.
    assert!(failed < 40 && bad.asked() == failed, "{failed} {}", bad.asked());
    bad.fails(false);
    let before = bad.asked();
    eventually("it has its part again", PATIENCE, async || {
        assert!(service.ask(&Outgoing::get("/")).await.is_ok());
        bad.asked() > before + 50
    })
    .await;
    // One that dies costs nobody an answer.
    drop(bad);
    for _ in 0..50 {
        assert!(service.ask(&Outgoing::get("/")).await.expect("an answer").status.is_success());
    }
}

#[tokio::test]
async fn names_are_looked_up_again() {
    let (first, second) = (Server::start().await, Server::start().await);
    let machines = Arc::new(Mutex::new(vec![first.address]));
    let (known, looked_up) = (machines.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = looked_up.clone();
    let lookup: Lookup = Arc::new(move |host, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        assert_eq!(host, "sms.example.org");
        let found = known.lock().expect("nobody panicked").clone();
        Box::pin(async move { Ok(found) })
    });
    let address: Address = "http://sms.example.org".parse().expect("an address");
    let policy = Policy { resolve_every: Duration::from_millis(20), ..quick() };
    let service = Service::with_lookup("test", vec![address], policy, lookup);
    assert!(service.ask(&Outgoing::get("/")).await.expect("an answer").status.is_success());
    *machines.lock().expect("nobody panicked") = vec![second.address];
    eventually("the other machine is asked", PATIENCE, async || {
        service.ask(&Outgoing::get("/")).await.expect("an answer");
        second.asked() > 0
    })
    .await;
    // A name that is not known any more does not take away what was known.
    machines.lock().expect("nobody panicked").clear();
    let before = looked_up.load(Ordering::SeqCst);
    eventually("it is looked up in vain", PATIENCE, async || {
        assert!(service.ask(&Outgoing::get("/")).await.expect("an answer").status.is_success());
        looked_up.load(Ordering::SeqCst) > before + 3
    })
    .await;
}

#[tokio::test]
async fn who_is_asked_hears_how_long_it_has_and_answers_no_more_than_is_read() {
    let server = Server::start().await;
    let service = service(&[&server], Policy { tells_deadline: true, answer_bytes_max: 1_000, ..quick() });
    service.ask(&Outgoing::get("/")).await.expect("an answer");
    let told = server.script.headers.lock().expect("nobody panicked").clone();
    let seconds: f64 = told["request-timeout"].to_str().expect("text").parse().expect("seconds");
    assert!(seconds > 1.0 && seconds <= PATIENCE.as_secs_f64(), "{seconds}");
    let large = Router::new().fallback(|| async { vec![b'x'; 1_001] });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address").to_string().parse().expect("an address");
    tokio::spawn(async move { axum::serve(listener, large).await });
    let policy = Policy { answer_bytes_max: 1_000, ..quick() };
    let failed = Service::new("test", vec![address], policy).ask(&Outgoing::get("/")).await.expect_err("too long");
    assert!(matches!(failed.last, Failure::TooLong(1_000)), "{failed:?}");
}
