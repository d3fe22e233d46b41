//! OpenBao is away, or does not want to.

use std::time::Duration;

use futures::future::join_all;
use sealing::master::{TransitMaster, TransitOptions};
use sealing::{Key, KeyError, Keyring, KeyringOptions, Master as _, MasterError};
use testkit::eventually;
use testkit::stores::TestStore;

use crate::transit::{context, master, options};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_waits_for_a_server_that_comes_back() {
    let mut server = testkit::openbao().await;
    let (key, context) = (Key::random().expect("a key"), context());
    let wrapped = master(&server).await.wrap(&key, context).await.expect("wrapped");
    let patient = TransitOptions { patience: PATIENCE, ..options(&server, "patients") };
    let patient = TransitMaster::new(&patient).expect("a master key");
    let hasty = TransitOptions { patience: Duration::ZERO, ..options(&server, "patients") };
    let hasty = TransitMaster::new(&hasty).expect("a master key");
    server.kill();
    let away = hasty.unwrap(&wrapped, context).await.expect_err("it is away");
    assert!(matches!(away, MasterError::Away { .. }) && away.may_pass(), "{away:?}");
    let waiting = tokio::spawn(async move {
        let unwrapped = patient.unwrap(&wrapped, context).await;
        unwrapped.map(|key| *key.bytes())
    });
    assert!(matches!(hasty.current().await, Err(MasterError::Away { .. })), "still");
    assert!(!waiting.is_finished(), "it waits");
    let resumed = tokio::task::spawn_blocking(move || server.resume().map(|()| server)).await;
    // Kept: it ends with the value.
    let _server = resumed.expect("no panic").expect("it is back");
    assert_eq!(waiting.await.expect("no panic").expect("unwrapped"), *key.bytes());
}

/// While the server is away keys that are remembered are used, others are not to be had, and none is lost or made twice.
async fn nothing_is_lost_while_it_is_away(test: TestStore) {
    let mut server = testkit::openbao().await;
    let hasty = TransitOptions { patience: Duration::from_millis(300), ..options(&server, "patients") };
    let hasty = std::sync::Arc::new(TransitMaster::new(&hasty).expect("a master key"));
    hasty.create().await.expect("the key is made");
    let ring = || Keyring::new(test.store.keys.clone(), hasty.clone(), KeyringOptions::default());
    let (here, fresh) = (ring(), ring());
    let (known, new) = (context().owner, context().owner);
    let before = here.key(known).await.expect("a key");
    server.kill();
    assert_eq!(here.key(known).await.expect("it is remembered").key.bytes(), before.key.bytes());
    for away in join_all([fresh.key(known), here.key(new), here.key(new)]).await {
        assert!(
            matches!(&away, Err(error @ KeyError::Master(MasterError::Away { .. })) if error.may_pass()),
            "{away:?}"
        );
    }
    assert!(here.find_all(&[known, new]).await.expect("what is remembered, and nothing").contains_key(&known));
    assert!(fresh.find_all(&[known]).await.is_err_and(|error| error.may_pass()));
    assert!(here.rewrap(|_| {}).await.is_err_and(|error| error.may_pass()));
    let resumed = tokio::task::spawn_blocking(move || server.resume().map(|()| server)).await;
    let _server = resumed.expect("no panic").expect("it is back");
    assert_eq!(fresh.key(known).await.expect("the same key").key.bytes(), before.key.bytes());
    let made = here.key(new).await.expect("a key");
    assert_eq!(fresh.key(new).await.expect("the same key").key.bytes(), made.key.bytes());
    // To destroy a key nobody need be asked.
    assert!(here.destroy(known).await.expect("destroyed"));
}

testkit::on_both_engines! { nothing_is_lost_while_it_is_away }

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_renewed_is_read_again() {
    let server = testkit::openbao().await;
    let (key, context) = (Key::random().expect("a key"), context());
    let wrapped = master(&server).await.wrap(&key, context).await.expect("wrapped");
    let token = || server.run(&["token", "create", "-policy=root", "-field=token"]).expect("a token").trim().to_owned();
    let (first, second) = (token(), token());
    let file = server.token_file("renewed", &first).expect("the file");
    let named = TransitOptions { token_file: file, ..options(&server, "patients") };
    let master = TransitMaster::new(&named).expect("a master key");
    assert_eq!(master.unwrap(&wrapped, context).await.expect("unwrapped").bytes(), key.bytes());
    server.run(&["token", "revoke", &first]).expect("revoked");
    let refused = master.unwrap(&wrapped, context).await.expect_err("the token is worth nothing");
    assert!(matches!(refused, MasterError::Refused { .. }) && !refused.may_pass(), "{refused:?}");
    assert!(!format!("{master:?} {refused:?} {refused}").contains(first.as_str()), "tokens are not told");
    server.token_file("renewed", &format!("{second}\n")).expect("the file");
    assert_eq!(master.unwrap(&wrapped, context).await.expect("unwrapped").bytes(), key.bytes());
    // Who has read it before, and asks for the first time after, does not fail once.
    let third = token();
    server.token_file("renewed", &third).expect("the file");
    server.run(&["token", "revoke", &second]).expect("revoked");
    assert_eq!(master.unwrap(&wrapped, context).await.expect("unwrapped").bytes(), key.bytes());
    std::fs::remove_file(&named.token_file).expect("removed");
    server.run(&["token", "revoke", &third]).expect("revoked");
    assert!(matches!(master.unwrap(&wrapped, context).await, Err(MasterError::File(..))));
}

/// A token that may wrap and unwrap, and no more: what the program needs.
#[tokio::test(flavor = "multi_thread")]
async fn the_least_policy_is_enough() {
    let server = testkit::openbao().await;
    let owner = master(&server).await;
    let policy = include_str!("../../../../docs/guides/keep-the-keys.md");
    let policy = policy.split("```hcl\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the guide's policy");
    let file = server.token_file("policy.hcl", policy).expect("the policy");
    server.run(&["policy", "write", "anamnesis", &file.to_string_lossy()]).expect("the policy");
    let token = server.run(&["token", "create", "-policy=anamnesis", "-field=token"]).expect("a token");
    let served = TransitOptions {
        token_file: server.token_file("served", &token).expect("the token"),
        ..options(&server, "patients")
    };
    let served = TransitMaster::new(&served).expect("a master key");
    let (key, context) = (Key::random().expect("a key"), context());
    assert_eq!(served.current().await.expect("a version").version, 1);
    let wrapped = served.wrap(&key, context).await.expect("wrapped");
    owner.rotate().await.expect("rotated");
    let again = served.rewrap_all(&[(wrapped, context)]).await.expect("an answer").remove(0).expect("wrapped again");
    assert_eq!(served.unwrap(&again, context).await.expect("unwrapped").bytes(), key.bytes());
    assert!(matches!(served.rotate().await, Err(MasterError::Refused { .. })), "it may not rotate");
}

/// A server that is sealed, by an operator, is away and not refusing.
#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_server_is_away() {
    let server = testkit::openbao().await;
    master(&server).await;
    let hasty = TransitOptions { patience: Duration::ZERO, ..options(&server, "patients") };
    let hasty = TransitMaster::new(&hasty).expect("a master key");
    server.run(&["operator", "seal"]).expect("sealed");
    eventually("it says that it is sealed", PATIENCE, async || {
        matches!(hasty.current().await, Err(MasterError::Away { source, .. }) if source.to_string().contains("503"))
    })
    .await;
}
