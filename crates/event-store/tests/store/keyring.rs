//! The keyring, with the store of keys of both engines.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use event_store::{BackupError, Store, StoreOptions};
use futures::future::{join_all, try_join_all};
use sealing::master::{FileMaster, GivenMaster};
use sealing::{
    Context, Found, Key, KeyError, Keyring, KeyringOptions, Mac, Master, MasterError, MasterVersion, Owner, Place,
    Purpose, Sealed, Standing, Wrapped,
};
use testkit::stores::TestStore;
use uuid::Uuid;

use crate::keys::{all_keys, owner};

fn master() -> Arc<dyn Master> {
    Arc::new(GivenMaster::parse(&"5a".repeat(32)).expect("a master key"))
}

fn keyring(store: &Store, master: &Arc<dyn Master>) -> Arc<Keyring> {
    Arc::new(Keyring::new(store.keys.clone(), master.clone(), KeyringOptions::default()))
}

async fn sealed(keyring: &Keyring, owner: Owner, text: &[u8]) -> Result<Sealed, KeyError> {
    let newest = keyring.key(owner).await?;
    let place = Place::new(
        owner,
        newest.version,
        sealing::Event { command_id: Uuid::now_v7(), ..sealing::Event::default() },
        "PatientRegistered",
        "family_name",
    );
    Ok(Sealed::seal(&newest.key, place.expect("a place"), text)?)
}

async fn opened(keyring: &Keyring, value: &Sealed) -> Result<Vec<u8>, KeyError> {
    let place = value.place();
    let key = keyring.find(Context { owner: place.owner(), version: place.key_version() }).await?;
    Ok(value.open(&key, &Found::at(place)).expect("what was sealed is opened").to_vec())
}

/// 32 tasks of two processes need the key of the same new patient: all get the same one.
async fn one_key_is_made_of_many_races(test: TestStore) {
    let other = test.again().await;
    let master = master();
    let rings = [keyring(&test.store, &master), keyring(&other, &master)];
    for _ in 0..10 {
        let owner = owner();
        let racing = (0..32).map(|task| {
            let ring = rings[task % 2].clone();
            tokio::spawn(async move { ring.key(owner).await })
        });
        let mut found = HashSet::new();
        for made in join_all(racing).await {
            let made = made.expect("no panic").expect("a key");
            found.insert((made.version, *made.key.bytes()));
        }
        assert_eq!(found.len(), 1, "one key for {owner}");
        // A third process, which has remembered nothing, finds it in the store.
        let fresh = keyring(&test.store, &master).find(Context { owner, version: 1 }).await.expect("a key");
        assert!(found.contains(&(1, *fresh.bytes())));
    }
    let secrets = try_join_all(rings.iter().map(|ring| ring.secret(Uuid::nil()))).await.expect("a secret");
    let mac = Mac::new(&secrets[0], Purpose::SearchKey).of(&[b"110101199003070000"]);
    Mac::new(&secrets[1], Purpose::SearchKey).verify(&[b"110101199003070000"], &mac).expect("the same secret");
    other.close().await;
}

async fn what_was_sealed_before_is_opened_after_a_renewal(test: TestStore) {
    let other = test.again().await;
    let (ring, second) = (keyring(&test.store, &master()), keyring(&other, &master()));
    let owner = owner();
    let old = sealed(&ring, owner, b"old").await.expect("sealed");
    assert_eq!(opened(&second, &old).await.expect("opened"), b"old");
    assert_eq!(ring.renew(owner).await.expect("renewed").version, 2);
    let new = sealed(&ring, owner, b"new").await.expect("sealed");
    assert_eq!((old.place().key_version(), new.place().key_version()), (1, 2));
    for ring in [&ring, &second] {
        assert_eq!(opened(ring, &old).await.expect("opened"), b"old");
        assert_eq!(opened(ring, &new).await.expect("opened"), b"new");
    }
    let missing = Context { owner, version: 3 };
    assert!(matches!(ring.find(missing).await, Err(KeyError::Missing(context)) if context == missing));
    let nobody = Context { owner: crate::keys::owner(), version: 1 };
    assert!(matches!(ring.find(nobody).await, Err(KeyError::Missing(context)) if context == nobody));
    assert_eq!(test.store.keys.load(&[nobody.owner]).await.expect("an answer"), [Standing::None], "none was made");
    assert!(matches!(ring.renew(Owner::installation(Uuid::nil())).await, Err(KeyError::Installation)));
    other.close().await;
}

async fn many_are_found_together(test: TestStore) {
    let ring = keyring(&test.store, &master());
    let owners: Vec<Owner> = (0..300).map(|_| owner()).collect();
    for owner in &owners {
        ring.key(*owner).await.expect("a key");
    }
    let (gone, unknown) = (owners[7], owner());
    ring.destroy(gone).await.expect("destroyed");
    let asked: Vec<Owner> = owners.iter().copied().chain([unknown, owners[0]]).collect();
    // One that remembers nothing, one that remembers all, and one that remembers some.
    let fresh = keyring(&test.store, &master());
    fresh.find(Context { owner: owners[3], version: 1 }).await.expect("a key");
    for ring in [&fresh, &fresh, &ring] {
        let found = ring.find_all(&asked).await.expect("an answer");
        assert_eq!(found.len(), 300, "all but the unknown one");
        for owner in &owners {
            match &found[owner] {
                Err(KeyError::Destroyed(destroyed)) => assert_eq!((*owner, *destroyed), (gone, gone)),
                keys => {
                    let keys = keys.as_ref().expect("keys");
                    let key = ring.find(Context { owner: *owner, version: 1 }).await.expect("a key");
                    assert_eq!(keys.newest().key.bytes(), key.bytes());
                    assert!(keys.of_version(1).is_some() && keys.of_version(2).is_none());
                }
            }
        }
    }
}

/// Keys are made and their owners destroyed at the same time, by two processes: nobody keeps a key that was destroyed.
async fn destroying_wins_every_race(test: TestStore) {
    let other = test.again().await;
    let master = master();
    for round in 0..30 {
        let rings = [keyring(&test.store, &master), keyring(&other, &master)];
        let owner = owner();
        let makers = (0..6).map(|task| {
            let ring = rings[task % 2].clone();
            tokio::spawn(async move { ring.key(owner).await.map(drop) })
        });
        let makers: Vec<_> = makers.collect();
        let destroying = rings[round % 2].clone();
        let destroyed = tokio::spawn(async move { destroying.destroy(owner).await });
        for made in join_all(makers).await {
            let made = made.expect("no panic");
            assert!(matches!(made, Ok(()) | Err(KeyError::Destroyed(_))), "{made:?}");
        }
        assert!(destroyed.await.expect("no panic").expect("destroyed"));
        let standing = test.store.keys.load(&[owner]).await.expect("an answer");
        assert_eq!(standing, [Standing::Destroyed]);
        assert!(!all_keys(&*other.keys, 100).await.iter().any(|key| key.context.owner == owner), "round {round}");
        // Who destroyed it has forgotten it, too; the other one once it is told.
        rings[(round + 1) % 2].forget(owner);
        for ring in &rings {
            assert!(matches!(ring.key(owner).await, Err(KeyError::Destroyed(_))), "round {round}");
            assert!(matches!(ring.renew(owner).await, Err(KeyError::Destroyed(_))));
            assert!(matches!(ring.find(Context { owner, version: 1 }).await, Err(KeyError::Destroyed(_))));
        }
    }
    let ring = keyring(&test.store, &master);
    ring.secret(Uuid::nil()).await.expect("a secret");
    assert!(matches!(ring.destroy(Owner::installation(Uuid::nil())).await, Err(KeyError::Installation)));
    other.close().await;
}

/// The master key is rotated twice, and all keys are wrapped again, while another process makes, uses and destroys keys.
async fn keys_are_wrapped_again_under_load(test: TestStore) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("master.key");
    let own = Arc::new(FileMaster::open_or_create(&path).await.expect("a master key"));
    let master: Arc<dyn Master> = own.clone();
    let ring = keyring(&test.store, &master);
    let first: Vec<Owner> = (0..450).map(|_| owner()).collect();
    let mut values = Vec::new();
    for owner in &first {
        values.push(sealed(&ring, *owner, b"before").await.expect("sealed"));
    }
    let other = test.again().await;
    let theirs: Arc<dyn Master> = Arc::new(FileMaster::open(&path).await.expect("the master key"));
    let busy = keyring(&other, &theirs);
    let stop = Arc::new(AtomicBool::new(false));
    let (working, until, some) = (busy.clone(), stop.clone(), first.clone());
    let load = tokio::spawn(async move {
        let (mut made, mut round) = (Vec::new(), 0);
        while !until.load(Ordering::Relaxed) || round < 20 {
            made.push(sealed(&working, owner(), b"meanwhile").await.expect("sealed"));
            working.find(Context { owner: some[round % 400], version: 1 }).await.expect("a key of before");
            if round < 20 {
                assert!(working.destroy(some[400 + round]).await.expect("destroyed"));
            }
            round += 1;
        }
        made
    });
    let mut pages = 0;
    for version in [2, 3] {
        assert_eq!(own.rotate().await.expect("rotated").version, version);
        let done = ring.rewrap(|_| pages += 1).await.expect("wrapped again");
        assert_eq!((done.to.version, done.failed), (version, 0));
        assert!(done.rewrapped >= 430, "{done:?}");
    }
    assert!(pages >= 6, "{pages}");
    stop.store(true, Ordering::Relaxed);
    values.extend(load.await.expect("no panic"));
    ring.rewrap(|_| {}).await.expect("wrapped again");
    let kept = all_keys(&*test.store.keys, 100).await;
    assert!(kept.iter().all(|key| key.wrapped.by.version == 3), "none is left behind");
    // A process that has only the newest version opens all of them.
    let text = std::fs::read_to_string(&path).expect("the file");
    let newest = GivenMaster::parse(text.lines().last().expect("a line")).expect("a master key");
    let newest: Arc<dyn Master> = Arc::new(newest);
    let fresh = keyring(&test.store, &newest);
    let mut destroyed = 0;
    for value in &values {
        match opened(&fresh, value).await {
            Ok(text) => assert!(text == b"before" || text == b"meanwhile"),
            Err(KeyError::Destroyed(_)) => destroyed += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(destroyed, 20);
    other.close().await;
}

/// Another master key takes over: what it did not wrap is unwrapped by the former one, until nothing is left of that.
async fn another_master_key_takes_over(test: TestStore) {
    let folder = tempfile::tempdir().expect("a folder");
    let file: Arc<dyn Master> =
        Arc::new(FileMaster::open_or_create(&folder.path().join("master.key")).await.expect("a master key"));
    let before = keyring(&test.store, &file);
    let value = sealed(&before, owner(), b"text").await.expect("sealed");
    let named: Arc<dyn Master> = Arc::new(Renamed(GivenMaster::parse(&"77".repeat(32)).expect("a master key")));
    let alone = keyring(&test.store, &named);
    assert!(matches!(opened(&alone, &value).await, Err(KeyError::OtherMaster(name)) if name == "local"));
    assert_eq!(alone.rewrap(|_| {}).await.expect("looked through").failed, 1);
    let both = Keyring::new(test.store.keys.clone(), named.clone(), KeyringOptions::default()).with_former(file);
    assert_eq!(opened(&both, &value).await.expect("opened"), b"text");
    let done = both.rewrap(|_| {}).await.expect("wrapped again");
    assert_eq!((done.to.name.as_str(), done.rewrapped, done.failed), ("elsewhere", 1, 0));
    assert_eq!(opened(&alone, &value).await.expect("opened"), b"text");
    // The wrong master key of the right name.
    let wrong: Arc<dyn Master> = Arc::new(Renamed(GivenMaster::parse(&"78".repeat(32)).expect("a master key")));
    assert!(matches!(opened(&keyring(&test.store, &wrong), &value).await, Err(KeyError::Master(_))));
}

/// A master key of another name.
struct Renamed(GivenMaster);

#[async_trait::async_trait]
impl Master for Renamed {
    fn name(&self) -> &str {
        "elsewhere"
    }

    async fn current(&self) -> Result<MasterVersion, MasterError> {
        Ok(MasterVersion { name: self.name().to_owned(), ..self.0.current().await? })
    }

    async fn wrap(&self, key: &Key, context: Context) -> Result<Wrapped, MasterError> {
        let wrapped = self.0.wrap(key, context).await?;
        Ok(Wrapped { by: MasterVersion { name: self.name().to_owned(), ..wrapped.by }, ..wrapped })
    }

    async fn unwrap(&self, wrapped: &Wrapped, context: Context) -> Result<Key, MasterError> {
        self.0.unwrap(wrapped, context).await
    }
}

testkit::on_both_engines! {
    one_key_is_made_of_many_races,
    what_was_sealed_before_is_opened_after_a_renewal,
    many_are_found_together,
    destroying_wins_every_race,
    keys_are_wrapped_again_under_load,
    another_master_key_takes_over,
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_backed_up_while_they_are_made() {
    let (folder, copied) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let url = |folder: &tempfile::TempDir| format!("sqlite:{}", folder.path().display());
    let store = Store::open(&url(&folder), &StoreOptions::default()).await.expect("a store");
    let master = master();
    let kept = keyring(&store, &master);
    let before = owner();
    let key = kept.key(before).await.expect("a key");
    let making = try_join_all((0..50).map(|_| kept.key(owner())));
    let to = copied.path().join("keys.db");
    let (made, backed_up) = tokio::join!(making, store.back_up_keys(&to));
    made.expect("all are made");
    let counted = backed_up.expect("a backup");
    assert!((1..=51).contains(&counted), "{counted}");
    assert!(matches!(store.back_up_keys(&to).await, Err(BackupError::Place(..))), "never over another");
    assert_eq!(store.back_up_keys(&copied.path().join("all.db")).await.expect("a backup"), 51);
    store.close().await;
    let again = Store::open(&url(&copied), &StoreOptions::default()).await.expect("a store");
    let restored = keyring(&again, &master).key(before).await.expect("the key");
    assert_eq!((restored.version, restored.key.bytes()), (key.version, key.key.bytes()));
    again.close().await;
}
