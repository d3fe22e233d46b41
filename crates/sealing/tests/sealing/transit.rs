//! The master key in OpenBao.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use sealing::master::transit::TransitError;
use sealing::master::{TransitMaster, TransitOptions};
use sealing::{
    Context, Found, Key, Keyring, KeyringOptions, Master, MasterError, MasterVersion, Owner, Place, Sealed, Wrapped,
};
use testkit::OpenBao;
use testkit::stores::TestStore;
use uuid::Uuid;

pub fn context() -> Context {
    Context { owner: Owner::patient(Uuid::now_v7()), version: 1 }
}

pub fn options(server: &OpenBao, key: &str) -> TransitOptions {
    let token = server.token_file("token", server.root_token()).expect("a token");
    TransitOptions::new(&server.url(), key, token)
}

pub async fn master(server: &OpenBao) -> Arc<TransitMaster> {
    let master = TransitMaster::new(&options(server, "patients")).expect("a master key");
    master.create().await.expect("the key is made");
    Arc::new(master)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_wraps_and_binds_to_an_owner() {
    let server = testkit::openbao().await;
    let master = master(&server).await;
    let current = MasterVersion { name: "transit/transit/patients".to_owned(), version: 1 };
    assert_eq!(master.current().await.expect("a version"), current);
    let (key, context) = (Key::random().expect("a key"), context());
    let wrapped = master.wrap(&key, context).await.expect("wrapped");
    assert_eq!(wrapped.by, current);
    assert_eq!(master.unwrap(&wrapped, context).await.expect("unwrapped").bytes(), key.bytes());
    for other in [Context { version: 2, ..context }, Context { owner: Owner::account(context.owner.id), ..context }] {
        let refused = master.unwrap(&wrapped, other).await.expect_err("it is not the other's");
        assert!(matches!(refused, MasterError::Foreign(owner, _) if owner == other.owner), "{refused:?}");
        let refused = master.rewrap_all(&[(wrapped.clone(), other)]).await.expect("an answer").remove(0);
        assert!(matches!(refused, Err(MasterError::Foreign(..))), "{refused:?}");
    }
    let newer = Wrapped { text: wrapped.text.replace("vault:v1:", "vault:v7:"), ..wrapped.clone() };
    let refused = master.unwrap(&newer, context).await.expect_err("there is no version 7");
    assert!(matches!(&refused, MasterError::Refused { reason, .. } if reason.contains("too new")), "{refused:?}");
    // Making the key again changes nothing.
    master.create().await.expect("it is there");
    assert_eq!(master.unwrap(&wrapped, context).await.expect("unwrapped").bytes(), key.bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_keys_go_together_and_bad_ones_hold_none_up() {
    let server = testkit::openbao().await;
    let master = master(&server).await;
    let contexts: Vec<Context> = (0..450).map(|_| context()).collect();
    let key = Key::random().expect("a key");
    let wrapped = master.wrap(&key, contexts[0]).await.expect("wrapped");
    // Only the first is of this context.
    let all: Vec<_> = contexts.iter().map(|context| (wrapped.clone(), *context)).collect();
    let unwrapped = master.unwrap_all(&all).await.expect("an answer");
    assert_eq!(unwrapped.len(), 450);
    let good: Vec<usize> = (0..450).filter(|place| unwrapped[*place].is_ok()).collect();
    assert_eq!(good, [0]);
    assert_eq!(master.rotate().await.expect("rotated").version, 2);
    let again = master.rewrap_all(&all).await.expect("an answer");
    assert_eq!(again.iter().filter(|wrapped| wrapped.is_ok()).count(), 1);
    let again = again.into_iter().next().expect("the first").expect("wrapped again");
    assert_eq!(again.by.version, 2);
    assert_eq!(master.unwrap(&again, contexts[0]).await.expect("unwrapped").bytes(), key.bytes());
    assert!(master.unwrap_all(&[]).await.expect("nothing").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_binds_nothing_is_not_used() {
    let server = testkit::openbao().await;
    server.run(&["write", "-f", "transit/keys/plain", "type=aes256-gcm96"]).expect("a key that is not derived");
    let plain = TransitMaster::new(&options(&server, "plain")).expect("a master key");
    let refused = plain.current().await.expect_err("it is not derived");
    assert!(matches!(&refused, MasterError::Refused { reason, .. } if reason.contains("derived")), "{refused:?}");
    let refused = plain.wrap(&Key::random().expect("a key"), context()).await;
    assert!(matches!(&refused, Err(MasterError::Refused { .. })), "{refused:?}");
    let none = TransitMaster::new(&options(&server, "none")).expect("a master key");
    let refused = none.current().await.expect_err("there is no such key");
    assert!(matches!(&refused, MasterError::Refused { .. }) && !refused.may_pass(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_speaks_tls_and_asks_nobody_whose_certificate_it_does_not_know() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]);
    let made = made.expect("a certificate");
    let (certificate, key) = (folder.path().join("server.pem"), folder.path().join("server.key"));
    std::fs::write(&certificate, made.cert.pem()).expect("the certificate");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("its key");
    let server = testkit::openbao_with_tls(testkit::Tls { certificate: certificate.clone(), key }).await;
    assert!(server.url().starts_with("https://"));
    let trusting = TransitOptions { ca_file: Some(certificate.clone()), ..options(&server, "patients") };
    let master = TransitMaster::new(&trusting).expect("a master key");
    master.create().await.expect("the key is made");
    let (key, context) = (Key::random().expect("a key"), context());
    let wrapped = master.wrap(&key, context).await.expect("wrapped");
    assert_eq!(master.unwrap(&wrapped, context).await.expect("unwrapped").bytes(), key.bytes());
    let wary = TransitOptions { patience: Duration::ZERO, ..options(&server, "patients") };
    let refused = TransitMaster::new(&wary).expect("a master key").unwrap(&wrapped, context).await;
    assert!(matches!(refused, Err(MasterError::Away { .. })), "{refused:?}");
    for url in ["http://10.0.0.1:8200", "http://localhost.example.org", "ftp://localhost", "localhost:8200", ""] {
        let plain = TransitOptions { url: url.to_owned(), ..trusting.clone() };
        assert!(matches!(TransitMaster::new(&plain), Err(TransitError::Address(_))), "{url}");
    }
    for name in ["", "a/b", "a?b", "..", "a:b"] {
        let named = TransitOptions { key: name.to_owned(), ..trusting.clone() };
        assert!(matches!(TransitMaster::new(&named), Err(TransitError::Name(_))), "{name}");
    }
}

/// The key in OpenBao is rotated while keys are made and used; afterwards all are wrapped with the newest version, and the
/// old ones may be given up.
async fn the_master_key_rotates_under_load(test: TestStore) {
    let server = testkit::openbao().await;
    let master = master(&server).await;
    let ring = || Arc::new(Keyring::new(test.store.keys.clone(), master.clone(), KeyringOptions::default()));
    let stop = Arc::new(AtomicBool::new(false));
    let makers = (0..4).map(|_| {
        let (ring, stop) = (ring(), stop.clone());
        tokio::spawn(async move {
            let mut values = Vec::new();
            while !stop.load(Ordering::Relaxed) || values.len() < 30 {
                let owner = context().owner;
                let newest = ring.key(owner).await.expect("a key");
                let place = Place::new(
                    owner,
                    newest.version,
                    sealing::Event { command_id: Uuid::now_v7(), ..sealing::Event::default() },
                    "PatientRegistered",
                    "name",
                );
                let value = Sealed::seal(&newest.key, place.expect("a place"), owner.to_string().as_bytes());
                values.push(value.expect("sealed"));
            }
            values
        })
    });
    let makers: Vec<_> = makers.collect();
    let keeper = ring();
    for version in 2..=4 {
        assert_eq!(master.rotate().await.expect("rotated").version, version);
        assert_eq!(keeper.rewrap(|_| {}).await.expect("wrapped again").failed, 0);
    }
    stop.store(true, Ordering::Relaxed);
    let values: Vec<Sealed> = join_all(makers).await.into_iter().flat_map(|values| values.expect("no panic")).collect();
    assert!(values.len() >= 120);
    let done = keeper.rewrap(|_| {}).await.expect("wrapped again");
    assert_eq!((done.to.version, done.seen, done.failed), (4, values.len() as u64, 0));
    server.run(&["write", "transit/keys/patients/config", "min_decryption_version=4"]).expect("old ones are given up");
    let fresh = ring();
    let owners: Vec<Owner> = values.iter().map(|value| value.place().owner()).collect();
    let found = fresh.find_all(&owners).await.expect("the keys");
    for value in values {
        let owner = value.place().owner();
        let newest = found[&owner].as_ref().expect("a key").newest();
        let text = value.open(&newest.key, &Found::at(value.place())).expect("opened");
        assert_eq!(*text, owner.to_string().into_bytes());
    }
}

testkit::on_both_engines! { the_master_key_rotates_under_load }
