//! Where gRPC is spoken.

use std::net::SocketAddr;
use std::str::FromStr;

use clap::Args;

use crate::listen;

/// Where gRPC is spoken.
#[derive(Clone, Debug, Args)]
pub struct GrpcSettings {
    /// Where gRPC is spoken: an address as that of `--listen`; `same` for the port of `--listen`; `off`. By default the next port
    /// after that.
    #[arg(long, env = "ANAMNESIS_GRPC_LISTEN", value_name = "ADDRESS:PORT")]
    pub grpc_listen: Option<GrpcListen>,
}

/// Where gRPC is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcListen {
    /// Nowhere.
    Off,
    /// Where HTTP is.
    Same,
    /// On a port of its own.
    At(SocketAddr),
}

impl FromStr for GrpcListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "same" => Ok(Self::Same),
            text => listen::address(text).map(Self::At).map_err(|wrong| format!("{wrong}; or `same` or `off`")),
        }
    }
}

impl GrpcSettings {
    /// Where, beside HTTP at this address.
    pub fn beside(&self, http: SocketAddr) -> GrpcListen {
        self.grpc_listen.unwrap_or_else(|| {
            let port = http.port();
            // Any port is any other, and behind the last one there is none.
            let next = if port == 0 { 0 } else { port.checked_add(1).unwrap_or(port - 1) };
            GrpcListen::At(SocketAddr::new(http.ip(), next))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_it_is_the_next_port() {
        let beside = |grpc: Option<&str>, http: &str| {
            let grpc_listen = grpc.map(|text| text.parse().expect(text));
            GrpcSettings { grpc_listen }.beside(http.parse().expect("an address"))
        };
        let at = |text: &str| GrpcListen::At(text.parse().expect("an address"));
        assert_eq!(beside(None, "127.0.0.1:8080"), at("127.0.0.1:8081"));
        assert_eq!(beside(None, "[::]:0"), at("[::]:0"));
        assert_eq!(beside(None, "127.0.0.1:65535"), at("127.0.0.1:65534"));
        assert_eq!(beside(Some("9000"), "127.0.0.1:8080"), at("127.0.0.1:9000"));
        assert_eq!(beside(Some("same"), "127.0.0.1:8080"), GrpcListen::Same);
        assert_eq!(beside(Some("off"), "127.0.0.1:8080"), GrpcListen::Off);
        assert!("on".parse::<GrpcListen>().expect_err("not an address").contains("`same` or `off`"));
    }
}
