//! Where the database is: one address, perhaps several hosts.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

/// How long connecting to one host may take where the address does not say.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Parameters that the driver honours.
const DRIVER_PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// A parameter that is not honoured is refused: ignored, it would promise what nobody keeps.
    #[error("the parameter `{0}` of the database address is not supported")]
    Parameter(String),
    /// A parameter's value cannot be used.
    #[error("the parameter `{name}` of the database address must be {wanted}")]
    Value {
        /// The parameter.
        name: &'static str,
        /// What it may be.
        wanted: &'static str,
    },
    /// The rest of the address is malformed.
    #[error("the database address cannot be read")]
    Malformed(#[source] sqlx::Error),
}

/// A parsed address.
#[derive(Debug)]
pub struct Address {
    /// How to reach each host, in the order in which they are tried.
    pub hosts: Vec<PgConnectOptions>,
    /// How long connecting to one of them may take.
    pub connect_max: Duration,
}

impl Address {
    /// Reads `postgres://user:password@a:5432,b:5433/database?parameters`.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut connect_max = CONNECT_MAX;
        let mut kept = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                // Nothing but the primary is of use to any role: each of them writes.
                "target_session_attrs" if ["read-write", "primary"].contains(&value) => {}
                "target_session_attrs" => {
                    return Err(AddressError::Value { name: "target_session_attrs", wanted: "`read-write`" });
                }
                "connect_timeout" => {
                    let seconds = value.parse().ok().filter(|seconds| *seconds > 0);
                    let wrong = AddressError::Value { name: "connect_timeout", wanted: "a number of seconds" };
                    connect_max = Duration::from_secs(seconds.ok_or(wrong)?);
                }
                "host" | "hostaddr" | "port" if value.contains(',') => {
                    let wanted = "one; several stand before the path: postgres://a:5432,b:5432/database";
                    let name = if name == "port" { "port" } else { "host" };
                    return Err(AddressError::Value { name, wanted });
                }
                _ if DRIVER_PARAMETERS.contains(&name) || name.starts_with("options[") => kept.push(pair),
                _ => return Err(AddressError::Parameter(name.to_owned())),
            }
        }
        let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
        let (scheme, rest) = base.split_once("://").unwrap_or(("postgres", base));
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
        let at = if user.is_empty() { "" } else { "@" };
        let options = hosts.split(',').map(|host| {
            PgConnectOptions::from_str(&format!("{scheme}://{user}{at}{host}{path}{query}"))
                .map_err(AddressError::Malformed)
        });
        Ok(Self { hosts: options.collect::<Result<_, _>>()?, connect_max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(url: &str) -> Vec<(String, u16)> {
        let address = Address::parse(url).expect("an address");
        address.hosts.iter().map(|options| (options.get_host().to_owned(), options.get_port())).collect()
    }

    #[test]
    fn several_hosts_are_read_and_what_is_not_honoured_is_refused_by_name() {
        let url = "postgres://u:p@a:5432,b:5433/db?target_session_attrs=read-write&sslmode=disable";
        assert_eq!(hosts(url), [("a".to_owned(), 5432), ("b".to_owned(), 5433)]);
        assert_eq!(hosts("postgres://[::1]:5432,c/db?connect_timeout=3").len(), 2);
        for name in ["keepalives", "keepalives_idle", "tcp_user_timeout", "load_balance_hosts", "sslmod"] {
            let refused = Address::parse(&format!("postgres://a/db?{name}=1")).expect_err(name);
            assert!(refused.to_string().contains(&format!("`{name}`")), "{refused}");
        }
        for wrong in ["target_session_attrs=any", "connect_timeout=soon", "connect_timeout=0", "host=a,b"] {
            Address::parse(&format!("postgres://a/db?{wrong}")).expect_err(wrong);
        }
    }
}
