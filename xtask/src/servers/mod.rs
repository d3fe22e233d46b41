//! Private servers on free ports in temporary folders; a server that already runs is never touched.

mod nats;
mod oidc;
mod openbao;
mod pgbouncer;
mod postgres;

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::process::{TaskError, output};

pub use nats::NatsServer;
pub use oidc::{OidcOptions, OidcProvider};
pub use openbao::{OpenBao, Tls};
pub use pgbouncer::PgBouncer;
pub use postgres::PostgresCluster;

/// How long a server may take to come up.
const START_SECONDS_MAX: u64 = 60;

/// Ports below those that the system gives to outgoing connections, which would take one before it is listened on.
const PORTS: std::ops::Range<u32> = 12_000..32_000;
/// Ports of one process, so that two that look at the same time seldom find the same.
const PORTS_OF_PROCESS: u32 = 16;

/// A port that was free a moment ago.
///
/// # Errors
/// Where the machine has none.
pub fn free_port() -> Result<u16, TaskError> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(PORTS_OF_PROCESS);
    let mut taken = None;
    for _ in PORTS {
        let next = first.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed)) % PORTS.len() as u32;
        let port = u16::try_from(PORTS.start + next).unwrap_or(0);
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(port),
            Err(error) => taken = Some(error),
        }
    }
    let source = taken.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into());
    Err(TaskError::file("cannot find a free port on", "127.0.0.1")(source))
}

/// A new folder whose name tells which process it belongs to.
fn scratch_folder(server: &str) -> Result<PathBuf, TaskError> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("anamnesis-{server}-{}-{count}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).map_err(TaskError::file("cannot make the folder", &folder))?;
    Ok(folder)
}

/// The folders that processes which are gone left behind.
fn abandoned_folders(server: &str) -> Vec<PathBuf> {
    let prefix = format!("anamnesis-{server}-");
    let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else { return Vec::new() };
    let owner_is_gone = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let owner = name.strip_prefix(&prefix).and_then(|rest| rest.split('-').next());
        owner.is_some_and(|pid| pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists())
    };
    entries.flatten().map(|entry| entry.path()).filter(owner_is_gone).collect()
}

/// Ends the `program` that a dead process left running, whose process id is in the file `pid`, and removes its folder.
fn remove_abandoned(folder: &Path, program: &str) {
    let pid = std::fs::read_to_string(folder.join("pid")).unwrap_or_default();
    let name = std::fs::read_to_string(format!("/proc/{}/comm", pid.trim())).unwrap_or_default();
    // The number may belong to another program by now.
    if name.trim() == program {
        drop(output(Command::new("kill").args(["-9", pid.trim()])));
    }
    drop(std::fs::remove_dir_all(folder));
}

/// Waits until `ready` says so.
fn wait_until(server: &'static str, log: &Path, mut ready: impl FnMut() -> bool) -> Result<(), TaskError> {
    let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
    while !ready() {
        if Instant::now() > deadline {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            let tail = log.lines().rev().take(20).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
            return Err(TaskError::NotReady { server, seconds: START_SECONDS_MAX, log: tail });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
