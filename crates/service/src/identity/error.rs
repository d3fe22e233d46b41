//! Why a token is not taken.

use axum::http::{HeaderValue, StatusCode, header};

use super::token::TOKEN_BYTES_MAX;
use crate::problem::Problem;

/// Why nobody is known by a token. What its owner can do about it differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It is no token as they have to be.
    #[error("the token is malformed")]
    Malformed(#[source] Flaw),
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Nobody here trusts who issued it.
    #[error("the token's issuer is not one of this server's")]
    UnknownIssuer,
    /// It is meant for somebody else.
    #[error("the token is meant for another service")]
    WrongAudience,
    /// It was not signed by the key that it names.
    #[error("the token's signature does not hold")]
    BadSignature,
    /// Its issuer has no such key.
    #[error("the token's key is none of its issuer's")]
    UnknownKey,
    /// Whether the issuer has such a key cannot be found out now.
    #[error("the issuer's keys cannot be had now")]
    Unavailable {
        /// When it may be tried again.
        retry_after_seconds: u32,
    },
}

/// What is wrong with a token as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Its length.
    #[error("it is longer than {TOKEN_BYTES_MAX} bytes")]
    Length,
    /// It is cut off, or something else altogether.
    #[error("it is not three parts of base64url")]
    Form,
    /// Its header.
    #[error("its header is no JSON object, or names something twice")]
    Header,
    /// Its header has `crit`: extensions that have to be understood, and are not (RFC 7515, 4.1.11).
    #[error("its header asks for extensions (`crit`)")]
    Critical,
    /// The header's `alg`.
    #[error("its `alg` is not one that is accepted of its issuer")]
    Algorithm,
    /// The header's `kid`.
    #[error("its header has no `kid`")]
    KeyId,
    /// The header's `typ`: of an ID token, for instance.
    #[error("its `typ` is not that of an access token")]
    Type,
    /// The claims as a whole.
    #[error("its claims are no JSON object, or name something twice")]
    Claims,
    /// A claim that has to be there.
    #[error("its claim `{0}` is missing")]
    Missing(&'static str),
    /// A claim of another kind.
    #[error("its claim `{0}` is not what it must be")]
    Claim(&'static str),
    /// A `sub` that cannot be the name of an account.
    #[error("its `sub` is not 1 to 255 visible characters, or begins with `system:`")]
    Subject,
    /// From `iat` to `exp` is no time, or longer than is accepted.
    #[error("it is good for longer than is accepted, or for no time at all")]
    Lifetime,
}

impl From<Flaw> for IdentityError {
    fn from(flaw: Flaw) -> Self {
        Self::Malformed(flaw)
    }
}

impl From<IdentityError> for Problem {
    fn from(error: IdentityError) -> Self {
        let detail = match error {
            IdentityError::Malformed(flaw) => format!("The token is malformed: {flaw}."),
            IdentityError::Expired => "The token has expired: get a new one.".to_owned(),
            IdentityError::NotYetValid => "The token is not valid yet: is its issuer's clock right?".to_owned(),
            IdentityError::UnknownIssuer => "The token is of an issuer that this server does not know.".to_owned(),
            IdentityError::WrongAudience => "The token is meant for another service.".to_owned(),
            IdentityError::BadSignature => "The token's signature does not hold.".to_owned(),
            IdentityError::UnknownKey => {
                "The token was signed by a key that its issuer does not have, or has no longer: get a new one."
                    .to_owned()
            }
            IdentityError::Unavailable { retry_after_seconds } => {
                let detail = "The keys of the token's issuer cannot be had now, so nobody can say whether it holds.";
                return Self::unavailable("issuer-unavailable", detail, retry_after_seconds);
            }
        };
        // RFC 6750, 3: a description is plain ASCII without `"` and `\`.
        let header = format!("Bearer error=\"invalid_token\", error_description=\"{detail}\"");
        let header = HeaderValue::from_str(&header).unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail).with_header(header::WWW_AUTHENTICATE, header)
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;

    use super::*;

    #[test]
    fn whoever_is_refused_is_told_as_the_standard_says() {
        let malformed = IdentityError::Malformed(Flaw::Missing("aud"));
        for error in [malformed, IdentityError::Expired, IdentityError::UnknownKey, IdentityError::WrongAudience] {
            let response = Problem::from(error).into_response();
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            let told = response.headers()[header::WWW_AUTHENTICATE].to_str().expect("ASCII");
            assert!(told.starts_with("Bearer error=\"invalid_token\", error_description=\""), "{told}");
            assert_eq!(told.matches('"').count(), 4, "{told}");
        }
        let response = Problem::from(IdentityError::Unavailable { retry_after_seconds: 7 }).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "7");
        assert!(!response.headers().contains_key(header::WWW_AUTHENTICATE));
    }
}
