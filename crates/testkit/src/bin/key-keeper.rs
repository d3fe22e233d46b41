//! Makes keys, seals with them, rotates the master key and wraps all keys again, without end: the process of the test
//! that ends it in the middle of that.
//!
//! `key-keeper <database url> <master key file>`; prints every value that it sealed, a line each.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use event_store::{Store, StoreOptions};
use sealing::master::FileMaster;
use sealing::{Keyring, KeyringOptions, Owner, Place, Sealed};
use uuid::Uuid;

/// Patients whose keys are made between two rotations.
const PATIENTS: usize = 25;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, url, master] = arguments.as_slice() else { panic!("key-keeper <url> <master key file>") };
    let options = StoreOptions { migrate: false, ..StoreOptions::default() };
    let store = Store::open(url, &options).await.expect("the store opens");
    let master = Arc::new(FileMaster::open(Path::new(master)).await.expect("a master key"));
    let ring = Arc::new(Keyring::new(store.keys.clone(), master.clone(), KeyringOptions::default()));
    loop {
        let keeper = ring.clone();
        master.rotate().await.expect("rotated");
        let keeping = tokio::spawn(async move { keeper.rewrap(|_| {}).await });
        for _ in 0..PATIENTS {
            let owner = Owner::patient(Uuid::now_v7());
            let newest = ring.key(owner).await.expect("a key");
            let place = Place::new(
                owner,
                newest.version,
                sealing::Event { command_id: Uuid::now_v7(), ..sealing::Event::default() },
                "PatientRegistered",
                "name",
            );
            let value = Sealed::seal(&newest.key, place.expect("a place"), owner.to_string().as_bytes());
            // In one piece: what is told is sealed for good.
            let line = format!("{}\n", value.expect("sealed"));
            std::io::stdout().write_all(line.as_bytes()).expect("it is told");
        }
        keeping.await.expect("no panic").expect("wrapped again");
    }
}
