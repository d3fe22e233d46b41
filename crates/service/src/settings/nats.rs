//! How NATS is connected to.

use std::path::PathBuf;

use clap::Args;

/// Where NATS is, and who we are to it. A user, a token, an nkey and a
/// credentials file exclude one another.
#[derive(Clone, Debug, Args)]
pub struct NatsSettings {
    /// NATS servers, as `nats://host:port` or `tls://host:port`, several of one cluster separated by commas; may
    /// hold a user (`nats://user:password@host`) or a token (`nats://token@host`) where it is not given as a flag.
    #[arg(long, env = "ANAMNESIS_NATS_URL", value_name = "URL,…", hide_env_values = true)]
    pub nats_url: Option<String>,
    /// User at NATS.
    #[arg(long, env = "ANAMNESIS_NATS_USER", requires = "nats_url", value_name = "NAME")]
    pub nats_user: Option<String>,
    /// The user's password; by variable or settings file only, never as a flag.
    #[arg(
        long,
        env = "ANAMNESIS_NATS_PASSWORD",
        requires = "nats_url",
        value_name = "PASSWORD",
        hide_env_values = true
    )]
    pub nats_password: Option<String>,
    /// Token for NATS, instead of a user; by variable or settings file only, never as a flag.
    #[arg(long, env = "ANAMNESIS_NATS_TOKEN", requires = "nats_url", value_name = "TOKEN", hide_env_values = true)]
    pub nats_token: Option<String>,
    /// Seed of a user's nkey; by variable or settings file only, never as a flag.
    #[arg(long, env = "ANAMNESIS_NATS_NKEY", requires = "nats_url", value_name = "SEED", hide_env_values = true)]
    pub nats_nkey: Option<String>,
    /// File with the seed of a user's nkey.
    #[arg(long, env = "ANAMNESIS_NATS_NKEY_FILE", requires = "nats_url", value_name = "FILE")]
    pub nats_nkey_file: Option<PathBuf>,
    /// Credentials file: a user's JWT and seed, as `nsc` writes it.
    #[arg(long, env = "ANAMNESIS_NATS_CREDS", requires = "nats_url", value_name = "FILE")]
    pub nats_creds: Option<PathBuf>,
    /// PEM file of the authorities that NATS's certificate must come from; without it the system's. Requires TLS.
    #[arg(long, env = "ANAMNESIS_NATS_CA", requires = "nats_url", value_name = "FILE")]
    pub nats_ca: Option<PathBuf>,
    /// PEM file of our certificate for NATS. Requires TLS.
    #[arg(long, env = "ANAMNESIS_NATS_CERT", requires = "nats_url", value_name = "FILE")]
    pub nats_cert: Option<PathBuf>,
    /// PEM file of the certificate's key.
    #[arg(long, env = "ANAMNESIS_NATS_KEY", requires = "nats_url", value_name = "FILE")]
    pub nats_key: Option<PathBuf>,
    /// Refuses NATS without TLS.
    #[arg(long, env = "ANAMNESIS_NATS_TLS", default_value_t = false, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub nats_tls: bool,
    /// Replicas of the JetStream stream: 3 where NATS is a cluster.
    #[arg(long, env = "ANAMNESIS_NATS_REPLICAS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5), value_name = "N")]
    pub nats_replicas: u8,
}
