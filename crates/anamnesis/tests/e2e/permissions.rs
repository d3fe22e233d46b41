//! Whatever is written belongs to this account alone, whatever the umask of whoever starts the program.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use crate::clinic::{Clinic, Plan};
use crate::system::{Process, System, run, text};

/// Files that others may read, below a folder.
fn open_to_others(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let mode = entry.metadata().expect("its rights").permissions().mode();
        if mode & 0o077 != 0 {
            found.push(format!("{} {:o}", entry.path().display(), mode & 0o777));
        }
        if entry.path().is_dir() {
            found.extend(open_to_others(&entry.path()));
        }
    }
    found
}

#[tokio::test]
async fn health_data_belong_to_one_account() {
    let system = System::embedded_with(&[]).await;
    Clinic::open(&system.api, Plan::default()).await.enrolled_subject().await;
    let data = system.folder.path().join("data");
    assert!(
        ["log.db", "log.db-wal", "derived.db-shm", "keys.db", "keys.db-wal", "jwt.key"]
            .iter()
            .all(|name| data.join(name).exists())
    );
    assert_eq!(open_to_others(&data), Vec::<String>::new());
    assert_eq!(std::fs::metadata(&data).expect("its rights").permissions().mode() & 0o777, 0o700);

    let data = data.to_string_lossy().into_owned();
    let backup = run(&["backup", "copies/first", "--data-dir", &data], system.folder.path());
    assert!(backup.status.success(), "{}", text(&backup.stderr));
    assert_eq!(open_to_others(&system.folder.path().join("copies")), Vec::<String>::new());
}

#[tokio::test]
async fn a_restored_file_that_others_could_read_is_taken_from_them() {
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("data");
    let arguments = ["--data-dir".to_owned(), data.to_string_lossy().into_owned()];
    let mut process = Process::start("serve", folder.path(), &arguments);
    process.ready().await;
    assert!(process.terminate().await.success());
    for name in ["log.db", "derived.db", "keys.db"] {
        std::fs::set_permissions(data.join(name), PermissionsExt::from_mode(0o644)).expect("its rights");
    }
    process.restart().await;
    assert_eq!(open_to_others(&data), Vec::<String>::new());
}
