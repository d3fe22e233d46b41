//! A sealed value from end to end, and what errors tell.

use std::error::Error;
use std::sync::Arc;

use sealing::master::GivenMaster;
use sealing::{Context, Found, Keyring, KeyringOptions, Master, Owner, Place, Sealed};
use testkit::stores::TestStore;
use uuid::Uuid;

async fn nothing_that_is_kept_or_said_holds_what_was_sealed(test: TestStore) {
    let secret = "19900307-张伟";
    let master: Arc<dyn Master> = Arc::new(GivenMaster::parse(&"5a".repeat(32)).expect("a master key"));
    let ring = Keyring::new(test.store.keys.clone(), master, KeyringOptions::default());
    let owner = Owner::patient(Uuid::now_v7());
    let newest = ring.key(owner).await.expect("a key");
    let place = Place::new(
        owner,
        newest.version,
        sealing::Event { command_id: Uuid::now_v7(), ..sealing::Event::default() },
        "PatientRegistered",
        "name",
    )
    .expect("a place");
    let value = Sealed::seal(&newest.key, place, secret.as_bytes()).expect("sealed");
    let shown = format!("{value} {value:?} {newest:?}");
    let digits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for told in [secret, "19900307", &digits(newest.key.bytes()), &format!("{:?}", newest.key.bytes())] {
        assert!(!shown.contains(told), "{shown}");
    }
    let read: Sealed = value.to_string().parse().expect("a sealed value");
    assert_eq!(*read.open(&newest.key, &Found::of(owner)).expect("opened"), secret.as_bytes());
    assert!(ring.destroy(owner).await.expect("destroyed"));
    let gone = ring.find(Context { owner, version: 1 }).await.expect_err("it was destroyed");
    assert!(!gone.may_pass() && gone.source().is_none());
    assert_eq!(gone.to_string(), format!("the keys of {owner} were destroyed"));
}

testkit::on_both_engines! { nothing_that_is_kept_or_said_holds_what_was_sealed }
