//! The secret of an installation, on both engines.

use std::collections::HashSet;
use std::sync::Arc;

use event_store::log::Expected;
use event_store::{Installation, InstallationError, Store, StoreOptions};
use futures::future::join_all;
use sealing::master::GivenMaster;
use sealing::{KeyError, Keyring, KeyringOptions, Owner, Standing};
use testkit::appends::{append, patient};
use testkit::stores::{self, TestStore};

fn installation_by(store: &Store, master_key: &str) -> Installation {
    let master = Arc::new(GivenMaster::parse(master_key).expect("a master key"));
    Installation::new(store, Arc::new(Keyring::new(store.keys.clone(), master, KeyringOptions::default())))
}

fn installation(store: &Store) -> Installation {
    installation_by(store, stores::MASTER_KEY)
}

async fn write(store: &Store) {
    store.log.append(append(patient(), Expected::NoStream, 1)).await.expect("it is appended");
}

async fn standing(store: &Store) -> Standing {
    let log_id = store.log.identity().await.expect("an identity").log_id;
    store.keys.load(&[Owner::installation(log_id)]).await.expect("an answer").remove(0)
}

/// 32 processes begin on a new log at once, each writes as soon as it may: one secret, and nobody is refused.
async fn one_secret_is_made_by_many(test: TestStore) {
    let other = test.again().await;
    let starts = (0..32).map(|turn| {
        let store = if turn % 2 == 0 { test.store.clone() } else { other.clone() };
        tokio::spawn(async move {
            let own = installation(&store);
            assert!(own.marks().is_err() && !own.is_open(), "nothing is fetched before it is asked for");
            own.open().await.expect("it opens");
            let mark = own.marks().expect("it is open").fingerprint("text");
            write(&store).await;
            mark
        })
    });
    let marks: HashSet<[u8; 32]> = join_all(starts).await.into_iter().map(|mark| mark.expect("no panic")).collect();
    assert_eq!(marks.len(), 1);
    let later = installation(&test.store);
    later.open().await.expect("it opens on a log with events");
    assert!(marks.contains(&later.marks().expect("it is open").fingerprint("text")));
    other.close().await;
}

async fn a_log_whose_keys_are_lost_is_refused(test: TestStore) {
    write(&test.store).await;
    let own = installation(&test.store);
    let error = own.open().await.expect_err("it is refused");
    assert!(matches!(error, InstallationError::Lost(_)) && !error.may_pass(), "{error:?}");
    assert!(error.to_string().contains("--keys-url"), "{error}");
    assert_eq!(standing(&test.store).await, Standing::None, "none was made");
    assert!(!own.is_open());
}

async fn keys_of_another_log_are_refused(test: TestStore) {
    installation(&test.store).open().await.expect("it opens");
    // Another log, with and without events, beside the keys of the first.
    let another = if test.url.starts_with("sqlite:") { stores::sqlite().await } else { stores::postgres().await };
    let options = StoreOptions { keys_url: Some(test.url.clone()), ..StoreOptions::default() };
    let mixed = Store::open(&another.url, &options).await.expect("the stores open");
    for _ in 0..2 {
        let error = installation(&mixed).open().await.expect_err("it is refused");
        let own = test.store.log.identity().await.expect("an identity").log_id;
        assert!(matches!(error, InstallationError::OtherLog { found, .. } if found == own), "{error:?}");
        assert!(!error.may_pass());
        assert_eq!(standing(&mixed).await, Standing::None, "none was made");
        write(&mixed).await;
    }
    mixed.close().await;
}

async fn another_master_key_is_refused(test: TestStore) {
    installation(&test.store).open().await.expect("it opens");
    let own = installation_by(&test.store, &"0f".repeat(32));
    let error = own.open().await.expect_err("it is refused");
    assert!(matches!(error, InstallationError::Key(KeyError::Master(_))) && !error.may_pass(), "{error:?}");
    assert!(!own.is_open());
}

testkit::on_both_engines!(
    one_secret_is_made_by_many,
    a_log_whose_keys_are_lost_is_refused,
    keys_of_another_log_are_refused,
    another_master_key_is_refused,
);
