//! Who vouches for people.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::identity::{Algorithm, Freshness, Rules, SigningKeyError, SigningKeys, Source, TokenType};

/// Whose tokens are taken, beside this program's own.
#[derive(Clone, Debug, Args)]
pub struct IdentitySettings {
    /// OpenID Connect provider whose tokens are taken: its issuer as in its tokens, and behind commas
    /// `audience=<ours>`, where needed `algorithms=RS256+ES256+EdDSA`, `type=JWT` (tokens that are not marked `at+jwt`)
    /// and `tls=off`; several separated by a blank, or the flag several times.
    #[arg(long = "oidc-issuer", env = "ANAMNESIS_OIDC_ISSUER", value_delimiter = ' ', value_parser = oidc_issuer, value_name = "URL,audience=NAME,…")]
    pub oidc_issuers: Vec<OidcIssuer>,
    /// PEM file of the authorities that providers' certificates must come from; without it the system's.
    #[arg(long, env = "ANAMNESIS_OIDC_CA", value_name = "FILE")]
    pub oidc_ca: Option<PathBuf>,
    /// Seconds that a provider's clock may be wrong by. This program's own tokens get none after their end.
    #[arg(long, env = "ANAMNESIS_OIDC_LEEWAY_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=300), value_name = "SECONDS")]
    pub oidc_leeway_seconds: u64,
    /// Seconds between two look-ups of one issuer's keys, at least, whatever keys tokens name.
    #[arg(long, env = "ANAMNESIS_OIDC_REFETCH_SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600), value_name = "SECONDS")]
    pub oidc_refetch_seconds: u64,
    /// Seconds for which an issuer's keys are used on while it is away.
    #[arg(long, env = "ANAMNESIS_OIDC_KEPT_SECONDS_MAX", default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(60..=2_592_000), value_name = "SECONDS")]
    pub oidc_kept_seconds_max: u64,
    /// Longest life of a token, in seconds; one that was made for longer is refused.
    #[arg(long, env = "ANAMNESIS_TOKEN_SECONDS_MAX", default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(60..=7_776_000), value_name = "SECONDS")]
    pub token_seconds_max: u64,
}

/// The keys of this program's own tokens.
#[derive(Clone, Debug, Args)]
pub struct SigningKeySettings {
    /// Ed25519 keys of this program's own tokens: each 32 random bytes as 64 hexadecimal digits, or PKCS #8 in base64;
    /// several separated by a blank. The first signs, all verify.
    #[arg(long, env = "ANAMNESIS_SIGNING_KEY", value_name = "HEX", hide_env_values = true, conflicts_with_all = ["signing_key_file", "jwks_file"])]
    pub signing_key: Option<String>,
    /// PEM file of the Ed25519 keys of this program's own tokens: the first signs, all verify. By default `signing.pem` in
    /// the data folder, which `serve` makes where it is missing.
    #[arg(long, env = "ANAMNESIS_SIGNING_KEY_FILE", value_name = "FILE", conflicts_with = "jwks_file")]
    pub signing_key_file: Option<PathBuf>,
    /// File of the public keys of this program's own tokens (JWKS), for a process that verifies them and issues none.
    #[arg(long, env = "ANAMNESIS_JWKS_FILE", value_name = "FILE")]
    pub jwks_file: Option<PathBuf>,
}

impl SigningKeySettings {
    /// The keys that sign.
    ///
    /// # Errors
    /// [`SigningKeyError`] where they cannot be used.
    pub fn keys(&self, data_dir: &Path) -> Result<SigningKeys, SigningKeyError> {
        match &self.signing_key {
            Some(text) => SigningKeys::parse(text),
            None => SigningKeys::load(&self.file(data_dir)),
        }
    }

    /// The file of the keys that sign.
    pub fn file(&self, data_dir: &Path) -> PathBuf {
        self.signing_key_file.clone().unwrap_or_else(|| data_dir.join("signing.pem"))
    }

    /// Where the keys that verify are; they are made where none are named, there are none, and `make` allows it.
    ///
    /// # Errors
    /// [`SigningKeyError`] where the keys that sign cannot be used.
    pub fn source(&self, data_dir: &Path, make: bool) -> Result<Source, SigningKeyError> {
        if let Some(text) = &self.signing_key {
            return Ok(Source::Keys(SigningKeys::parse(text)?));
        }
        if let Some(file) = &self.jwks_file {
            return Ok(Source::JwksFile(file.clone()));
        }
        let file = self.file(data_dir);
        if make && self.signing_key_file.is_none() {
            SigningKeys::load_or_create(&file)?;
        } else {
            SigningKeys::load(&file)?;
        }
        Ok(Source::KeyFile(file))
    }
}

/// A provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcIssuer {
    /// Its issuer, to the letter.
    pub url: String,
    /// Whom its tokens must be meant for.
    pub audience: String,
    /// How they may be signed.
    pub algorithms: Vec<Algorithm>,
    /// What kind they are of.
    pub token_type: TokenType,
    /// Whether it is asked without TLS.
    pub plain: bool,
}

impl IdentitySettings {
    /// How old keys may be.
    pub fn freshness(&self) -> Freshness {
        let (pause, kept_max) =
            (Duration::from_secs(self.oidc_refetch_seconds), Duration::from_secs(self.oidc_kept_seconds_max));
        Freshness { pause, kept_max, ..Freshness::default() }
    }

    /// The longest life of a token.
    pub const fn life_max(&self) -> Duration {
        Duration::from_secs(self.token_seconds_max)
    }

    /// What is accepted of a provider.
    pub fn rules(&self, issuer: &OidcIssuer) -> Rules {
        let leeway = Duration::from_secs(self.oidc_leeway_seconds);
        Rules {
            audience: issuer.audience.clone(),
            algorithms: issuer.algorithms.clone(),
            token_type: issuer.token_type,
            leeway,
            ahead_max: leeway,
            life_max: self.life_max(),
        }
    }
}

/// Reads a provider as it stands behind the flag.
///
/// # Errors
/// What is wrong with it.
pub fn oidc_issuer(text: &str) -> Result<OidcIssuer, String> {
    let mut parts = text.split(',');
    let url = parts.next().filter(|url| !url.is_empty()).ok_or("an issuer begins with its URL")?.to_owned();
    let (mut audience, mut algorithms, mut token_type, mut tls) = (None, None, None, None);
    for part in parts {
        let (name, value) = part.split_once('=').ok_or_else(|| format!("`{part}` is not `name=value`"))?;
        let value = value.trim();
        let before = match name.trim() {
            "audience" if !value.is_empty() => audience.replace(value).is_some(),
            "algorithms" => {
                let named = value.split('+').map(|name| name.parse().map_err(|error| format!("`{name}` is {error}")));
                algorithms.replace(named.collect::<Result<Vec<Algorithm>, _>>()?).is_some()
            }
            "type" => token_type.replace(kind(value)?).is_some(),
            "tls" if matches!(value, "on" | "off") => tls.replace(value == "on").is_some(),
            name => return Err(format!("`{name}={value}` is none of audience=, algorithms=, type= and tls=on or off")),
        };
        if before {
            return Err(format!("`{name}` is given twice"));
        }
    }
    let audience = audience.ok_or("`audience=` is missing: without it tokens for other services would be taken")?;
    Ok(OidcIssuer {
        url,
        audience: audience.to_owned(),
        algorithms: algorithms.unwrap_or_else(|| Algorithm::ALL.to_vec()),
        token_type: token_type.unwrap_or(TokenType::AccessToken),
        plain: !tls.unwrap_or(true),
    })
}

fn kind(text: &str) -> Result<TokenType, String> {
    match text.to_ascii_lowercase().as_str() {
        "at+jwt" => Ok(TokenType::AccessToken),
        "jwt" => Ok(TokenType::Jwt),
        _ => Err(format!("the type `{text}` is neither at+jwt nor JWT")),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    fn settings(arguments: &[&str]) -> Result<IdentitySettings, String> {
        let command = IdentitySettings::augment_args(Command::new("serve"));
        let matches = command.try_get_matches_from([&["serve"], arguments].concat());
        let matches = matches.map_err(|error| error.to_string())?;
        IdentitySettings::from_arg_matches(&matches).map_err(|error| error.to_string())
    }

    #[test]
    fn providers_stand_behind_the_flag_as_it_says() {
        let settings = settings(&[
            "--oidc-issuer=https://a.example.org/realms/t,audience=anamnesis https://b.example.org/,audience=x,algorithms=ES256+EdDSA,type=JWT,tls=off",
            "--oidc-leeway-seconds=0",
        ])
        .expect("good settings");
        let [a, b] = &*settings.oidc_issuers else { panic!("{:?}", settings.oidc_issuers) };
        assert_eq!((&*a.url, &*a.audience, a.plain), ("https://a.example.org/realms/t", "anamnesis", false));
        assert_eq!((&a.algorithms[..], a.token_type), (&Algorithm::ALL[..], TokenType::AccessToken));
        assert_eq!((&*b.url, &*b.audience, b.plain), ("https://b.example.org/", "x", true));
        assert_eq!(b.algorithms, [Algorithm::Es256, Algorithm::EdDsa]);
        let rules = settings.rules(b);
        assert_eq!(
            (rules.token_type, rules.leeway, rules.life_max.as_secs()),
            (TokenType::Jwt, Duration::ZERO, 86_400)
        );
        assert_eq!(settings.freshness().pause, Duration::from_secs(10));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (text, told) in [
            ("", "begins with its URL"),
            ("https://a.example.org", "`audience=` is missing"),
            ("https://a.example.org,audience=", "none of audience="),
            ("https://a.example.org,audience=a,audience=b", "twice"),
            ("https://a.example.org,audience=a,algorithms=HS256", "`HS256` is not one of"),
            ("https://a.example.org,audience=a,algorithms=", "not one of"),
            ("https://a.example.org,audience=a,algorithms=none", "`none` is not one of"),
            ("https://a.example.org,audience=a,type=id", "neither at+jwt nor JWT"),
            ("https://a.example.org,audience=a,tls=no", "none of audience="),
            ("https://a.example.org,audience", "not `name=value`"),
            ("https://a.example.org,audience=a,colour=red", "none of audience="),
        ] {
            let error = oidc_issuer(text).expect_err(text);
            assert!(error.contains(told), "{text}: {error}");
        }
        let error = oidc_issuer("https://a.example.org,audience=a,type=JWT,type=JWT").expect_err("twice");
        assert!(error.contains("`type` is given twice"), "{error}");
        assert!(settings(&["--oidc-leeway-seconds=301"]).is_err());
        assert!(settings(&["--oidc-refetch-seconds=0"]).is_err());
    }

    #[test]
    fn a_key_is_made_only_where_none_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let named = folder.path().join("named.pem");
        let by = |signing_key_file, jwks_file| SigningKeySettings { signing_key: None, signing_key_file, jwks_file };
        assert!(by(Some(named.clone()), None).source(folder.path(), true).is_err() && !named.exists());
        assert!(by(None, None).source(folder.path(), false).is_err());
        assert!(matches!(by(None, Some(named.clone())).source(folder.path(), true), Ok(Source::JwksFile(_))));
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
        let default = folder.path().join("signing.pem");
        let made = by(None, None).source(folder.path(), true).expect("it is made");
        assert!(matches!(made, Source::KeyFile(file) if file == default && file.exists()));
        assert!(by(Some(default), None).source(folder.path(), false).is_ok());
    }
}
