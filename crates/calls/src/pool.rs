//! The addresses of a service, and which of them is asked.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use reqwest::Url;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::endpoint::Endpoint;
use crate::outgoing::Failure;
use crate::policy::Policy;

/// Why a text is no address of a service.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not an address of the form http://host:port or https://host")]
pub struct AddressError(String);

/// Where a service is: a name may stand for several machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(Url);

impl Address {
    /// The address.
    pub const fn url(&self) -> &Url {
        &self.0
    }
}

impl std::str::FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = Url::parse(&with_scheme).map_err(|_| AddressError(text.to_owned()))?;
        Self::try_from(url)
    }
}

impl TryFrom<Url> for Address {
    type Error = AddressError;

    fn try_from(url: Url) -> Result<Self, AddressError> {
        let is_sound = matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| !host.is_empty());
        if is_sound { Ok(Self(url)) } else { Err(AddressError(url.to_string())) }
    }
}

/// Looks a name and a port up.
pub type Lookup = Arc<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// As this machine looks names up.
pub fn system_lookup() -> Lookup {
    Arc::new(|host, port| async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) }.boxed())
}

/// The machines behind the addresses of a service.
pub struct Pool {
    service: &'static str,
    addresses: Vec<Address>,
    policy: Policy,
    lookup: Lookup,
    found: RwLock<Found>,
    /// Held by who looks names up.
    looking: Mutex<()>,
}

#[derive(Default)]
struct Found {
    endpoints: Vec<Arc<Endpoint>>,
    looked_up: Option<Instant>,
}

impl Pool {
    /// Of these addresses; nothing is looked up yet.
    pub fn new(service: &'static str, addresses: Vec<Address>, policy: Policy, lookup: Lookup) -> Self {
        Self { service, addresses, policy, lookup, found: RwLock::default(), looking: Mutex::default() }
    }

    /// The machine to ask: of two by chance the one that has less to do and is not left alone; other ones than those that
    /// failed just now, where there are others.
    ///
    /// # Errors
    /// [`Failure::Unresolved`].
    pub async fn pick(self: &Arc<Self>, failed: &[Arc<Endpoint>]) -> Result<Arc<Endpoint>, Failure> {
        let endpoints = self.endpoints().await?;
        let others: Vec<&Arc<Endpoint>> =
            endpoints.iter().filter(|endpoint| !failed.iter().any(|failed| Arc::ptr_eq(failed, endpoint))).collect();
        let some = if others.is_empty() { endpoints.iter().collect() } else { others };
        let open: Vec<&Arc<Endpoint>> = some.iter().copied().filter(|endpoint| !endpoint.is_open()).collect();
        let some = if open.is_empty() { some } else { open };
        let one = some[rand::random_range(0..some.len())];
        let other = some[rand::random_range(0..some.len())];
        Ok(if other.cost() < one.cost() { other } else { one }.clone())
    }

    /// The machines: as they were looked up of late. What was looked up too long ago is looked up again beside the calls.
    async fn endpoints(self: &Arc<Self>) -> Result<Vec<Arc<Endpoint>>, Failure> {
        let (endpoints, age) = {
            let found = self.found.read().unwrap_or_else(PoisonError::into_inner);
            (found.endpoints.clone(), found.looked_up.map(|looked_up| looked_up.elapsed()))
        };
        if endpoints.is_empty() {
            return self.look_up().await;
        }
        if age.is_none_or(|age| age >= self.policy.resolve_every) && self.looking.try_lock().is_ok() {
            let pool = self.clone();
            tokio::spawn(async move {
                if let Err(error) = pool.look_up().await {
                    let service = pool.service;
                    tracing::warn!(error = &error as &dyn std::error::Error, service, "names are not looked up anew");
                }
            });
        }
        Ok(endpoints)
    }

    /// Looks all names up; what was known of machines that are still there is kept.
    async fn look_up(&self) -> Result<Vec<Arc<Endpoint>>, Failure> {
        let _turn = self.looking.lock().await;
        let before = {
            let found = self.found.read().unwrap_or_else(PoisonError::into_inner);
            let is_fresh = found.looked_up.is_some_and(|looked_up| looked_up.elapsed() < self.policy.resolve_every);
            if is_fresh && !found.endpoints.is_empty() {
                return Ok(found.endpoints.clone());
            }
            found.endpoints.clone()
        };
        let (mut endpoints, mut failure) = (Vec::new(), None);
        for Address(base) in &self.addresses {
            let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let port = base.port_or_known_default().unwrap_or(80);
            match (self.lookup)(host, port).await {
                Ok(machines) => {
                    for machine in machines {
                        let known = before.iter().find(|endpoint| endpoint.is(base, machine)).cloned();
                        let made = || Endpoint::new(self.service, base, machine, &self.policy).map(Arc::new);
                        endpoints.push(known.map_or_else(made, Ok).map_err(Failure::Malformed)?);
                    }
                }
                Err(error) => failure = Some(error),
            }
        }
        if endpoints.is_empty() {
            let nobody = || io::Error::new(io::ErrorKind::NotFound, "the name stands for no machine");
            return Err(Failure::Unresolved(failure.unwrap_or_else(nobody)));
        }
        let mut found = self.found.write().unwrap_or_else(PoisonError::into_inner);
        *found = Found { endpoints: endpoints.clone(), looked_up: Some(Instant::now()) };
        Ok(endpoints)
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, url) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
            ("localhost:8080", "http://localhost:8080/"),
            ("https://anamnesis.example.org/base", "https://anamnesis.example.org/base"),
            ("[::1]:80", "http://[::1]/"),
        ] {
            assert_eq!(text.parse::<Address>().expect(text).url().as_str(), url);
        }
        for text in ["", "ftp://a.org", "http://", "a b"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
