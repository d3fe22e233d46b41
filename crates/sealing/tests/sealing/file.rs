//! The master key in a file.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use futures::future::join_all;
use sealing::master::{FileMaster, GivenMaster};
use sealing::{Context, Key, Master as _, MasterError, Owner};
use uuid::Uuid;

fn context() -> Context {
    Context { owner: Owner::patient(Uuid::now_v7()), version: 1 }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[tokio::test]
async fn it_is_made_once_and_belongs_to_one_account() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys/master.key");
    let missing = FileMaster::open(&path).await.expect_err("there is none");
    assert!(matches!(missing, MasterError::File(_, error) if error.kind() == ErrorKind::NotFound));
    let made = join_all((0..16).map(|_| FileMaster::open_or_create(&path))).await;
    let (key, context) = (Key::random().expect("a key"), context());
    let wrapped = made[0].as_ref().expect("a master key").wrap(&key, context).await.expect("wrapped");
    for master in made {
        let unwrapped = master.expect("a master key").unwrap(&wrapped, context).await.expect("the same master key");
        assert_eq!(unwrapped.bytes(), key.bytes());
    }
    assert_eq!((mode(&path), mode(path.parent().expect("a folder"))), (0o600, 0o700));
    let names = std::fs::read_dir(path.parent().expect("a folder")).expect("the folder").flatten();
    assert_eq!(names.count(), 1, "no half-written file is left");
    // What the file holds is what a process may be given.
    let given = GivenMaster::parse(&std::fs::read_to_string(&path).expect("the file")).expect("a master key");
    assert_eq!(given.unwrap(&wrapped, context).await.expect("unwrapped").bytes(), key.bytes());
}

#[tokio::test]
async fn a_file_that_others_can_read_or_that_holds_no_key_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("master.key");
    FileMaster::open_or_create(&path).await.expect("a master key");
    for mode in [0o640, 0o604, 0o620] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("its rights");
        let refused = FileMaster::open_or_create(&path).await.expect_err("others can read it");
        assert!(matches!(refused, MasterError::File(_, error) if error.kind() == ErrorKind::PermissionDenied));
    }
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).expect("its rights");
    FileMaster::open(&path).await.expect("it need not be writable");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("its rights");
    std::fs::write(&path, [0xff; 100]).expect("nonsense");
    let refused = FileMaster::open_or_create(&path).await.expect_err("it holds no key");
    assert!(matches!(refused, MasterError::Malformed(..)), "{refused:?}");
    assert_eq!(std::fs::read(&path).expect("the file"), [0xff; 100], "it is left as it is");
}

#[tokio::test]
async fn a_new_version_wraps_and_the_old_ones_unwrap_in_every_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("master.key");
    let one = Arc::new(FileMaster::open_or_create(&path).await.expect("a master key"));
    let other = FileMaster::open(&path).await.expect("the same");
    let (key, context) = (Key::random().expect("a key"), context());
    let old = other.wrap(&key, context).await.expect("wrapped");
    let rotating = (0..8).map(|_| {
        let one = one.clone();
        async move { one.rotate().await.expect("rotated").version }
    });
    let mut versions = join_all(rotating).await;
    versions.sort_unstable();
    assert_eq!(versions, [2, 3, 4, 5, 6, 7, 8, 9], "no version is lost");
    let new = one.wrap(&key, context).await.expect("wrapped");
    assert_eq!((old.by.version, new.by.version), (1, 9));
    assert_eq!(other.wrap(&key, context).await.expect("wrapped").by.version, 9, "the other process has seen it");
    for master in [&*one, &other] {
        assert_eq!(master.current().await.expect("a version").version, 9);
        for wrapped in [&old, &new] {
            assert_eq!(master.unwrap(wrapped, context).await.expect("unwrapped").bytes(), key.bytes());
        }
    }
    let again = one.rewrap_all(&[(old.clone(), context), (new, context)]).await.expect("wrapped again");
    assert!(again.iter().all(|wrapped| wrapped.as_ref().is_ok_and(|wrapped| wrapped.by.version == 9)));
    assert_eq!(mode(&path), 0o600);
    // Who has lost a version says so.
    let text = std::fs::read_to_string(&path).expect("the file");
    let newest = GivenMaster::parse(text.lines().last().expect("a line")).expect("a master key");
    let missing = newest.unwrap(&old, context).await.expect_err("version 1 is not there");
    assert!(matches!(missing, MasterError::NoVersion(version) if version.version == 1));
}
