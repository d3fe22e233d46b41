//! Opening the storage.

use event_store::{Store, StoreOptions};
use futures::future::join_all;

#[tokio::test(flavor = "multi_thread")]
async fn several_starts_at_once_make_one_schema() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().display());
    let options = StoreOptions::default();
    let opened = join_all((0..8).map(|_| Store::open(&url, &options))).await;
    for store in opened {
        let store = store.unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(store.log.head().await.expect("the log"), 0);
        store.close().await;
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().display());
    let file = folder.path().join("log.db");
    std::fs::create_dir(&file).expect("a folder in its place");
    let Err(error) = Store::open(&url, &StoreOptions::default()).await else { panic!("a folder is no file") };
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
}
