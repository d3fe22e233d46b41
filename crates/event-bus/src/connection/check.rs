//! Settings are looked at before anything is connected: the client reads files
//! and keys anew with every attempt, and would try on for ever with a wrong one.

use std::path::Path;

use async_nats::ServerAddr;
use percent_encoding::percent_decode_str;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::{Checked, ConnectionError, Identity, NatsOptions};

const URL: &str = "--nats-url";
const USER: &str = "--nats-user";
const PASSWORD: &str = "--nats-password";
const TOKEN: &str = "--nats-token";
const NKEY: &str = "--nats-nkey";
const NKEY_FILE: &str = "--nats-nkey-file";
pub const CREDS: &str = "--nats-creds";
const CA: &str = "--nats-ca";
const CERT: &str = "--nats-cert";
const KEY: &str = "--nats-key";

/// Reads and checks everything that can be without a server.
pub async fn check(options: &NatsOptions) -> Result<Checked, ConnectionError> {
    let (servers, in_address) = servers(&options.url)?;
    let identity = identity(options, in_address).await?;
    if let Some(file) = &options.ca_file {
        let read = read(CA, file).await?;
        certificates(CA, &read)?;
    }
    let certificate = match (&options.cert_file, &options.key_file) {
        (Some(certificate), Some(key)) => {
            certificates(CERT, &read(CERT, certificate).await?)?;
            let wrong = |source| content(KEY, "private key", source);
            PrivateKeyDer::from_pem_slice(read(KEY, key).await?.as_bytes()).map_err(wrong)?;
            Some((certificate.clone(), key.clone()))
        }
        (Some(_), None) => return Err(ConnectionError::Missing { given: CERT, missing: KEY }),
        (None, Some(_)) => return Err(ConnectionError::Missing { given: KEY, missing: CERT }),
        (None, None) => None,
    };
    // Who names an authority or shows a certificate does not mean to go on in the clear.
    let require_tls = options.require_tls || options.ca_file.is_some() || certificate.is_some();
    Ok(Checked { servers, identity, ca_file: options.ca_file.clone(), certificate, require_tls })
}

/// The servers, without what their addresses say about who we are, and that.
fn servers(list: &str) -> Result<(Vec<ServerAddr>, Option<Identity>), ConnectionError> {
    let mut servers = Vec::new();
    let mut identity: Option<Identity> = None;
    for (index, text) in list.split(',').map(str::trim).enumerate() {
        let (server, said) = server(text).map_err(|why| ConnectionError::Address { number: index + 1, why })?;
        servers.push(server);
        match (&identity, said) {
            (_, None) => {}
            (None, said) => identity = said,
            (Some(before), Some(said)) if before.is(&said) => {}
            (Some(_), Some(_)) => {
                let why = "it names another user than the one before".to_owned();
                return Err(ConnectionError::Address { number: index + 1, why });
            }
        }
    }
    Ok((servers, identity))
}

fn server(text: &str) -> Result<(ServerAddr, Option<Identity>), String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let mut url = text.parse::<ServerAddr>().map_err(|error| error.to_string())?.into_inner();
    if !matches!(url.scheme(), "nats" | "tls") {
        return Err(format!("it begins with `{}://`, not `nats://` or `tls://`", url.scheme()));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("it names no host".to_owned());
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err("nothing may follow host and port".to_owned());
    }
    let decoded = |text: &str| {
        let decoded = percent_decode_str(text).decode_utf8();
        decoded.map(String::from).map_err(|_| "its user or password is not UTF-8".to_owned())
    };
    let identity = match (url.username(), url.password()) {
        ("", None) => None,
        ("", Some(_)) => return Err("it has a password and no user".to_owned()),
        (token, None) => Some(Identity::Token(decoded(token)?)),
        (user, Some(password)) => Some(Identity::User(decoded(user)?, decoded(password)?)),
    };
    let cannot = |()| "user and password cannot be taken out of it".to_owned();
    url.set_username("").and_then(|()| url.set_password(None)).map_err(cannot)?;
    let server = ServerAddr::from_url(url).map_err(|error| error.to_string())?;
    Ok((server, identity))
}

/// The one way of authentication that was given.
async fn identity(options: &NatsOptions, in_address: Option<Identity>) -> Result<Identity, ConnectionError> {
    let given = [
        (URL, in_address.is_some()),
        (USER, options.user.is_some()),
        (TOKEN, options.token.is_some()),
        (NKEY, options.nkey.is_some()),
        (NKEY_FILE, options.nkey_file.is_some()),
        (CREDS, options.creds_file.is_some()),
    ];
    let mut given = given.into_iter().filter_map(|(setting, given)| given.then_some(setting));
    if let (Some(first), Some(second)) = (given.next(), given.next()) {
        return Err(ConnectionError::Both { first, second });
    }
    if let Some(identity) = in_address {
        return if options.password.is_some() {
            Err(ConnectionError::Both { first: URL, second: PASSWORD })
        } else {
            Ok(identity)
        };
    }
    match (&options.user, &options.password) {
        (Some(user), Some(password)) => return Ok(Identity::User(user.clone(), password.clone())),
        (Some(_), None) => return Err(ConnectionError::Missing { given: USER, missing: PASSWORD }),
        (None, Some(_)) => return Err(ConnectionError::Missing { given: PASSWORD, missing: USER }),
        (None, None) => {}
    }
    if let Some(token) = &options.token {
        return match token.as_str() {
            "" => Err(ConnectionError::Setting { setting: TOKEN, why: "it is empty" }),
            token => Ok(Identity::Token(token.to_owned())),
        };
    }
    if let Some(seed) = &options.nkey {
        return nkey(NKEY, seed);
    }
    if let Some(file) = &options.nkey_file {
        return nkey(NKEY_FILE, &read(NKEY_FILE, file).await?);
    }
    match &options.creds_file {
        Some(file) => Ok(Identity::Credentials(read(CREDS, file).await?)),
        None => Ok(Identity::Nobody),
    }
}

/// An nkey's seed, as `nsc` writes them: it may stand among other lines.
fn nkey(setting: &'static str, text: &str) -> Result<Identity, ConnectionError> {
    let seed = text.lines().map(str::trim).find(|line| line.starts_with("SU")).unwrap_or_default();
    nkeys::KeyPair::from_seed(seed).map_err(|source| content(setting, "seed of a user's nkey", source))?;
    Ok(Identity::Nkey(seed.to_owned()))
}

impl Identity {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Identity::Token(this), Identity::Token(other)) => this == other,
            (Identity::User(user, password), Identity::User(other, others)) => user == other && password == others,
            _ => false,
        }
    }
}

async fn read(setting: &'static str, file: &Path) -> Result<String, ConnectionError> {
    let read = tokio::fs::read_to_string(file).await;
    read.map_err(|source| ConnectionError::File { setting, path: file.to_owned(), source })
}

fn certificates(setting: &'static str, text: &str) -> Result<(), ConnectionError> {
    let mut found = CertificateDer::pem_slice_iter(text.as_bytes()).peekable();
    if found.peek().is_none() {
        return Err(content(setting, "certificate", "it has no section of that kind"));
    }
    found.try_for_each(|certificate| certificate.map(drop).map_err(|source| content(setting, "certificate", source)))
}

fn content(
    setting: &'static str,
    what: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> ConnectionError {
    ConnectionError::Content { setting, what, source: source.into() }
}
