//! A small server with what every server has.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Response;
use axum::routing::{get, post};
use command_api::accounts;
use events::access::account::Scope;
use events::envelope::Role;
use futures::stream;
use service::accounts::Accounts;
use service::auth::Gate;
use service::connections::ConnectionLimits;
use service::cors;
use service::headers;
use service::health::Health;
use service::identity::{SigningKeys, Verifier};
use service::incidents::Unrecorded;
use service::limits::Limits;
use service::server;
use service::tls::Tls;
use testkit::stores::{self, TestStore};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than any test.
pub const LONG: Duration = Duration::from_secs(600);

/// Whose pages may use the server.
pub const ORIGIN: &str = "https://trials.example.org";

/// Limits that no test reaches by chance.
pub const CONNECTIONS: ConnectionLimits = ConnectionLimits {
    connections_max: 100,
    header_time_max: LONG,
    stalled_time_max: LONG,
    drain_time_max: Duration::from_millis(200),
};

/// A running server.
pub struct Server {
    pub address: SocketAddr,
    pub token: String,
    keys: SigningKeys,
    /// Lets `/slow` answer.
    pub go: Arc<Notify>,
    /// How many wait for `/slow`.
    pub slow: watch::Receiver<usize>,
    /// How many answers of `/endless` are being sent.
    pub endless: watch::Receiver<usize>,
    pub shutdown: CancellationToken,
    pub ended: JoinHandle<()>,
    _store: TestStore,
}

/// Lets in whose token `keys` signed and who has an account of one of these usernames.
pub async fn gate(keys: &SigningKeys, usernames: &[&str]) -> (Gate, TestStore) {
    let store = stores::sqlite().await;
    let log = store.store.log.clone();
    let executor = stores::executor(&store.store).await;
    for username in usernames {
        accounts::open(&executor, username, Vec::new(), &[(Role::Auditor, Scope::Installation)])
            .await
            .expect("an account");
    }
    (Gate::new(Verifier::own(keys.clone()), Accounts::new(log), Arc::new(Unrecorded)), store)
}

impl Server {
    pub async fn start(connections: ConnectionLimits, limits: Limits) -> Self {
        Self::start_with(connections, limits, None).await
    }

    /// The same, with TLS.
    pub async fn start_with(connections: ConnectionLimits, limits: Limits, tls: Option<Tls>) -> Self {
        let keys = SigningKeys::random().expect("keys");
        let go = Arc::new(Notify::new());
        let (count, endless) = watch::channel(0);
        let (waiting, slow) = watch::channel(0);
        let asked = go.clone();
        let wait = async move || {
            let _counted = Counted::new(waiting);
            asked.notified().await;
        };
        let exported = count.clone();
        let open = Router::new()
            .route("/slow", get(wait.clone()))
            .route("/endless", get(move || async move { endless_answer(count) }));
        let protected = Router::new()
            .route("/echo", post(|body: Bytes| async { body }))
            .route("/wait", get(wait))
            // More than the buffers of a connection hold.
            .route("/large", get(|| async { vec![b'x'; 64 * 1024 * 1024] }))
            .route("/export", get(move || async move { endless_answer(exported) }));
        let probes = Health::new(Vec::new()).router();
        let (gate, store) = gate(&keys, &["tester", "other", "a", "b"]).await;
        let router = server::wrap(open, protected, Router::new(), probes, gate, limits);
        let router = cors::allow(router, &[cors::origin(ORIGIN).expect("an origin")]);
        let router = headers::secure(router, tls.is_some());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("its address");
        let shutdown = CancellationToken::new();
        let ended = tokio::spawn(server::serve(listener, tls, router, connections, shutdown.clone()));
        Self { _store: store, address, token: token(&keys, "tester"), keys, go, slow, endless, shutdown, ended }
    }

    /// The header of a request with a token and a body of this length.
    pub fn post(&self, length: usize) -> String {
        post_header(&self.token, length)
    }

    /// The same of another account.
    pub fn post_as(&self, account: &str, length: usize) -> String {
        post_header(&token(&self.keys, account), length)
    }

    /// A request without a body, of this account.
    pub fn get_as(&self, account: &str, path: &str) -> String {
        let token = token(&self.keys, account);
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n")
    }
}

fn post_header(token: &str, length: usize) -> String {
    format!("POST /echo HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n")
}

/// A token of this account.
fn token(keys: &SigningKeys, account: &str) -> String {
    keys.signing().issue(account, LONG, None).expect("a token")
}

struct Counted(watch::Sender<usize>);

impl Counted {
    fn new(count: watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

fn endless_answer(count: watch::Sender<usize>) -> Response {
    let piece = Bytes::from(vec![b'.'; 64 * 1024]);
    let pieces = stream::unfold(Counted::new(count), move |counted| {
        let piece = piece.clone();
        async move { Some((Ok::<_, std::convert::Infallible>(piece), counted)) }
    });
    Response::new(Body::from_stream(pieces))
}
