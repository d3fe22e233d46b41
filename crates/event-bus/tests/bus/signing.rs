//! What is published is signed, and what others publish is told.

use async_nats::jetstream;
use async_nats::jetstream::message::StreamMessage;
use async_nats::{Client, HeaderMap};
use event_bus::signature::example;
use event_bus::topology::{CONTROL_ADDRESS, EVENT_ADDRESS};
use event_bus::watch::Reason;
use event_bus::{Foreign, Placed, PublicKeys, Relay, Signer, Watch, republish};
use event_store::Store;
use testkit::appends::fill;
use testkit::{eventually, stores};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::support::{PATIENCE, client_of, options, start_relay, stream, topology, wait_for_everything};

fn keys() -> PublicKeys {
    [(example::ID, example::PUBLIC)].into_iter().collect()
}

#[tokio::test]
async fn every_message_is_signed_by_the_relay() {
    let (test, nats) = (stores::sqlite().await, testkit::nats_with("max_payload: 16384\n").await);
    let client = client_of(&nats).await;
    let relay = start_relay(&test.store, &client);
    // More than are made into messages together.
    fill(&*test.store.log, 700).await;
    wait_for_everything(&test.store, &client).await;
    drop(relay);
    republish(&test.store, client.clone(), options(), 1, &mut |_, _| {}).await.expect("it is filled anew");
    let stream = stream(&test.store, &client).await.expect("the stream");
    let (mut events, mut controls) = (0, 0);
    let state = stream.cached_info().state.clone();
    for sequence in state.first_sequence..=state.last_sequence {
        let message = stream.get_raw_message(sequence).await.expect("a message");
        assert_eq!(keys().verify(&message.headers, Some(&message.payload)), Ok(()), "{sequence}");
        let header = |name: &str| message.headers.get(name).expect("a header").as_str();
        if message.subject.contains(".events.") {
            // Nobody can know it before.
            let (id, signature) = (header("Nats-Msg-Id"), header("ce-signature"));
            assert!(id.starts_with(header("ce-id")) && id.ends_with(&format!(".{}", &signature[..11])), "{id}");
            events += 1;
        } else {
            controls += 1;
        }
    }
    assert_eq!((events, controls), (700, 1));
}

/// Somebody who may publish, and knows all but the relay's key.
struct Forger {
    context: jetstream::Context,
    subject: String,
    headers: HeaderMap,
    payload: bytes::Bytes,
}

impl Forger {
    /// With the stream's last message before them.
    async fn of(store: &Store, client: &Client) -> Self {
        let made = stream(store, client).await.expect("the stream");
        let last = made.get_raw_message(made.cached_info().state.last_sequence).await.expect("a message");
        Self::with(client, &last)
    }

    fn with(client: &Client, last: &StreamMessage) -> Self {
        let mut headers = HeaderMap::new();
        for (name, values) in last.headers.iter().filter(|(name, _)| AsRef::<str>::as_ref(*name).starts_with("ce-")) {
            headers.insert(name.clone(), values[0].clone());
        }
        let context = jetstream::new(client.clone());
        Self { context, subject: last.subject.to_string(), headers, payload: last.payload.clone() }
    }

    /// With its last control message before them.
    async fn of_control(store: &Store, client: &Client) -> Self {
        let made = stream(store, client).await.expect("the stream");
        let all = topology(store).await.control("*");
        let last = made.get_last_raw_message_by_subject(&all).await.expect("a control message");
        Self::with(client, &last)
    }

    /// Publishes that message with some headers changed, or left out where nothing is given for them.
    async fn publish(&self, subject: &str, changed: &[(&str, &str)]) {
        let gone = |name: &str| changed.contains(&(name, ""));
        let kept = self.headers.iter().filter(|(name, _)| !gone(name.as_ref()));
        let mut headers: HeaderMap = kept.map(|(name, values)| (name.clone(), values[0].clone())).collect();
        changed.iter().filter(|(_, value)| !value.is_empty()).for_each(|(name, value)| headers.insert(*name, *value));
        self.send(subject, headers).await;
    }

    async fn send(&self, subject: &str, headers: HeaderMap) {
        let sent = self.context.publish_with_headers(subject.to_owned(), headers, self.payload.clone()).await;
        sent.expect("it is sent").await.expect("it is taken");
    }
}

/// What a watch tells.
struct Watched {
    told: UnboundedReceiver<Foreign>,
    _task: AbortOnDropHandle<()>,
}

impl Watched {
    /// Watches, and listens already.
    async fn start(store: &Store, client: &Client, keys: PublicKeys) -> Self {
        let this = Self::of(Watch::new(client.clone(), store.log.clone(), keys));
        eventually("somebody listens", PATIENCE, async || listeners(store, client).await > 0).await;
        this
    }

    fn of(mut watch: Watch) -> Self {
        let (sender, told) = unbounded_channel();
        let task = tokio::spawn(async move {
            loop {
                if sender.send(watch.next().await).is_err() {
                    return;
                }
            }
        });
        Self { told, _task: AbortOnDropHandle::new(task) }
    }

    async fn next(&mut self) -> (Reason, &'static str) {
        let told = tokio::time::timeout(PATIENCE, self.told.recv()).await.expect("it is told").expect("it goes on");
        (told.reason, told.address)
    }
}

/// How many listen to the stream.
async fn listeners(store: &Store, client: &Client) -> usize {
    stream(store, client).await.map_or(0, |stream| stream.cached_info().state.consumer_count)
}

/// Subject, headers that are changed, what is told by the log alone and by the key, and under which address.
type Case<'case> = (&'case str, &'case [(&'case str, &'case str)], Option<Reason>, Reason, &'static str);

#[tokio::test]
async fn what_is_not_the_relays_is_told_and_nothing_else() {
    let (test, nats) = (stores::sqlite().await, testkit::nats().await);
    let client = client_of(&nats).await;
    let relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 20).await;
    wait_for_everything(&test.store, &client).await;
    let mut with_keys = Watched::start(&test.store, &client, keys()).await;
    let mut without = Watched::start(&test.store, &client, PublicKeys::default()).await;
    fill(&*test.store.log, 300).await;
    wait_for_everything(&test.store, &client).await;
    drop(relay);
    republish(&test.store, client.clone(), options(), 1, &mut |_, _| {}).await.expect("it is filled anew");

    let names = topology(&test.store).await;
    let forger = Forger::of(&test.store, &client).await;
    let again = Forger::of_control(&test.store, &client).await;
    let subject = forger.subject.clone();
    let next = [("ce-position", "321"), ("ce-id", &*Uuid::from_u128(1).to_string())]
        .map(|(name, value)| (name, value.to_owned()));
    let next: Vec<(&str, &str)> = next.iter().map(|(name, value)| (*name, &**value)).collect();
    let control = names.control("LogRepublished");
    let nobody = names.all_events().replace('>', "what.somebody@example.org.chose.x");
    let cases: [Case<'_>; 9] = [
        // The next event, made up; one of the log's, with another role; what is no message of ours at all.
        (&subject, &next, Some(Reason::NotInTheLog), Reason::NotSigned, EVENT_ADDRESS),
        (&subject, &[("ce-actorrole", "administrator")], Some(Reason::NotInTheLog), Reason::NotSigned, EVENT_ADDRESS),
        (&subject, &[("ce-more", "x")], Some(Reason::NotInTheLog), Reason::NotSigned, EVENT_ADDRESS),
        (&subject, &[("ce-position", "x")], Some(Reason::Malformed), Reason::Malformed, EVENT_ADDRESS),
        (&subject, &[("ce-epoch", "2")], Some(Reason::OtherEpoch), Reason::OtherEpoch, EVENT_ADDRESS),
        (&subject, &[("ce-logid", next[1].1)], Some(Reason::OtherLog), Reason::OtherLog, EVENT_ADDRESS),
        // A true one under another subject; of what the log does not have only the signature tells.
        (&nobody, &[], Some(Reason::NotInTheLog), Reason::NotInTheLog, EVENT_ADDRESS),
        (&control, &[], Some(Reason::NotInTheLog), Reason::NotInTheLog, CONTROL_ADDRESS),
        (
            &control,
            &[("ce-type", "LogRepublished"), ("ce-subject", "")],
            Some(Reason::NotInTheLog),
            Reason::NotSigned,
            CONTROL_ADDRESS,
        ),
    ];
    for (subject, changed, by_the_log, by_the_key, address) in cases {
        forger.publish(subject, changed).await;
        assert_eq!(with_keys.next().await, (by_the_key, address), "{changed:?}");
        if let Some(reason) = by_the_log {
            assert_eq!(without.next().await, (reason, address), "{changed:?}");
        }
    }
    // Everything is right, and signed by another key under the same name.
    let (mut headers, payload) = (forger.headers.clone(), forger.payload.clone());
    let other = ring::signature::Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a key");
    Signer::new(example::ID, other).sign(&mut headers, &payload);
    forger.send(&subject, headers).await;
    assert_eq!(with_keys.next().await, (Reason::NotSigned, EVENT_ADDRESS));
    assert_eq!(without.next().await, (Reason::OutOfPlace, EVENT_ADDRESS));
    // The relay's own are true where they were sent, and nowhere else.
    forger.publish(&subject, &[]).await;
    again.publish(&again.subject, &[]).await;
    for watched in [&mut with_keys, &mut without] {
        assert_eq!(watched.next().await, (Reason::OutOfPlace, EVENT_ADDRESS));
        assert_eq!(watched.next().await, (Reason::NotInTheLog, CONTROL_ADDRESS));
    }
}

/// Whatever somebody publishes who may, the relay says what sets it right, and that does.
#[tokio::test]
async fn what_was_forged_is_set_right_by_republishing() {
    let (test, nats) = (stores::sqlite().await, testkit::nats().await);
    let client = client_of(&nats).await;
    fill(&*test.store.log, 20).await;
    let relay = start_relay(&test.store, &client);
    wait_for_everything(&test.store, &client).await;
    drop(relay);
    let fill_anew = async || republish(&test.store, client.clone(), options(), 1, &mut |_, _| {}).await;
    fill_anew().await.expect("it is filled anew");
    let control = Forger::of_control(&test.store, &client).await;
    let event = Forger::of(&test.store, &client).await;
    let epoch = u64::MAX.to_string();
    let forgeries: [(&Forger, &[(&str, &str)]); 6] = [
        (&event, &[]),
        (&event, &[("ce-epoch", "99")]),
        (&event, &[("ce-epoch", &epoch)]),
        (&event, &[("ce-position", "21"), ("ce-id", "00000000-0000-4000-8000-000000000001")]),
        // A true one, sent again; one of another epoch.
        (&control, &[]),
        (&control, &[("ce-epoch", "7")]),
    ];
    for (forger, changed) in forgeries {
        forger.publish(&forger.subject, changed).await;
        let relay = start_relay(&test.store, &client);
        let told = async || relay.health.standing().cause.is_some_and(|cause| cause.contains("`anamnesis republish`"));
        eventually("the relay says what to do", PATIENCE, told).await;
        drop(relay);
        fill_anew().await.expect("it is filled anew");
        let relay = start_relay(&test.store, &client);
        fill(&*test.store.log, 1).await;
        wait_for_everything(&test.store, &client).await;
        drop(relay);
    }
}

#[tokio::test]
async fn a_watch_outlives_the_server_and_the_stream() {
    let (test, mut nats) = (stores::sqlite().await, testkit::nats().await);
    let client = client_of(&nats).await;
    let _relay = start_relay(&test.store, &client);
    fill(&*test.store.log, 20).await;
    wait_for_everything(&test.store, &client).await;
    let mut watched = Watched::start(&test.store, &client, keys()).await;
    nats.kill();
    nats.resume().expect("nats-server starts again");
    fill(&*test.store.log, 5).await;
    wait_for_everything(&test.store, &client).await;
    // Whoever deletes it has it filled anew, under other sequences.
    let context = jetstream::new(client.clone());
    context.delete_stream(topology(&test.store).await.stream_name()).await.expect("it is deleted");
    wait_for_everything(&test.store, &client).await;
    let forger = Forger::of(&test.store, &client).await;
    forger.publish(&forger.subject, &[("ce-type", "x")]).await;
    assert_eq!(watched.next().await, (Reason::NotSigned, EVENT_ADDRESS));
}

#[tokio::test]
async fn beside_a_relay_only_strangers_are_listened_to() {
    let (test, nats) = (stores::sqlite().await, testkit::nats().await);
    let (client, placed) = (client_of(&nats).await, Placed::default());
    let start = || {
        let relay = Relay::new(test.store.clone(), client.clone(), options()).keeping(placed.clone());
        AbortOnDropHandle::new(tokio::spawn(relay.run(CancellationToken::new())))
    };
    let relay = start();
    fill(&*test.store.log, 20).await;
    wait_for_everything(&test.store, &client).await;
    let watch = Watch::new(client.clone(), test.store.log.clone(), keys()).beside(placed.clone());
    let mut watched = Watched::of(watch);
    for _ in 0..5 {
        fill(&*test.store.log, 300).await;
        wait_for_everything(&test.store, &client).await;
        assert_eq!(listeners(&test.store, &client).await, 0, "all of it is the relay's own");
    }
    // What is like a message of the relay's in all but its signature, as its next.
    let forger = Forger::of(&test.store, &client).await;
    forger.publish(&forger.subject, &[("ce-position", "1521"), ("ce-id", &Uuid::from_u128(1).to_string())]).await;
    assert_eq!(watched.next().await, (Reason::NotSigned, EVENT_ADDRESS));
    // Where no relay works it goes on listening: a relay that takes over elsewhere keeps nothing here.
    drop(relay);
    republish(&test.store, client.clone(), options(), 1, &mut |_, _| {}).await.expect("it is filled anew");
    forger.publish(&forger.subject, &[("ce-type", "x")]).await;
    assert_eq!(watched.next().await, (Reason::NotSigned, EVENT_ADDRESS));
    assert!(listeners(&test.store, &client).await > 0);
    republish(&test.store, client.clone(), options(), 1, &mut |_, _| {}).await.expect("it is filled anew");
    let _relay = start();
    fill(&*test.store.log, 10).await;
    wait_for_everything(&test.store, &client).await;
    eventually("nobody listens again", PATIENCE, async || listeners(&test.store, &client).await == 0).await;
    forger.publish(&forger.subject, &[("ce-id", "x")]).await;
    assert_eq!(watched.next().await, (Reason::Malformed, EVENT_ADDRESS));
}
