//! `anamnesis recover`: takes a log up again that lost events.
//!
//! What other parts knew and the log no longer has is shown; then the log begins a new epoch, and
//! everything that is made from it is forgotten and made again. The relay then takes the lost
//! events out of the stream and tells subscribers (docs/adr/0024).

use clap::Args;
use event_bus::WhileAway;
use event_bus::relay::compare;
use event_store::{Store, StoreOptions};
use service::settings::{NatsSettings, StorageSettings};

use crate::admin::AdminError;
use crate::nats;
use crate::output::line;

/// Lost events that are told one by one.
const TOLD_MAX: usize = 1_000;

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
    let options = StoreOptions { migrate: false, ..StoreOptions::default() };
    let store = Store::open(&args.storage.url(), &options).await?;
    let (identity, head) = (store.log.identity().await?, store.log.head().await?);
    line(&format!("log {}, epoch {}, stands at {head}", identity.log_id, identity.epoch));
    for view in store.views.states().await?.iter().filter(|view| view.position > head) {
        line(&format!("view {} had seen events up to {}", view.name, view.position));
    }
    let stream_epoch = tell_the_stream(args, &store).await?;
    let next = identity.epoch.max(stream_epoch) + 1;
    if args.yes {
        let mut now = identity;
        while now.epoch < next {
            now = store.log.begin_epoch(now.epoch).await?;
        }
        store.forget_derived().await?;
        line(&format!("Epoch {} has begun; views and process managers are made again from the log.", now.epoch));
    } else {
        line(&format!("Nothing was changed. With --yes epoch {next} begins, and all that is derived is made again."));
    }
    store.close().await;
    Ok(())
}

/// Tells what the stream has and the log has not; gives the latest epoch that the stream knows.
async fn tell_the_stream(args: &RecoverArgs, store: &Store) -> Result<u64, AdminError> {
    let Some(client) = nats::connect(&args.nats, WhileAway::Fail).await? else { return Ok(0) };
    let Some(difference) = compare(store, client, TOLD_MAX).await? else {
        line("the stream holds nothing of this log");
        return Ok(0);
    };
    line(&format!(
        "the stream stands at {}; up to {} it has the events of the log",
        difference.stream_position, difference.common_position
    ));
    for event in &difference.lost {
        line(&format!("lost: {} {} {} {}", event.position, event.event_id, event.event_type, event.subject));
    }
    if difference.lost.len() == TOLD_MAX {
        line("and perhaps more");
    }
    Ok(difference.stream_epoch)
}
