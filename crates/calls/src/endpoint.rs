//! One address of a service: a machine and a port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use futures::FutureExt as _;
use reqwest::{Client, Response, Url};
use tokio::time::Instant;

use crate::breaker::Breaker;
use crate::outgoing::{Failure, Outgoing, Reply};
use crate::policy::Policy;

/// The part of a new latency in the mean of all before.
const WEIGHT: f64 = 0.2;
/// Connections that are kept for the next call.
const IDLE_MAX: usize = 256;

/// One address.
pub struct Endpoint {
    base: Url,
    /// The machine.
    pub address: SocketAddr,
    http: Client,
    breaker: Breaker<Reply, Failure>,
    load: Arc<Load>,
}

/// What an address has to do.
#[derive(Default)]
struct Load {
    in_flight: AtomicUsize,
    /// The mean of latencies in microseconds, the later ones more.
    micros: AtomicU64,
}

/// A try that is counted for as long as it is made.
struct Counted(Arc<Load>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A client of HTTP, to be set up further. Who makes one without this panics where the program has been built with TLS
/// for others of its parts.
pub fn http() -> reqwest::ClientBuilder {
    // Whoever was first installed one; all of them are the same.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::builder()
}

/// What became of a try.
pub type Tried = Result<Reply, Failure>;

/// Whether a try tells that the other side does not do: whom it refuses it answers.
fn is_failure(tried: &Tried) -> bool {
    match tried {
        Ok(reply) => reply.status.is_server_error(),
        Err(Failure::Malformed(_) | Failure::LeftAlone) => false,
        Err(_) => true,
    }
}

impl Endpoint {
    /// The machine at `address` that is part of the service at `base`.
    ///
    /// # Errors
    /// Where no client can be made.
    pub fn new(
        service: &'static str,
        base: &Url,
        address: SocketAddr,
        policy: &Policy,
    ) -> Result<Self, reqwest::Error> {
        let host = base.host_str().unwrap_or_default();
        let http = http()
            .user_agent(concat!("anamnesis/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(policy.connect_within)
            .pool_max_idle_per_host(IDLE_MAX)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            // This machine, under the name by which TLS knows it.
            .resolve(host, address)
            .build()?;
        let breaker = Breaker::new(service, address.to_string(), policy.breaking, is_failure);
        Ok(Self { base: base.clone(), address, http, breaker, load: Arc::default() })
    }

    /// Whether it is the machine at `address` of `base`.
    pub fn is(&self, base: &Url, address: SocketAddr) -> bool {
        self.address == address && self.base == *base
    }

    /// Whether it is left alone now.
    pub fn is_open(&self) -> bool {
        self.breaker.is_open()
    }

    /// How long a call may have to wait here, as far as is known: what is the least is the best.
    pub fn cost(&self) -> u64 {
        let in_flight = self.load.in_flight.load(Ordering::Relaxed) as u64;
        self.load.micros.load(Ordering::Relaxed).max(1).saturating_mul(in_flight + 1)
    }

    /// Makes one try, which may take so long.
    pub async fn ask(&self, outgoing: &Outgoing, within: Duration, policy: &Policy) -> Tried {
        let base = self.base.as_str().trim_end_matches('/');
        let mut request = self.http.request(outgoing.method.clone(), format!("{base}{}", outgoing.path));
        request = request.headers(outgoing.headers.clone()).body(outgoing.body.clone());
        if policy.tells_deadline {
            request = request.header("request-timeout", format!("{:.6}", within.as_secs_f64()));
        }
        let (bytes_max, load) = (policy.answer_bytes_max, self.load.clone());
        let tried = async move {
            load.in_flight.fetch_add(1, Ordering::Relaxed);
            let (counted, begun) = (Counted(load), Instant::now());
            let tried =
                tokio::time::timeout(within, async { read(request.send().await.map_err(failure)?, bytes_max).await });
            let tried = tried.await.unwrap_or(Err(Failure::TimedOut(within)));
            counted.0.took(begun.elapsed());
            tried
        };
        self.breaker.run(tried.boxed()).await.unwrap_or(Err(Failure::LeftAlone))
    }
}

impl Load {
    fn took(&self, elapsed: Duration) {
        let now = elapsed.as_micros() as f64;
        let before = self.micros.load(Ordering::Relaxed) as f64;
        let mean = if before == 0.0 { now } else { before * (1.0 - WEIGHT) + now * WEIGHT };
        self.micros.store(mean as u64, Ordering::Relaxed);
    }
}

async fn read(mut response: Response, bytes_max: usize) -> Tried {
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = BytesMut::new();
    while let Some(piece) = response.chunk().await.map_err(failure)? {
        if body.len() + piece.len() > bytes_max {
            return Err(Failure::TooLong(bytes_max));
        }
        body.extend_from_slice(&piece);
    }
    Ok(Reply { status, headers, body: body.freeze() })
}

fn failure(error: reqwest::Error) -> Failure {
    // Who is asked, and by what, is told by whoever knows more of it.
    let error = error.without_url();
    match error {
        error if error.is_builder() => Failure::Malformed(error),
        error if error.is_connect() => Failure::Connect(error),
        error => Failure::Broken(error),
    }
}
