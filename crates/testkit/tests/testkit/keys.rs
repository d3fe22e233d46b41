//! Keys after processes that were ended in the middle of making them and wrapping them again.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use sealing::master::FileMaster;
use sealing::{Context, Found, Keyring, KeyringOptions, Sealed};
use testkit::stores::TestStore;

/// How often processes are ended.
const ROUNDS: usize = 6;
/// Values that one seals before it is.
const VALUES: usize = 40;

fn keeper(url: &str, master: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_key-keeper"));
    command.arg(url).arg(master).stdout(Stdio::piped());
    command.spawn().expect("a process that keeps keys")
}

/// Reads what a process sealed, and ends it by `kill -9` while it goes on.
fn end_after(mut child: Child, values: usize) -> Vec<String> {
    let told = BufReader::new(child.stdout.take().expect("its output"));
    let mut lines = told.lines().map_while(Result::ok);
    let mut read: Vec<String> = lines.by_ref().take(values).collect();
    child.kill().expect("it runs");
    child.wait().expect("its end");
    // What it told until then counts, too.
    read.extend(lines);
    read
}

async fn what_was_sealed_is_opened_after_processes_were_ended(test: TestStore) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("master.key");
    let master = Arc::new(FileMaster::open_or_create(&path).await.expect("a master key"));
    let mut values = Vec::new();
    for round in 0..ROUNDS {
        // Another number of values each time, so that it is ended at another place.
        let ending = [VALUES + 7 * round, VALUES - 5 * round].map(|values| {
            let child = keeper(&test.url, &path);
            tokio::task::spawn_blocking(move || end_after(child, values))
        });
        for ended in ending {
            values.extend(ended.await.expect("no panic"));
        }
    }
    assert!(values.len() >= 2 * VALUES * (ROUNDS - 1), "{}", values.len());
    let ring = || Keyring::new(test.store.keys.clone(), master.clone(), KeyringOptions::default());
    let done = ring().rewrap(|_| {}).await.expect("wrapped again");
    assert_eq!(done.failed, 0, "{done:?}");
    let fresh = ring();
    for value in values {
        let value: Sealed = value.parse().expect("a sealed value");
        let place = value.place();
        let key = fresh.find(Context { owner: place.owner(), version: place.key_version() }).await.expect("its key");
        let text = value.open(&key, &Found::at(place)).expect("opened");
        assert_eq!(*text, place.owner().to_string().into_bytes());
    }
    let left = std::fs::read_dir(folder.path()).expect("the folder").flatten();
    let left: Vec<_> = left.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    assert!(left.contains(&"master.key".to_owned()), "{left:?}");
}

testkit::on_both_engines! { what_was_sealed_is_opened_after_processes_were_ended }
