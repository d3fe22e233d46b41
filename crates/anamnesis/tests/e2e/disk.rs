//! The embedded engine where its disk is full or cannot be written. Needs the right to mount;
//! without it these tests say so and end.

use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use reqwest::StatusCode;
use serde_json::json;
use tempfile::TempDir;

use crate::api::Api;
use crate::clinic::fresh;
use crate::system::{ADMINISTRATOR, Process, http, open_tester};

/// The user who owns nothing.
const NOBODY: u32 = 65_534;

/// A disk of its own; unmounted on drop.
struct Disk(PathBuf);

impl Disk {
    fn mount(path: PathBuf) -> Option<Self> {
        std::fs::create_dir(&path).expect("a folder");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(&path).output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Self(path));
        }
        eprintln!("not tried: file systems cannot be mounted here");
        None
    }

    fn remount_read_only(&self) {
        let status = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.0).status();
        assert!(status.expect("mount runs").success());
    }

    /// Leaves no byte free; gives the file that takes them.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = std::fs::File::create(&path).expect("a file");
        for piece in [1024 * 1024, 4096] {
            while file.write_all(&vec![0; piece]).is_ok() {}
        }
        path
    }

    fn arguments(&self) -> [String; 2] {
        ["--data-dir".to_owned(), self.0.to_string_lossy().into_owned()]
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

fn api(process: &Process, data: &Path) -> Api {
    let folder = data.parent().expect("a folder");
    let token = open_tester(&process.url, &data.join("signing.pem"), ADMINISTRATOR, folder);
    let urls = vec![process.url.clone()];
    Api::new(urls.clone(), urls, token)
}

async fn register(api: &Api) -> StatusCode {
    api.post(&format!("/v1/patients/{}/register-patient", fresh()), json!({})).await.status
}

/// How many commands `RegisterPatient` ended so, as the metrics tell.
async fn commands(process: &Process, outcome: &str) -> Option<f64> {
    let series = format!("anamnesis_commands_total{{command=\"RegisterPatient\",outcome=\"{outcome}\"}}");
    process.metric(&series).await
}

async fn readiness(process: &Process) -> Option<StatusCode> {
    Some(http().get(format!("{}/readyz", process.url)).send().await.ok()?.status())
}

#[tokio::test]
async fn a_full_disk_is_told_and_nothing_is_lost() {
    let folder = TempDir::new().expect("a folder");
    let Some(disk) = Disk::mount(folder.path().join("disk")) else { return };
    let mut process = Process::start("serve", folder.path(), &disk.arguments());
    process.ready().await;
    let api = api(&process, &disk.0);
    let mut stored = api.get("/v1/views").await.ok()["position"].as_u64().expect("a position");
    let mut failed = 0;
    let filler = disk.fill();
    // Files that are there already may have some room left.
    let mut refused = 0;
    while refused < 10 {
        match register(&api).await {
            StatusCode::CREATED | StatusCode::OK => (stored, refused) = (stored + 1, 0),
            status => {
                assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{}", process.told());
                (refused, failed) = (refused + 1, failed + 1);
            }
        }
    }
    for _ in 0..5 {
        assert_eq!(readiness(&process).await, Some(StatusCode::SERVICE_UNAVAILABLE), "{}", process.told());
    }
    std::fs::remove_file(filler).expect("it is removed");
    process.ready().await;
    assert!(register(&api).await.is_success(), "{}", process.told());
    let listed = api.get("/v1/views").await.ok()["position"].as_u64();
    assert_eq!(listed, Some(stored + 1), "what was acknowledged, and nothing else");
    // What the disk prevented is told apart from what a rule refuses.
    assert_eq!(commands(&process, "failed").await, Some(f64::from(failed)));
    assert_eq!(commands(&process, "refused").await, None);
}

#[tokio::test]
async fn what_cannot_be_written_is_never_ready() {
    let folder = TempDir::new().expect("a folder");
    let Some(disk) = Disk::mount(folder.path().join("disk")) else { return };
    let mut process = Process::start("serve", folder.path(), &disk.arguments());
    process.ready().await;
    assert!(register(&api(&process, &disk.0)).await.is_success());
    assert_eq!(process.terminate().await.code(), Some(0));

    // The folder can be written, the file not.
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("its rights");
    for entry in std::fs::read_dir(&disk.0).expect("the files").flatten() {
        chown(entry.path(), Some(NOBODY), Some(NOBODY)).expect("its owner");
    }
    chown(&disk.0, Some(NOBODY), Some(NOBODY)).expect("its owner");
    let database = disk.0.join("log.db");
    std::fs::set_permissions(&database, PermissionsExt::from_mode(0o444)).expect("its rights");
    let mut process = Process::start_as(NOBODY, "serve", folder.path(), &disk.arguments());
    never_ready(&mut process).await;
    process.kill();

    disk.remount_read_only();
    let mut process = Process::start("serve", folder.path(), &disk.arguments());
    assert_eq!(process.ended().await.code(), Some(2), "{}", process.told());
    assert!(process.told().contains(&*disk.0.to_string_lossy()), "{}", process.told());
}

/// Whether it ends with a failure, or is up and says that it cannot work.
async fn never_ready(process: &mut Process) {
    let told = async || process.has_ended() || readiness(process).await.is_some();
    testkit::eventually("it ended or answers", std::time::Duration::from_secs(60), told).await;
    if process.has_ended() {
        assert_eq!(process.ended().await.code(), Some(2), "{}", process.told());
    } else {
        assert_eq!(readiness(process).await, Some(StatusCode::SERVICE_UNAVAILABLE), "{}", process.told());
    }
}
