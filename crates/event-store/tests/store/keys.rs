//! The store of keys on both engines, and the keyring that works with it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use event_store::{OpenError, Store, StoreOptions};
use futures::future::{join_all, try_join_all};
use sealing::master::{FileMaster, GivenMaster};
use sealing::{
    Context, Found, Key, KeyError, KeyStore, Keyring, KeyringOptions, Mac, Master, MasterVersion, Owner,
    Place, Purpose, Sealed, Standing, StoredKey, Wrapped,
};
use sqlx::Connection as _;
use testkit::stores::TestStore;
use uuid::Uuid;

fn owner() -> Owner {
    Owner::patient(Uuid::now_v7())
}

/// A key that nobody can unwrap: the store does not look into it.
fn some_key(owner: Owner, version: u32) -> StoredKey {
    let by = MasterVersion { name: "local".to_owned(), version: 1 };
    let wrapped = Wrapped { by, text: format!("wrapped-{}", Uuid::now_v7()) };
    StoredKey { context: Context { owner, version }, wrapped }
}

fn master() -> Arc<dyn Master> {
    Arc::new(GivenMaster::parse(&"5a".repeat(32)).expect("a master key"))
}

fn keyring(store: &Store, master: &Arc<dyn Master>) -> Arc<Keyring> {
    Arc::new(Keyring::new(store.keys.clone(), master.clone(), KeyringOptions::default()))
}

async fn sealed(keyring: &Keyring, owner: Owner, text: &[u8]) -> Result<Sealed, KeyError> {
    let newest = keyring.key(owner).await?;
    let place = Place::new(owner, newest.version, (Uuid::now_v7(), 0), "PatientRegistered", "family_name");
    Ok(Sealed::seal(&newest.key, place.expect("a place"), text)?)
}

async fn opened(keyring: &Keyring, value: &Sealed) -> Result<Vec<u8>, KeyError> {
    let place = value.place();
    let key = keyring.find(Context { owner: place.owner(), version: place.key_version() }).await?;
    Ok(value.open(&key, &Found::at(place)).expect("what was sealed is opened").to_vec())
}

async fn all_keys(keys: &dyn KeyStore, page: u32) -> Vec<StoredKey> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let found = keys.page(after, page).await.expect("a page");
        let Some(last) = found.last() else { return all };
        after = Some(last.context);
        all.extend(found);
    }
}

async fn who_comes_first_wins(test: TestStore) {
    let keys = &test.store.keys;
    let owner = owner();
    let (first, second) = (some_key(owner, 1), some_key(owner, 1));
    assert_eq!(keys.load(&[owner]).await.expect("an answer"), [Standing::None]);
    assert_eq!(keys.insert(&first).await.expect("kept"), Standing::Kept(vec![first.clone()]));
    assert_eq!(keys.insert(&second).await.expect("not kept"), Standing::Kept(vec![first.clone()]));
    let newer = some_key(owner, 2);
    let both = Standing::Kept(vec![first.clone(), newer.clone()]);
    assert_eq!(keys.insert(&newer).await.expect("kept"), both);
    // The same id of another kind is somebody else.
    let other = Owner::account(owner.id);
    let asked = [other, owner, self::owner(), owner];
    assert_eq!(keys.load(&asked).await.expect("in their order"), [Standing::None, both.clone(), Standing::None, both]);
    assert_eq!(keys.load(&[]).await.expect("nobody"), []);
}

async fn a_key_is_replaced_by_who_knows_it(test: TestStore) {
    let keys = &test.store.keys;
    let (key, stranger) = (some_key(owner(), 1), some_key(owner(), 1));
    keys.insert(&key).await.expect("kept");
    let again = some_key(key.context.owner, 1).wrapped;
    assert!(!keys.replace(key.context, &stranger.wrapped, &again).await.expect("another is kept"));
    assert!(!keys.replace(stranger.context, &stranger.wrapped, &again).await.expect("none is kept"));
    assert!(keys.replace(key.context, &key.wrapped, &again).await.expect("replaced"));
    assert!(!keys.replace(key.context, &key.wrapped, &again).await.expect("no more"));
    let kept = StoredKey { wrapped: again, ..key };
    assert_eq!(keys.load(&[kept.context.owner]).await.expect("an answer"), [Standing::Kept(vec![kept])]);
}

async fn what_was_destroyed_stays_so(test: TestStore) {
    let keys = &test.store.keys;
    let key = some_key(owner(), 1);
    let owner = key.context.owner;
    keys.insert(&key).await.expect("kept");
    keys.insert(&some_key(owner, 2)).await.expect("kept");
    assert!(keys.destroy(owner).await.expect("destroyed"));
    assert!(!keys.destroy(owner).await.expect("it was before"));
    assert_eq!(keys.insert(&some_key(owner, 1)).await.expect("an answer"), Standing::Destroyed);
    assert_eq!(keys.insert(&some_key(owner, 3)).await.expect("an answer"), Standing::Destroyed);
    assert!(!keys.replace(key.context, &key.wrapped, &key.wrapped).await.expect("it is gone"));
    // Also who never had a key.
    let never = self::owner();
    assert!(keys.destroy(never).await.expect("destroyed"));
    assert_eq!(keys.insert(&some_key(never, 1)).await.expect("an answer"), Standing::Destroyed);
    let again = test.again().await;
    assert_eq!(again.keys.load(&[owner, never]).await.expect("an answer"), [Standing::Destroyed, Standing::Destroyed]);
    assert_eq!(all_keys(&*again.keys, 10).await, []);
    again.close().await;
}

async fn pages_hold_every_key_once(test: TestStore) {
    let keys = &test.store.keys;
    let owners = (0..23).map(|number| match number % 3 {
        0 => owner(),
        1 => Owner::account(Uuid::now_v7()),
        _ => Owner::trial(Uuid::now_v7()),
    });
    let mut kept: Vec<StoredKey> =
        owners.flat_map(|owner| [some_key(owner, 1), some_key(owner, 2), some_key(owner, 10)]).collect();
    for key in &kept {
        keys.insert(key).await.expect("kept");
    }
    kept.sort_by_key(|key| (key.context.owner.to_string(), key.context.version));
    for page in [1, 7, 69, 100] {
        assert_eq!(all_keys(&**keys, page).await, kept, "{page}");
    }
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
    let secrets = try_join_all(rings.iter().map(|ring| ring.secret())).await.expect("a secret");
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
    let nobody = Context { owner: self::owner(), version: 1 };
    assert!(matches!(ring.find(nobody).await, Err(KeyError::Missing(context)) if context == nobody));
    assert_eq!(test.store.keys.load(&[nobody.owner]).await.expect("an answer"), [Standing::None], "none was made");
    assert!(matches!(ring.renew(Owner::INSTALLATION).await, Err(KeyError::Installation)));
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
    ring.secret().await.expect("a secret");
    assert!(matches!(ring.destroy(Owner::INSTALLATION).await, Err(KeyError::Installation)));
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

    async fn current(&self) -> Result<MasterVersion, sealing::MasterError> {
        Ok(MasterVersion { name: self.name().to_owned(), ..self.0.current().await? })
    }

    async fn wrap(&self, key: &Key, context: Context) -> Result<Wrapped, sealing::MasterError> {
        let wrapped = self.0.wrap(key, context).await?;
        Ok(Wrapped { by: MasterVersion { name: self.name().to_owned(), ..wrapped.by }, ..wrapped })
    }

    async fn unwrap(&self, wrapped: &Wrapped, context: Context) -> Result<Key, sealing::MasterError> {
        self.0.unwrap(wrapped, context).await
    }
}

testkit::on_both_engines! {
    who_comes_first_wins,
    a_key_is_replaced_by_who_knows_it,
    what_was_destroyed_stays_so,
    pages_hold_every_key_once,
    one_key_is_made_of_many_races,
    what_was_sealed_before_is_opened_after_a_renewal,
    many_are_found_together,
    destroying_wins_every_race,
    keys_are_wrapped_again_under_load,
    another_master_key_takes_over,
}

/// Nothing of a destroyed key is left in any file of the folder, and keys are in none but their own.
#[tokio::test(flavor = "multi_thread")]
async fn a_destroyed_key_is_gone_from_the_disk() {
    let test = testkit::stores::sqlite().await;
    let folder = std::path::PathBuf::from(test.url.strip_prefix("sqlite:").expect("a folder"));
    let holding = |text: &str| {
        let files = std::fs::read_dir(&folder).expect("the folder").flatten().filter(|file| {
            let bytes = std::fs::read(file.path()).expect("a file");
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        });
        files.map(|file| file.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let (gone, kept) = (some_key(owner(), 1), some_key(owner(), 1));
    for key in [&gone, &kept] {
        test.store.keys.insert(key).await.expect("kept");
    }
    assert_eq!(holding(&gone.wrapped.text), ["keys.db-wal"]);
    test.store.keys.destroy(gone.context.owner).await.expect("destroyed");
    assert_eq!(holding(&gone.wrapped.text), Vec::<String>::new());
    assert_eq!(holding(&kept.wrapped.text), ["keys.db"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_may_be_kept_elsewhere() {
    let (one, two) = (testkit::stores::postgres().await, testkit::postgres().await);
    let options = StoreOptions { keys_url: Some(two.url.clone()), ..StoreOptions::default() };
    let apart = Store::open(&one.url, &options).await.expect("the store opens");
    let key = some_key(owner(), 1);
    apart.keys.insert(&key).await.expect("kept");
    assert_eq!(one.store.keys.load(&[key.context.owner]).await.expect("an answer"), [Standing::None]);
    let names: Vec<_> = apart.connections().iter().map(|pool| pool.database).collect();
    assert_eq!(names, ["all", "keys"]);
    let mut there = sqlx::PgConnection::connect(&two.url).await.expect("the database");
    let schemas: Vec<String> = sqlx::query_scalar(
        "SELECT nspname::text FROM pg_namespace WHERE nspname IN ('log', 'derived', 'keys') ORDER BY nspname",
    )
    .fetch_all(&mut there)
    .await
    .expect("the schemas");
    assert_eq!(schemas, ["keys"]);
    apart.close().await;

    let (folder, elsewhere) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let url = |folder: &tempfile::TempDir| format!("sqlite:{}", folder.path().display());
    let options = StoreOptions { keys_url: Some(url(&elsewhere)), ..StoreOptions::default() };
    let embedded = Store::open(&url(&folder), &options).await.expect("the store opens");
    embedded.keys.insert(&key).await.expect("kept");
    embedded.close().await;
    assert!(elsewhere.path().join("keys.db").exists() && !folder.path().join("keys.db").exists());
    for (log, keys) in [(one.url.clone(), url(&folder)), (url(&folder), two.url.clone())] {
        let options = StoreOptions { keys_url: Some(keys), ..StoreOptions::default() };
        assert!(matches!(Store::open(&log, &options).await, Err(OpenError::KeyEngines)));
    }
}
