//! What claims have to say before somebody is believed to be who they say (RFC 7519, RFC 9068).

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use events::identifier::is_invisible;
use serde_json::{Map, Value};

use super::error::{Flaw, IdentityError};
use super::token::Token;
use super::{Algorithm, Identity, OWN_AUDIENCE};

/// Greatest length of `sub`, in characters (OpenID Connect Core, 2), and of `jti`.
const TEXT_LENGTH_MAX: usize = 255;
/// What names of the process managers begin with: no token speaks for them.
const OF_THE_SYSTEM: &str = "system:";
/// How far the clocks of processes of one installation may be apart.
const OWN_CLOCKS_APART: Duration = Duration::from_secs(5);
/// The longest life of a token, unless another is set.
const LIFE_MAX: Duration = Duration::from_secs(24 * 3_600);

/// What the `typ` of an issuer's tokens must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenType {
    /// `at+jwt`: an access token and nothing else (RFC 9068).
    AccessToken,
    /// `JWT` or none, of providers that do not follow RFC 9068: what can be told to be an ID token, a refresh or logout
    /// token by its claims is refused.
    Jwt,
}

/// What is accepted of an issuer.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whom its tokens must be meant for.
    pub audience: String,
    /// How they may be signed; a token's own word does not count.
    pub algorithms: Vec<Algorithm>,
    /// What kind they must be of.
    pub token_type: TokenType,
    /// How long a token is taken after `exp`.
    pub leeway: Duration,
    /// How far `iat` and `nbf` may lie ahead of our clock.
    pub ahead_max: Duration,
    /// The greatest time from `iat` to `exp`.
    pub life_max: Duration,
}

impl Rules {
    /// What is accepted of this program's own tokens.
    pub fn own() -> Self {
        Self {
            audience: OWN_AUDIENCE.to_owned(),
            algorithms: vec![Algorithm::EdDsa],
            token_type: TokenType::AccessToken,
            leeway: Duration::ZERO,
            ahead_max: OWN_CLOCKS_APART,
            life_max: LIFE_MAX,
        }
    }

    /// Whom a token is about, if its signature holds, which is looked at elsewhere.
    ///
    /// # Errors
    /// What is wrong with its kind, times, audience or subject.
    pub fn judge(&self, token: &Token<'_>, now: DateTime<Utc>) -> Result<Identity, IdentityError> {
        if !self.algorithms.contains(&token.key.algorithm) {
            return Err(Flaw::Algorithm.into());
        }
        let claims = Claims(&token.claims);
        self.check_type(token.kind.as_deref(), &claims)?;
        let issued_at = claims.time("iat")?.ok_or(Flaw::Missing("iat"))?;
        let expires = claims.time("exp")?.ok_or(Flaw::Missing("exp"))?;
        let (not_before, auth_time) = (claims.time("nbf")?, claims.time("auth_time")?);
        let audience = claims.audience()?;
        let subject = Subject::parse(claims.text("sub")?.ok_or(Flaw::Missing("sub"))?).map_err(|_| Flaw::Subject)?;
        let token_id = claims.token_id()?;
        let life = expires - issued_at;
        if life <= TimeDelta::zero() || life > delta(self.life_max) {
            return Err(Flaw::Lifetime.into());
        }
        if !audience.contains(&&*self.audience) {
            return Err(IdentityError::WrongAudience);
        }
        let expires_at = expires.checked_add_signed(delta(self.leeway)).ok_or(Flaw::Claim("exp"))?;
        if now >= expires_at {
            return Err(IdentityError::Expired);
        }
        let latest = now + delta(self.ahead_max);
        if issued_at > latest || not_before.is_some_and(|time| time > latest) {
            return Err(IdentityError::NotYetValid);
        }
        // Nobody can have signed in later than the token was made that tells it.
        if auth_time.is_some_and(|time| time > issued_at + delta(self.ahead_max)) {
            return Err(Flaw::Claim("auth_time").into());
        }
        let issuer = token.issuer()?.to_owned();
        Ok(Identity { issuer, subject: subject.0, issued_at, auth_time, expires_at, token_id })
    }

    fn check_type(&self, kind: Option<&str>, claims: &Claims<'_>) -> Result<(), Flaw> {
        let fits = match self.token_type {
            TokenType::AccessToken => kind == Some("at+jwt"),
            // Hashes of what was issued beside it are an ID token's (OpenID Connect Core, 3.3.2.11), `events` a
            // security event's (RFC 8417), and Keycloak tells the kind in a claim.
            TokenType::Jwt => {
                matches!(kind, None | Some("jwt" | "at+jwt"))
                    && !["at_hash", "c_hash", "s_hash", "events"].iter().any(|name| claims.0.contains_key(*name))
                    && claims.0.get("typ").is_none_or(|kind| kind == "Bearer")
            }
        };
        if fits { Ok(()) } else { Err(Flaw::Type) }
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

/// Claims, read strictly: what is of another kind than it should be is refused, never guessed at.
struct Claims<'token>(&'token Map<String, Value>);

impl<'token> Claims<'token> {
    fn text(&self, name: &'static str) -> Result<Option<&'token str>, Flaw> {
        self.0.get(name).map(|value| value.as_str().ok_or(Flaw::Claim(name))).transpose()
    }

    /// Whole seconds since 1970. RFC 7519 allows fractions; no issuer writes them, and rounding would be a guess.
    fn time(&self, name: &'static str) -> Result<Option<DateTime<Utc>>, Flaw> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let seconds = value.as_i64().filter(|seconds| *seconds >= 0);
        let time = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        time.map(Some).ok_or(Flaw::Claim(name))
    }

    /// `aud` is a text or a list of texts (RFC 7519, 4.1.3).
    fn audience(&self) -> Result<Vec<&'token str>, Flaw> {
        match self.0.get("aud") {
            None => Err(Flaw::Missing("aud")),
            Some(Value::String(audience)) => Ok(vec![audience]),
            Some(Value::Array(list)) => {
                list.iter().map(|audience| audience.as_str().ok_or(Flaw::Claim("aud"))).collect()
            }
            Some(_) => Err(Flaw::Claim("aud")),
        }
    }

    fn token_id(&self) -> Result<Option<String>, Flaw> {
        let Some(id) = self.text("jti")? else { return Ok(None) };
        let fits = !id.is_empty() && id.chars().count() <= TEXT_LENGTH_MAX && !id.chars().any(char::is_control);
        if fits { Ok(Some(id.to_owned())) } else { Err(Flaw::Claim("jti")) }
    }
}

/// The name of an account at its issuer: 1 to 255 characters that can be seen, with blanks only between them. Names
/// that begin with `system:` are those of the process managers, for whom no token speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject(String);

/// Not the name of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a subject is 1 to 255 visible characters and does not begin with `system:`")]
pub struct SubjectError;

impl Subject {
    /// Reads one.
    ///
    /// # Errors
    /// [`SubjectError`].
    pub fn parse(text: &str) -> Result<Self, SubjectError> {
        let is_hidden = |character: char| character.is_control() || (is_invisible(character) && character != ' ');
        let of_the_system =
            text.get(..OF_THE_SYSTEM.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(OF_THE_SYSTEM));
        let fits = (1..=TEXT_LENGTH_MAX).contains(&text.chars().count())
            && !text.starts_with(' ')
            && !text.ends_with(' ')
            && !text.chars().any(is_hidden)
            && !of_the_system;
        if fits { Ok(Self(text.to_owned())) } else { Err(SubjectError) }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    use super::*;

    #[test]
    fn an_account_has_a_name_that_can_be_seen() {
        let long = "a".repeat(255);
        for text in
            ["a", "u4711@clinic.example", "auth0|5f7c8ec7", "CN=Site 701,O=Clinic", "\u{738b}", "systems", &long]
        {
            assert_eq!(Subject::parse(text).map(|subject| subject.0), Ok(text.to_owned()));
        }
        let long = "a".repeat(256);
        for text in [
            "",
            " ",
            " a",
            "a ",
            "a\nb",
            "a\0",
            "a\u{85}b",
            "\u{202e}a",
            "a\u{200b}b",
            "a\u{2066}b",
            "a\u{a0}b",
            "\u{feff}a",
            "a\u{ad}b",
            "system:saga",
            "SYSTEM:saga",
            "system:",
            &long,
        ] {
            assert!(Subject::parse(text).is_err(), "{text:?}");
        }
    }

    /// What a token of this `typ` with these claims more is found to be, by issuers that do not follow RFC 9068.
    fn judged(kind: &str, further: &str) -> Result<String, IdentityError> {
        let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        let header = encode(&format!(r#"{{"alg":"RS256","kid":"k"{kind}}}"#));
        let claims = r#""iss":"i","aud":["account","anamnesis"],"sub":"a","iat":1000,"exp":1300"#;
        let token = format!("{header}.{}.", encode(&format!("{{{claims}{further}}}")));
        let rules = Rules { algorithms: vec![Algorithm::Rs256], token_type: TokenType::Jwt, ..Rules::own() };
        let now = DateTime::from_timestamp(1_100, 0).expect("a time");
        Ok(rules.judge(&Token::parse(&token)?, now)?.subject)
    }

    #[test]
    fn an_id_token_is_no_access_token_although_both_are_jwt() {
        let good = Ok("a".to_owned());
        for kind in ["", r#","typ":"JWT""#, r#","typ":"application/jwt""#, r#","typ":"at+jwt""#] {
            assert_eq!(judged(kind, ""), good, "{kind}");
        }
        assert_eq!(judged("", r#","typ":"Bearer""#), good);
        let wrong = Err(Flaw::Type.into());
        for kind in [r#","typ":"logout+jwt""#, r#","typ":"secevent+jwt""#, r#","typ":null"#] {
            assert_eq!(judged(kind, ""), wrong, "{kind}");
        }
        for further in [r#","typ":"ID""#, r#","typ":"Refresh""#, r#","at_hash":"x""#, r#","events":{}"#] {
            assert_eq!(judged("", further), wrong, "{further}");
        }
    }
}
