//! Addresses to listen on, as people write them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

/// Reads `127.0.0.1:8080`, `localhost:8080`, `[::1]:8080`, `:8080` or `8080`. Without a host it is this machine's own,
/// 127.0.0.1: nobody listens to the whole network without having said so.
///
/// # Errors
/// What is wrong, with an example.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = || {
        format!(
            "`{text}` is not an address to listen on, such as 127.0.0.1:8080, localhost:8080, [::1]:8080, or 8080; \
             for every interface: 0.0.0.0:8080"
        )
    };
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    // The parser of numbers takes a sign, too.
    let port = port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse::<u16>().ok()).flatten();
    let port = port.ok_or_else(wrong)?;
    match host {
        "" | "localhost" => Ok((Ipv4Addr::LOCALHOST, port).into()),
        // Neither an IPv6 address without its brackets nor half of one.
        host if host.contains([':', '[', ']', '/', ' ']) => Err(wrong()),
        host => {
            let mut found = (host, port).to_socket_addrs().map_err(|error| format!("{}: {error}", wrong()))?;
            found.next().ok_or_else(wrong)
        }
    }
}

/// The address at which somebody on this machine reaches who listens on `address`, with TLS or without.
pub fn url(address: SocketAddr, is_tls: bool) -> String {
    let host = match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other.ip(),
    };
    let scheme = if is_tls { "https" } else { "http" };
    format!("{scheme}://{}", SocketAddr::new(host, address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for text in ["127.0.0.1:8080", "localhost:8080", ":8080", "8080"] {
            assert_eq!(address(text).map(|address| address.to_string()), Ok("127.0.0.1:8080".to_owned()), "{text}");
        }
        assert_eq!(address("[::1]:80").map(|address| address.to_string()), Ok("[::1]:80".to_owned()));
        assert_eq!(address("0.0.0.0:0").map(|address| address.to_string()), Ok("0.0.0.0:0".to_owned()));
        for text in ["", ":", "localhost", "::1:80", "[::1]", "127.0.0.1:+80", "8080x", "70000", "http://localhost:80"]
        {
            let told = address(text).expect_err(text);
            assert!(told.contains("127.0.0.1:8080"), "{told}");
        }
    }

    #[test]
    fn who_listens_everywhere_is_reached_here() {
        let shown = |text: &str| url(text.parse().expect("an address"), false);
        assert_eq!(shown("0.0.0.0:81"), "http://127.0.0.1:81");
        assert_eq!(shown("[::]:81"), "http://[::1]:81");
        assert_eq!(shown("10.0.0.7:81"), "http://10.0.0.7:81");
    }
}
