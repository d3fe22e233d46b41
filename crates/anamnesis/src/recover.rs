//! `anamnesis recover`: takes a log up again that lost events. And the same without being asked, where the operator
//! wants it so (`--on-loss continue`).
//!
//! What other parts knew and the log no longer has is shown; then the log begins a new epoch, and
//! everything that is made from it is forgotten and made again. The relay then takes the lost
//! events out of the stream and tells subscribers (docs/adr/0024).

use std::time::Duration;

use async_nats::Client;
use clap::Args;
use event_bus::WhileAway;
use event_bus::relay::{Difference, RelayHealth};
use event_store::Store;
use service::settings::{NatsSettings, StorageSettings};
use tokio_util::sync::CancellationToken;

use crate::admin::AdminError;
use crate::loss::{Loss, LossError, NAMED_MAX};
use crate::output::line;
use crate::{admin, nats};

/// How often it is looked for a loss.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Takes a log up again that lost events: shows what is lost, begins a new epoch, makes all that is derived anew.
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// Does it; without this it only shows what would be done.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    nats: Box<NatsSettings>,
    #[command(flatten)]
    storage: StorageSettings,
}

/// Runs the command.
///
/// # Errors
/// [`AdminError`]; nothing that cannot be made again was changed then.
pub async fn run(args: &RecoverArgs) -> Result<(), AdminError> {
    let store = Store::open(&args.storage.url(), &admin::options(&args.storage)).await?;
    let loss = Loss::look(&store, nats::connect(&args.nats, WhileAway::Fail).await?).await?;
    line(&format!("log {}, epoch {}, stands at {}", loss.identity.log_id, loss.identity.epoch, loss.head));
    for (reader, lost) in &loss.readers {
        let seen = lost.checkpoint;
        line(&format!("{reader} had seen event {} at {}, which is gone", seen.event_id, seen.position));
    }
    if let Some(difference) = &loss.stream {
        tell(difference);
    }
    if !loss.is_some() {
        line("Nobody knows of an event that the log does not have.");
    }
    if args.yes {
        let now = loss.take_up(&store).await?;
        line(&format!("Epoch {} has begun; views and process managers are made again from the log.", now.epoch));
    } else {
        let next = loss.next_epoch();
        line(&format!("Nothing was changed. With --yes epoch {next} begins, and all that is derived is made again."));
    }
    store.close().await;
    Ok(())
}

/// Tells what the stream has and the log has not.
fn tell(difference: &Difference) {
    line(&format!(
        "the stream stands at {}; up to {} it has the events of the log",
        difference.stream_position, difference.common_position
    ));
    for event in &difference.lost {
        line(&format!("lost: {} {} {} {}", event.position, event.event_id, event.event_type, event.subject));
    }
    if difference.lost.len() == NAMED_MAX {
        line("and perhaps more");
    }
}

/// Takes the log up again by itself whenever it has lost events, until asked to stop.
pub async fn continue_on_loss(store: Store, nats: Option<(Client, RelayHealth)>, shutdown: CancellationToken) {
    let mut incarnation = store.log.incarnation();
    loop {
        incarnation.borrow_and_update();
        // A relay that works has proved that the stream is the log's.
        let stream = nats.as_ref().filter(|(_, relay)| relay.check().is_err()).map(|(client, _)| client.clone());
        if let Err(error) = look_once(&store, stream).await {
            // Whatever is away comes back, and is looked at again.
            tracing::debug!(error = &error as &dyn std::error::Error, "it cannot be told whether the log lost events");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
            Ok(()) = incarnation.changed() => {}
        }
    }
}

async fn look_once(store: &Store, nats: Option<Client>) -> Result<(), LossError> {
    let loss = Loss::look(store, nats).await?;
    if !loss.is_open() {
        return Ok(());
    }
    for (reader, lost) in &loss.readers {
        tracing::error!(reader, error = lost as &dyn std::error::Error, "the log lost events that were read");
    }
    let now = loss.take_up(store).await?;
    tracing::warn!(epoch = now.epoch, head = loss.head, "the log is taken up again, as --on-loss continue says");
    Ok(())
}
