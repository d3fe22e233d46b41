//! What is published on NATS is signed; what others publish there is a security event.

use std::sync::Arc;

use async_nats::Client;
use event_bus::{Placed, RelayOptions, Signer, Watch};
use event_store::Store;
use events::access::incident::IncidentKind;
use serde_json::Value;
use service::event_keys::{EventKeyError, EventKeys};
use service::health::Check;
use service::identity::SigningKeys;
use service::incidents::{Incident, Recorder};
use service::settings::ServerSettings;
use service::supervise::Supervisor;

use crate::checks::works_beside;
use crate::serve::Roles;

/// The keys of published events, as this process has them.
pub struct Publishing {
    signer: Option<Signer>,
    keys: EventKeys,
    placed: Placed,
}

impl Publishing {
    /// As the settings say. Who publishes must have a key; only the process that does everything makes its own.
    ///
    /// # Errors
    /// [`EventKeyError`].
    pub fn of(roles: Roles, settings: &ServerSettings) -> Result<Self, EventKeyError> {
        let publishes = roles.relay && settings.nats.nats_url.is_some();
        let own = publishes.then(|| settings.event_keys.keys(&settings.storage.data_dir, roles == Roles::ALL));
        let own = own.transpose()?;
        let others = settings.event_jwks_file.as_deref().map(EventKeys::load).transpose()?.unwrap_or_default();
        let keys = own.as_ref().map(EventKeys::of).unwrap_or_default().and(others);
        Ok(Self { signer: own.as_ref().map(signer), keys, placed: Placed::default() })
    }

    /// How this process publishes, where it does, and where it is kept what it published.
    pub fn publisher(&self, replicas: u8) -> Option<(RelayOptions, Placed)> {
        let (signer, keys) = (self.signer.clone()?, self.keys.iter().collect());
        Some((RelayOptions { signer, keys, replicas }, self.placed.clone()))
    }

    /// The public keys as subscribers are shown them; none where there are none.
    pub fn jwks(&self) -> Option<Value> {
        self.keys.jwks()
    }

    /// Has messages that are not the relay's told, where the process listens to events and carries out commands.
    pub fn watch(
        &self,
        roles: Roles,
        store: &Store,
        client: Option<Client>,
        recorder: &Arc<dyn Recorder>,
        supervisor: &mut Supervisor,
        checks: &mut Vec<Check>,
    ) {
        let Some(client) = client.filter(|_| roles.saga) else { return };
        let watch = Watch::new(client, store.log.clone(), self.keys.iter().collect()).beside(self.placed.clone());
        let health = watch.health();
        checks.push(works_beside(roles, "foreign messages", move || health.check()));
        let (recorder, shutdown) = (recorder.clone(), supervisor.shutdown());
        supervisor.spawn("foreign messages", async move {
            shutdown.run_until_cancelled(tell(watch, recorder)).await;
        });
    }
}

/// Signs by the first of these keys.
pub fn signer(keys: &SigningKeys) -> Signer {
    Signer::new(keys.signing().id(), keys.signing().pair())
}

/// Records every message that is not the relay's; of what it says, nothing.
async fn tell(mut watch: Watch, recorder: Arc<dyn Recorder>) {
    loop {
        let foreign = watch.next().await;
        let incident = Incident {
            kind: IncidentKind::ForeignMessage,
            rule: foreign.reason.rule().to_owned(),
            account: None,
            operation: foreign.address.to_owned(),
            address: None,
        };
        recorder.record(incident).await;
    }
}
