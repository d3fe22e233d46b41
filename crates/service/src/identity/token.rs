//! A token's form: header and claims, before anybody vouches for either (RFC 7515, compact serialization).

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::error::{Flaw, IdentityError};
use super::json;
use super::jwk::{KeyName, PublicKey};

/// Greatest length of a token.
pub(super) const TOKEN_BYTES_MAX: usize = 8_192;
/// Greatest length of `kid`, which is only ever compared.
const KEY_ID_BYTES_MAX: usize = 255;

/// A token as it is written; nothing in it is to be believed before [`Token::check_signature`].
pub struct Token<'token> {
    /// What is signed: header and claims.
    signed: &'token str,
    /// The signature, in base64url.
    signature: &'token str,
    /// The key that is said to have signed.
    pub key: KeyName,
    /// `typ`, in lower case, without `application/`.
    pub kind: Option<String>,
    /// The claims.
    pub claims: Map<String, Value>,
}

impl<'token> Token<'token> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// The [`Flaw`] of its form.
    pub fn parse(text: &'token str) -> Result<Self, Flaw> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(Flaw::Length);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Flaw::Form)?;
        let (header, claims) = signed.split_once('.').ok_or(Flaw::Form)?;
        let decoded = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| Flaw::Form);
        let (header, claims) = (decoded(header)?, decoded(claims)?);
        decoded(signature)?;
        let header = json::object(&header).map_err(|_| Flaw::Header)?;
        if header.contains_key("crit") {
            return Err(Flaw::Critical);
        }
        let field = |name| header.get(name).and_then(Value::as_str);
        let algorithm: Algorithm = field("alg").and_then(|text| text.parse().ok()).ok_or(Flaw::Algorithm)?;
        let id = field("kid").filter(|id| (1..=KEY_ID_BYTES_MAX).contains(&id.len())).ok_or(Flaw::KeyId)?;
        let kind = match header.get("typ") {
            None => None,
            Some(kind) => {
                let kind = kind.as_str().ok_or(Flaw::Type)?.to_ascii_lowercase();
                // RFC 7515, 4.1.9: `application/` may be left out.
                Some(kind.strip_prefix("application/").map(ToOwned::to_owned).unwrap_or(kind))
            }
        };
        let key = KeyName { id: id.to_owned(), algorithm };
        let claims = json::object(&claims).map_err(|_| Flaw::Claims)?;
        Ok(Self { signed, signature, key, kind, claims })
    }

    /// Who is said to have issued it.
    ///
    /// # Errors
    /// A [`Flaw`] where it does not say.
    pub fn issuer(&self) -> Result<&str, Flaw> {
        let issuer = self.claims.get("iss").ok_or(Flaw::Missing("iss"))?;
        issuer.as_str().ok_or(Flaw::Claim("iss"))
    }

    /// Whether `key` signed it.
    ///
    /// # Errors
    /// [`IdentityError::BadSignature`].
    pub fn check_signature(&self, key: &PublicKey) -> Result<(), IdentityError> {
        let algorithm = key.name.algorithm.of_library();
        match jsonwebtoken::crypto::verify(self.signature, self.signed.as_bytes(), &key.decoding, algorithm) {
            Ok(true) => Ok(()),
            _ => Err(IdentityError::BadSignature),
        }
    }
}
