//! Where another issuer's keys are, by OpenID Connect Discovery 1.0.

use serde_json::Value;

use super::fetch::{Address, FetchError, Fetcher};
use super::json;
use super::jwk::KeySet;
use super::source::Found;

/// What is put behind an issuer's address (OpenID Connect Discovery, 4).
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// Finds an issuer's keys.
pub struct Discovery {
    fetcher: Fetcher,
    issuer: String,
    configuration: Address,
    plain: bool,
}

impl Discovery {
    /// Asks this issuer; `plain` waives TLS.
    ///
    /// # Errors
    /// [`FetchError::Address`].
    pub fn new(fetcher: Fetcher, issuer: &str, plain: bool) -> Result<Self, FetchError> {
        if Address::parse(issuer, plain)?.has_query() {
            return Err(FetchError::Address(issuer.to_owned()));
        }
        let configuration = Address::parse(&format!("{}{WELL_KNOWN}", issuer.trim_end_matches('/')), plain)?;
        Ok(Self { fetcher, issuer: issuer.to_owned(), configuration, plain })
    }

    /// The issuer's keys as they are now.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn keys(&self) -> Result<Found, FetchError> {
        let configuration = self.fetcher.get(&self.configuration).await?;
        let wrong = |what| FetchError::Document(self.issuer.clone(), what);
        let configuration = json::object(&configuration.body).map_err(|_| wrong("no JSON object"))?;
        let field = |name| configuration.get(name).and_then(Value::as_str);
        // To the letter (OpenID Connect Discovery, 4.3): else one issuer could speak for another.
        if field("issuer") != Some(&*self.issuer) {
            return Err(wrong("`issuer` is another one"));
        }
        let address = field("jwks_uri").ok_or_else(|| wrong("`jwks_uri` is missing"))?;
        let document = self.fetcher.get(&Address::parse(address, self.plain)?).await?;
        let keys = KeySet::parse(&document.body).map_err(|error| FetchError::Keys(address.to_owned(), error))?;
        Ok(Found { keys, max_age: document.max_age })
    }
}
