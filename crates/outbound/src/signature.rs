//! Signatures of webhooks and of receipts (Standard Webhooks 1.0): HMAC-SHA256 over id, time and body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use ring::hmac;

/// How old a signature may be, or how far its clock ahead.
const AGE_MAX: TimeDelta = TimeDelta::minutes(5);
/// Bytes of a secret at least.
const SECRET_BYTES_MIN: usize = 24;
/// What a secret may begin with.
const PREFIX: &str = "whsec_";

/// What signs and verifies.
pub struct Secret(hmac::Key);

/// Why a signature, or a secret, is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The secret is not one.
    #[error(
        "a secret is `whsec_` and at least {SECRET_BYTES_MIN} bytes in base64, as `openssl rand -base64 32` makes them"
    )]
    Secret,
    /// A header is missing or malformed.
    #[error("the headers `webhook-id`, `webhook-timestamp` and `webhook-signature` are needed")]
    Headers,
    /// It was signed too long ago, or by a clock that is ahead.
    #[error("it was signed more than five minutes ago, or will be")]
    Age,
    /// It is not of this secret, id, time and body.
    #[error("the signature is not of this content")]
    Wrong,
}

impl Secret {
    /// Reads a secret.
    ///
    /// # Errors
    /// [`SignatureError::Secret`].
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        let text = text.trim();
        let bytes = STANDARD.decode(text.strip_prefix(PREFIX).unwrap_or(text)).map_err(|_| SignatureError::Secret)?;
        if bytes.len() < SECRET_BYTES_MIN {
            return Err(SignatureError::Secret);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The header `webhook-signature`.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let tag = hmac::sign(&self.0, &signed(id, timestamp, body));
        format!("v1,{}", STANDARD.encode(tag))
    }

    /// Takes content of which one of the signatures is by this secret, at `now`.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(
        &self,
        [id, timestamp, signatures]: [&str; 3],
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<(), SignatureError> {
        let timestamp: i64 = timestamp.parse().map_err(|_| SignatureError::Headers)?;
        let at = DateTime::from_timestamp(timestamp, 0).ok_or(SignatureError::Headers)?;
        if (now - at).abs() > AGE_MAX {
            return Err(SignatureError::Age);
        }
        let content = signed(id, timestamp, body);
        let is_ours = |signature: &str| {
            let tag = signature.strip_prefix("v1,").and_then(|tag| STANDARD.decode(tag).ok());
            tag.is_some_and(|tag| hmac::verify(&self.0, &content, &tag).is_ok())
        };
        // While a secret is changed there are several, with blanks between them.
        if signatures.split(' ').any(is_ours) { Ok(()) } else { Err(SignatureError::Wrong) }
    }
}

fn signed(id: &str, timestamp: i64, body: &[u8]) -> Vec<u8> {
    [format!("{id}.{timestamp}.").as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;

    #[test]
    fn it_signs_as_the_specification_does() {
        let secret = Secret::parse(SECRET).expect("a secret");
        assert_eq!(secret.sign(ID, 1_614_265_330, BODY), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn only_what_was_signed_is_taken_and_only_for_a_while() {
        let secret = Secret::parse(SECRET).expect("a secret");
        let at = DateTime::from_timestamp(1_614_265_330, 0).expect("a time");
        let verify = |id: &str, timestamp: &str, signature: &str, body: &[u8], now| {
            secret.verify([id, timestamp, signature], body, now)
        };
        let good = secret.sign(ID, 1_614_265_330, BODY);
        let both = format!("v1,AAAA {good} v2,BBBB");
        for signature in [&good, &both] {
            assert_eq!(verify(ID, "1614265330", signature, BODY, at), Ok(()));
        }
        assert_eq!(verify("other", "1614265330", &good, BODY, at), Err(SignatureError::Wrong));
        assert_eq!(verify(ID, "1614265331", &good, BODY, at), Err(SignatureError::Wrong));
        assert_eq!(verify(ID, "1614265330", &good, b"{}", at), Err(SignatureError::Wrong));
        assert_eq!(verify(ID, "1614265330", "v1,", BODY, at), Err(SignatureError::Wrong));
        assert_eq!(verify(ID, "soon", &good, BODY, at), Err(SignatureError::Headers));
        for minutes in [-6, 6] {
            let now = at + TimeDelta::minutes(minutes);
            assert_eq!(verify(ID, "1614265330", &good, BODY, now), Err(SignatureError::Age));
        }
        for wrong in ["", "whsec_", "whsec_c2hvcnQ=", "not base64!"] {
            assert!(Secret::parse(wrong).is_err(), "{wrong}");
        }
    }
}
