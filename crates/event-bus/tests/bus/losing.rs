//! A log that went back, or a copy of it that went its own way.

use std::path::{Path, PathBuf};

use async_nats::{Client, jetstream};
use event_bus::control::{self, Begun, Control, EpochStart, Why};
use event_bus::relay::compare;
use event_bus::{RelayError, RepublishError, republish};
use event_store::{Store, StoreOptions};
use tempfile::TempDir;
use testkit::appends::fill;

use crate::support::{
    client_of, copy, marks, messages, options, start_relay, stream, topology, wait_for_everything, wait_for_failure,
};

/// A log of the embedded engine of which a cold copy can be kept.
pub struct Log {
    folder: TempDir,
}

impl Log {
    pub fn new() -> Self {
        Self { folder: TempDir::new().expect("a folder") }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub async fn open(&self) -> Store {
        open(&self.data()).await
    }

    /// Keeps a copy; nothing may be open.
    pub fn keep(&self) {
        copy(&self.data(), &self.folder.path().join("kept"));
    }

    /// The copy, opened beside the log.
    async fn open_kept(&self) -> Store {
        open(&self.folder.path().join("kept")).await
    }

    /// Goes back to the copy; nothing may be open.
    pub fn restore(&self) {
        std::fs::remove_dir_all(self.data()).expect("the folder is removed");
        copy(&self.folder.path().join("kept"), &self.data());
    }
}

async fn open(folder: &Path) -> Store {
    let url = format!("sqlite:{}", folder.display());
    Store::open(&url, &StoreOptions::default()).await.expect("the store opens")
}

/// A log of 20 events that was published up to 25 and then went back.
async fn that_went_back(client: &Client) -> (Log, Store) {
    let log = Log::new();
    let store = log.open().await;
    fill(&*store.log, 20).await;
    store.close().await;
    log.keep();
    let store = log.open().await;
    let relay = start_relay(&store, client);
    fill(&*store.log, 5).await;
    wait_for_everything(&store, client).await;
    drop(relay);
    store.close().await;
    log.restore();
    let store = log.open().await;
    (log, store)
}

#[tokio::test]
async fn a_relay_stops_where_the_log_lost_what_the_stream_has() {
    let nats = testkit::nats().await;
    let client = client_of(&nats).await;
    let (_log, store) = that_went_back(&client).await;
    let before = marks(&store, &client).await;
    let relay = start_relay(&store, &client);
    wait_for_failure(&relay, "they agree up to position 20").await;
    // The log grows past the stream: numbers alone would fit again.
    fill(&*store.log, 30).await;
    wait_for_failure(&relay, "(at 50)").await;
    assert!(relay.health.check().is_err_and(|why| why.contains("anamnesis recover")));
    assert_eq!(marks(&store, &client).await, before, "nothing was published");
    let difference = compare(&store, client.clone(), 100).await.expect("an answer").expect("a stream");
    assert_eq!((difference.stream_position, difference.common_position), (25, 20));
    let lost: Vec<_> = difference.lost.iter().map(|event| (event.position, event.event_id)).collect();
    assert_eq!(lost, before[20..].iter().map(|mark| (mark.position, mark.event_id)).collect::<Vec<_>>());
    assert!(difference.lost.iter().all(|event| event.event_type == "PatientRegistered"));
}

/// The store, its log taken up again until it is in this epoch.
pub async fn in_epoch(store: &Store, epoch: u64) -> Store {
    let mut identity = store.log.identity().await.expect("the log");
    while identity.epoch < epoch {
        identity = store.log.begin_epoch(identity.epoch).await.expect("the next epoch");
    }
    store.clone()
}

/// The stream's control messages, in order.
async fn controls(store: &Store, client: &Client) -> Vec<(Why, Control)> {
    let Some(stream) = stream(store, client).await else { return Vec::new() };
    let state = stream.cached_info().state.clone();
    let mut controls = Vec::new();
    for sequence in state.first_sequence..=state.last_sequence {
        let Ok(message) = stream.get_raw_message(sequence).await else { continue };
        if let Some(why) = Why::of_subject(&message.subject) {
            controls.push((why, control::read(&message.headers, &message.payload).expect("a message of ours")));
        }
    }
    controls
}

#[tokio::test]
async fn with_a_new_epoch_the_stream_loses_what_the_log_lost_and_subscribers_are_told() {
    let nats = testkit::nats().await;
    let client = client_of(&nats).await;
    let (log, store) = that_went_back(&client).await;
    let older = log.open_kept().await;
    let store = in_epoch(&store, 2).await;
    fill(&*store.log, 3).await;
    let relay = start_relay(&store, &client);
    wait_for_everything(&store, &client).await;
    let epochs: Vec<_> = marks(&store, &client).await.iter().map(|mark| mark.epoch).collect();
    assert_eq!(epochs, [[1; 20].as_slice(), &[2; 3]].concat());
    let begun = Begun {
        after_position: 20,
        after_event_id: Some(store.log.read_all(19, 1).await.expect("the log")[0].event_id),
        epochs: vec![EpochStart { epoch: 2, after_position: 20 }],
    };
    let told = controls(&store, &client).await;
    assert!(
        matches!(&told[..], [(Why::EpochBegan, control)] if control.epoch == 2 && control.begun == begun),
        "{told:?}"
    );
    assert_eq!((begun.kept_of(1), begun.kept_of(2)), (Some(20), None));
    fill(&*store.log, 10).await;
    wait_for_everything(&store, &client).await;
    assert_eq!(relay.health.check(), Ok(()));
    drop(relay);
    // Begun once, it is not begun again; an older copy of the log is refused.
    let relay = start_relay(&older, &client);
    wait_for_failure(&relay, "the stream is of epoch 2 of this log, which is at epoch 1").await;
    let refused = republish(&older, client.clone(), options(), 1, &mut |_, _| {}).await;
    let is_refused = matches!(refused, Err(RepublishError::Before(RelayError::Superseded { stream: 2, log: 1 })));
    assert!(is_refused, "{refused:?}");
    drop(relay);
    assert_eq!(controls(&store, &client).await, told);
    // Who was away hears of the epoch also where the stream was filled anew meanwhile.
    republish(&store, client.clone(), options(), 1, &mut |_, _| {}).await.expect("it is filled anew");
    let told = controls(&store, &client).await;
    assert!(
        matches!(&told[..], [(Why::Republished, control)] if control.begun.epochs == begun.epochs && control.epoch == 2),
        "{told:?}"
    );
    wait_for_everything(&store, &client).await;
}

#[tokio::test]
async fn a_new_stream_tells_the_epoch_as_well() {
    let nats = testkit::nats().await;
    let client = client_of(&nats).await;
    let log = Log::new();
    let store = in_epoch(&log.open().await, 3).await;
    fill(&*store.log, 5).await;
    let _relay = start_relay(&store, &client);
    wait_for_everything(&store, &client).await;
    let name = topology(&store).await.stream_name();
    jetstream::new(client.clone()).delete_stream(name).await.expect("the stream is deleted");
    wait_for_everything(&store, &client).await;
    let told = controls(&store, &client).await;
    let began = EpochStart { epoch: 3, after_position: 0 };
    assert!(matches!(&told[..], [(Why::EpochBegan, control)] if control.begun.epochs == [began]), "{told:?}");
    let (subject, _) = messages(&store, &client).await.into_iter().next().expect("a message");
    assert!(Why::of_subject(&subject).is_some(), "before any event");
}

#[tokio::test]
async fn a_copy_of_the_log_that_goes_its_own_way_stops_one_of_the_relays() {
    let nats = testkit::nats().await;
    let client = client_of(&nats).await;
    let log = Log::new();
    let store = log.open().await;
    fill(&*store.log, 20).await;
    store.close().await;
    log.keep();
    let (one, other) = (log.open().await, open(&log.folder.path().join("kept")).await);
    let relay = start_relay(&one, &client);
    wait_for_everything(&one, &client).await;
    let of_other = start_relay(&other, &client);
    fill(&*other.log, 5).await;
    fill(&*one.log, 5).await;
    let stopped = async || relay.health.check().is_err() || of_other.health.check().is_err();
    testkit::eventually("one of them stops", crate::support::PATIENCE, stopped).await;
    let ids: Vec<_> = marks(&one, &client).await.iter().map(|mark| mark.event_id).collect();
    let mut logs = Vec::new();
    for store in [&one, &other] {
        let events = store.log.read_all(0, 100).await.expect("the log");
        logs.push(events.iter().map(|event| event.event_id).collect::<Vec<_>>());
    }
    assert!(logs.iter().any(|log| log.starts_with(&ids)), "the stream is a copy of one of them, not a mixture");
}
