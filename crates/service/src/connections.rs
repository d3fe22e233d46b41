//! The connections of a server: how many there are, and how long each may keep it waiting.
//!
//! A connection that is between requests is *idle*. Where there is no room for a new one the
//! longest idle one is closed, so that clients which connect and send nothing, however many,
//! keep nobody else out, a probe least of all.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use crate::guarded::Guarded;
use crate::tls::Tls;

/// Limits of a server's connections.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Connections that may be open at once.
    pub connections_max: usize,
    /// How long a request's header may take from when the connection is free for it; so also how
    /// long a connection that is not used is kept. TLS may take as long to come about.
    pub header_time_max: Duration,
    /// How long a client may take nothing of an answer that is ready for it.
    pub stalled_time_max: Duration,
    /// How long requests may go on after the process was asked to stop.
    pub drain_time_max: Duration,
}

/// The address from which a request came; that of the proxy, where there is one.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub std::net::IpAddr);

/// The connections that are open.
pub(crate) struct Connections {
    limits: ConnectionLimits,
    tls: Option<Tls>,
    room: Arc<Semaphore>,
    idle: Arc<Idle>,
}

/// Requests that are answered over one HTTP/2 connection at once.
const STREAMS_MAX: u32 = 256;
/// How often it is looked whether who holds an HTTP/2 connection is still there, and how long they may take to say so.
const PING_EVERY: Duration = Duration::from_secs(30);
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// Idle connections, the longest idle first.
#[derive(Default)]
struct Idle {
    list: Mutex<IdleList>,
    changed: Notify,
}

#[derive(Default)]
struct IdleList {
    next: u64,
    connections: BTreeMap<u64, CancellationToken>,
}

impl Idle {
    fn list(&self) -> MutexGuard<'_, IdleList> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connections {
    pub(crate) fn new(limits: ConnectionLimits, tls: Option<Tls>) -> Self {
        Self { limits, tls, room: Arc::new(Semaphore::new(limits.connections_max)), idle: Arc::default() }
    }

    /// Room for one more connection; where there is none the longest idle one makes it, and
    /// `full` is called.
    pub(crate) async fn admit(&self, full: impl FnOnce()) -> Connection {
        if let Ok(room) = self.room.clone().try_acquire_owned() {
            return Connection::new(self.idle.clone(), room);
        }
        full();
        loop {
            let changed = self.idle.changed.notified();
            self.close_longest_idle();
            tokio::select! {
                Ok(room) = self.room.clone().acquire_owned() => return Connection::new(self.idle.clone(), room),
                () = changed => {}
            }
        }
    }

    /// Gives an idle connection up for a new one.
    pub(crate) fn close_longest_idle(&self) {
        if let Some((_, close)) = self.idle.list().connections.pop_first() {
            metrics::counter!("anamnesis_http_connections_given_up_total").increment(1);
            close.cancel();
        }
    }

    /// Answers the requests of one connection until it ends, is given up, or `shutdown` is
    /// cancelled and what was begun is answered.
    pub(crate) fn serve(
        &self,
        stream: TcpStream,
        connection: Connection,
        router: Router,
        shutdown: CancellationToken,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (connection, limits, tls) = (Arc::new(connection), self.limits, self.tls.clone());
        async move {
            // Events and answers are written whole: there is nothing to wait for.
            drop(stream.set_nodelay(true));
            let peer = stream.peer_addr().map(|address| Peer(address.ip())).ok();
            let Some(tls) = tls else { return serve((stream, peer), connection, limits, router, shutdown).await };
            let greeted = tokio::time::timeout(limits.header_time_max, tls.accept(stream));
            let greeted = tokio::select! {
                greeted = greeted => greeted,
                () = connection.close.cancelled() => return,
                () = shutdown.cancelled() => return,
            };
            match greeted {
                Ok(Ok(stream)) => serve((stream, peer), connection, limits, router, shutdown).await,
                Ok(Err(error)) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "TLS did not come about");
                }
                Err(_) => tracing::debug!("TLS did not come about in time"),
            }
        }
    }
}

async fn serve(
    (stream, peer): (impl AsyncRead + AsyncWrite + Send + 'static, Option<Peer>),
    connection: Arc<Connection>,
    limits: ConnectionLimits,
    router: Router,
    shutdown: CancellationToken,
) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.stalled_time_max));
    let router = TowerToHyperService::new(router);
    let begun = connection.clone();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        let answering = Answering::begin(&begun);
        let answer = answering.is_some().then(|| router.call(request));
        async move {
            let (Some(answer), Some(answering)) = (answer, answering) else {
                // Given up in this very moment: the request has not been looked at.
                return std::future::pending().await;
            };
            let response = answer.await?;
            // The request is answered when its body ends.
            Ok::<_, Infallible>(response.map(|body| Guarded::new(body, answering)))
        }
    });
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(limits.header_time_max);
    http.http2().timer(TokioTimer::new()).keep_alive_interval(PING_EVERY).keep_alive_timeout(PONG_WITHIN);
    http.http2().max_concurrent_streams(STREAMS_MAX);
    let mut serving = pin!(http.serve_connection(TokioIo::new(Box::pin(stream)), service));
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = connection.close.cancelled() => return,
        // Which version of HTTP it is, hyper waits to hear without a bound.
        () = unused(&connection, limits.header_time_max) => return,
        () = shutdown.cancelled() => {
            // hyper waits for the first request of a connection, which this one never sent.
            if !connection.used.load(Ordering::Relaxed) {
                return;
            }
            serving.as_mut().graceful_shutdown();
            match tokio::time::timeout(limits.drain_time_max, serving).await {
                Ok(served) => served,
                Err(_) => return,
            }
        }
    };
    // What a client does to its connection is no fault of this program.
    if let Err(error) = served {
        tracing::debug!(error = &*error as &dyn std::error::Error, "a connection broke");
    }
}

/// Ends where no request has come over the connection in time.
async fn unused(connection: &Connection, max: Duration) {
    tokio::time::sleep(max).await;
    if connection.used.load(Ordering::Relaxed) {
        std::future::pending().await
    }
}

/// One open connection.
pub(crate) struct Connection {
    idle: Arc<Idle>,
    work: Mutex<Work>,
    used: AtomicBool,
    close: CancellationToken,
    _room: OwnedSemaphorePermit,
}

/// What a connection is at.
#[derive(Default)]
struct Work {
    /// Its place among the idle ones, where it is idle and was not given up.
    place: Option<u64>,
    /// Requests that are answered.
    answering: usize,
}

impl Connection {
    fn new(idle: Arc<Idle>, room: OwnedSemaphorePermit) -> Self {
        let (work, used, close) = (Mutex::default(), AtomicBool::new(false), CancellationToken::new());
        metrics::gauge!("anamnesis_http_connections").increment(1);
        let connection = Self { idle, work, used, close, _room: room };
        connection.rest(&mut connection.work());
        connection
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rest(&self, work: &mut Work) {
        let mut list = self.idle.list();
        let place = list.next;
        list.next += 1;
        list.connections.insert(place, self.close.clone());
        work.place = Some(place);
        drop(list);
        self.idle.changed.notify_waiters();
    }

    /// Whether it was idle, and not given up yet.
    fn leave_idle(&self, work: &mut Work) -> bool {
        work.place.take().is_some_and(|place| self.idle.list().connections.remove(&place).is_some())
    }

    /// One more request; none where the connection was given up.
    fn begin(&self) -> bool {
        let mut work = self.work();
        let begins = work.answering > 0 || self.leave_idle(&mut work);
        work.answering += usize::from(begins);
        begins
    }

    fn end(&self) {
        let mut work = self.work();
        work.answering -= 1;
        if work.answering == 0 {
            self.rest(&mut work);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.leave_idle(&mut self.work());
        metrics::gauge!("anamnesis_http_connections").decrement(1);
    }
}

/// While a request is answered, one of several perhaps, its connection is not idle.
struct Answering(Arc<Connection>);

impl Answering {
    /// `None` where the connection was given up.
    fn begin(connection: &Arc<Connection>) -> Option<Self> {
        connection.used.store(true, Ordering::Relaxed);
        connection.begin().then(|| Self(connection.clone()))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Whether accepting failed for the sake of one connection only.
pub(crate) fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
