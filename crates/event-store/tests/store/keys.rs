//! The store of keys on both engines.

use event_store::{OpenError, Store, StoreOptions};
use sealing::{Context, KeyStore, MasterVersion, Owner, Standing, StoredKey, Wrapped};
use sqlx::Connection as _;
use testkit::stores::TestStore;
use uuid::Uuid;

/// Somebody new.
pub fn owner() -> Owner {
    Owner::patient(Uuid::now_v7())
}

/// A key that nobody can unwrap: the store does not look into it.
pub fn some_key(owner: Owner, version: u32) -> StoredKey {
    let by = MasterVersion { name: "local".to_owned(), version: 1 };
    let wrapped = Wrapped { by, text: format!("wrapped-{}", Uuid::now_v7()) };
    StoredKey { context: Context { owner, version }, wrapped }
}

/// Every key, read by pages of this size.
pub async fn all_keys(keys: &dyn KeyStore, page: u32) -> Vec<StoredKey> {
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

testkit::on_both_engines! {
    who_comes_first_wins,
    a_key_is_replaced_by_who_knows_it,
    what_was_destroyed_stays_so,
    pages_hold_every_key_once,
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
