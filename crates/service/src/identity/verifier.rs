//! Verifies tokens of several issuers.

use std::collections::HashMap;
use std::sync::Arc;

use event_store::clock;
use futures::future::join_all;
use moka::sync::Cache;
use ring::digest::{SHA256, digest};
use tokio_util::sync::CancellationToken;

use super::claims::Rules;
use super::discovery::Discovery;
use super::error::{Flaw, IdentityError};
use super::fetch::{AuthoritiesError, FetchError, Fetcher};
use super::issuer::{Freshness, Issuer};
use super::jwk::PublicKey;
use super::source::{Origin, Source};
use super::token::{TOKEN_BYTES_MAX, Token};
use super::{Identity, OWN_ISSUER};
use crate::jwt;
use crate::settings::IdentitySettings;

/// Verified tokens that are remembered, so that a busy client's is not verified every time.
const VERIFIED_MAX: u64 = 10_000;

/// Verifies tokens; cloned, it is the same one.
#[derive(Clone)]
pub struct Verifier {
    inner: Arc<Inner>,
}

struct Inner {
    issuers: HashMap<String, Arc<Issuer>>,
    /// By the hash of the token: who reads memory finds no token there.
    verified: Cache<[u8; 32], Verified>,
}

/// A token that held, and by which key.
#[derive(Clone)]
struct Verified {
    identity: Identity,
    issuer: Arc<Issuer>,
    key: Arc<PublicKey>,
}

/// Why tokens cannot be verified as the settings say.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The authorities for TLS.
    #[error("the providers' authorities cannot be used")]
    Authorities(#[from] AuthoritiesError),
    /// An issuer's address.
    #[error("an issuer cannot be asked")]
    Address(#[from] FetchError),
    /// One issuer twice.
    #[error("the issuer `{0}` is named twice, or is this program's own name")]
    Twice(String),
}

impl Verifier {
    /// Verifies this program's own tokens, where it has a source of keys, and those of the issuers of the settings.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(own: Option<Source>, settings: &IdentitySettings) -> Result<Self, SetupError> {
        jwt::install();
        let freshness = settings.freshness();
        let mut issuers = Vec::new();
        if let Some(source) = own {
            let rules = Rules { life_max: settings.life_max(), ..Rules::own() };
            issuers.push(Issuer::new(OWN_ISSUER, rules, Origin::Own(source), freshness));
        }
        // Authorities are read where somebody is asked only.
        if !settings.oidc_issuers.is_empty() {
            let fetcher = Fetcher::new(settings.oidc_ca.as_deref())?;
            for issuer in &settings.oidc_issuers {
                let discovery = Discovery::new(fetcher.clone(), &issuer.url, issuer.plain)?;
                let origin = Origin::Discovery(Box::new(discovery));
                issuers.push(Issuer::new(&issuer.url, settings.rules(issuer), origin, freshness));
            }
        }
        Self::of(issuers)
    }

    /// Verifies this program's own tokens by keys that stay as they are.
    pub fn own(keys: super::SigningKeys) -> Self {
        jwt::install();
        let origin = Origin::Own(Source::Keys(keys));
        let issuer = Issuer::new(OWN_ISSUER, Rules::own(), origin, Freshness::default());
        Self::with(HashMap::from([(OWN_ISSUER.to_owned(), issuer)]))
    }

    fn of(issuers: Vec<Arc<Issuer>>) -> Result<Self, SetupError> {
        let mut named = HashMap::new();
        for issuer in issuers {
            if let Some(before) = named.insert(issuer.name().to_owned(), issuer) {
                return Err(SetupError::Twice(before.name().to_owned()));
            }
        }
        Ok(Self::with(named))
    }

    fn with(issuers: HashMap<String, Arc<Issuer>>) -> Self {
        Self { inner: Arc::new(Inner { issuers, verified: Cache::new(VERIFIED_MAX) }) }
    }

    /// Who the token speaks for.
    ///
    /// # Errors
    /// [`IdentityError`]. Nobody gets in by a token that cannot be verified now.
    pub async fn verify(&self, token: &str) -> Result<Identity, IdentityError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Flaw::Length.into());
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        if let Some(found) = self.inner.verified.get(&hash) {
            if found.still_holds() {
                return Ok(found.identity);
            }
            self.inner.verified.invalidate(&hash);
        }
        let verified = self.verify_anew(token).await?;
        let identity = verified.identity.clone();
        self.inner.verified.insert(hash, verified);
        Ok(identity)
    }

    /// Claims are judged before the key is looked up: what would be refused anyway costs its issuer nothing.
    async fn verify_anew(&self, text: &str) -> Result<Verified, IdentityError> {
        let token = Token::parse(text)?;
        let issuer = self.inner.issuers.get(token.issuer()?).ok_or(IdentityError::UnknownIssuer)?;
        let identity = issuer.rules().judge(&token, clock::now())?;
        let key = issuer.key(&token.key, identity.issued_at).await?;
        token.check_signature(&key)?;
        // Looking the key up may have taken a while.
        if clock::now() >= identity.expires_at {
            return Err(IdentityError::Expired);
        }
        Ok(Verified { identity, issuer: issuer.clone(), key })
    }

    /// Keeps the issuers' keys fresh until `shutdown`; looks them up at once. A task for as long as the process lives.
    pub async fn keep_fresh(self, shutdown: CancellationToken) {
        let issuers = self.inner.issuers.values().cloned();
        join_all(issuers.map(|issuer| issuer.keep_fresh(shutdown.clone()))).await;
        // Whoever verifies nothing has nothing to keep fresh, and stays all the same.
        shutdown.cancelled().await;
    }
}

impl Verified {
    /// A token holds until its time is over, and no longer than its issuer has the key that signed it.
    fn still_holds(&self) -> bool {
        let known = self.issuer.known(&self.key.name);
        clock::now() < self.identity.expires_at && known.is_some_and(|key| key.thumbprint == self.key.thumbprint)
    }
}
