//! The embedded engine's beginning: its first administrator, and the token of that one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use event_store::Installation;
use event_store::execute::Executor;
use service::health::Check;
use service::settings::ServerSettings;
use service::supervise::Supervisor;

use crate::administrator;
use crate::banner::{self, AdminToken};
use crate::listeners::Addresses;
use crate::serve::ServeError;

/// What is done once, at the start.
#[derive(Clone, Default)]
pub struct Beginning {
    done: Arc<AtomicBool>,
}

impl Beginning {
    /// Whether it was done.
    pub fn check(&self) -> Check {
        let done = self.done.clone();
        Check::new("administrator", move || {
            let is_done = done.load(Ordering::Acquire);
            std::future::ready(is_done.then_some(()).ok_or_else(|| "the token is not there yet".to_owned()))
        })
    }

    /// Makes the administrator, once the keys are there, keeps the token for as long as the process lives, and tells
    /// where the server is. Ends, too, where the process is asked to stop before.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn begin(
        self,
        settings: &ServerSettings,
        addresses: &Addresses,
        installation: &Installation,
        executor: &Executor,
        supervisor: &mut Supervisor,
    ) -> Result<(), ServeError> {
        let shutdown = supervisor.shutdown();
        if shutdown.run_until_cancelled(installation.opened()).await.is_none() {
            return Ok(());
        }
        administrator::make(executor, administrator::USERNAME, Vec::new()).await?;
        let keys = settings.signing.keys(&settings.storage.data_dir)?;
        let kept = AdminToken::new(settings.storage.admin_token_file(), keys);
        kept.keep().await.map_err(ServeError::Token)?;
        supervisor.spawn("administrator's token", kept.renew(shutdown));
        self.done.store(true, Ordering::Release);
        banner::embedded(settings, addresses);
        Ok(())
    }
}
