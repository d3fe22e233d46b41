//! From the settings to a client of NATS.

use async_nats::Client;
use event_bus::{ConnectionError, NatsOptions, WhileAway};
use service::settings::NatsSettings;

/// The client, where an address is given.
///
/// # Errors
/// [`ConnectionError`].
pub async fn connect(settings: &NatsSettings, away: WhileAway) -> Result<Option<Client>, ConnectionError> {
    let Some(url) = settings.nats_url.clone() else { return Ok(None) };
    let options = NatsOptions {
        url,
        user: settings.nats_user.clone(),
        password: settings.nats_password.clone(),
        token: settings.nats_token.clone(),
        nkey: settings.nats_nkey.clone(),
        nkey_file: settings.nats_nkey_file.clone(),
        creds_file: settings.nats_creds.clone(),
        ca_file: settings.nats_ca.clone(),
        cert_file: settings.nats_cert.clone(),
        key_file: settings.nats_key.clone(),
        require_tls: settings.nats_tls,
    };
    event_bus::connect(&options, away).await.map(Some)
}
