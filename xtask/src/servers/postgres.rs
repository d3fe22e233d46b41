//! A private PostgreSQL cluster.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{abandoned_folders, free_port, scratch_folder};
use crate::install::postgres_bin;
use crate::process::{TaskError, is_root, output};

/// The account under which the server runs where this process is root,
/// because PostgreSQL refuses to run as root.
const SERVER_ACCOUNT: &str = "postgres";

/// A private PostgreSQL cluster: free port, temporary folder, fsync on. Stopped and removed on drop.
#[derive(Debug)]
pub struct PostgresCluster {
    bin: PathBuf,
    folder: PathBuf,
    port: u16,
}

impl PostgresCluster {
    /// Makes and starts a cluster; first removes clusters that dead processes left.
    ///
    /// # Errors
    /// Where PostgreSQL is missing and cannot be installed, or does not start.
    pub fn start() -> Result<Self, TaskError> {
        let bin = postgres_bin()?;
        for folder in abandoned_folders("postgres") {
            remove(&bin, &folder);
        }
        let folder = scratch_folder("postgres")?;
        if is_root() {
            output(Command::new("chown").arg(SERVER_ACCOUNT).arg(&folder))?;
        }
        let cluster = Self { bin, folder, port: free_port()? };
        let data = cluster.data();
        let initdb = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--pgdata"];
        output(cluster.command("initdb").args(initdb).arg(&data))?;
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\n\
             max_connections = 300\nshared_buffers = '256MB'\nmax_wal_size = '4GB'\n\
             log_min_messages = warning\n",
            cluster.port,
            cluster.folder.display()
        );
        let file = data.join("anamnesis.conf");
        std::fs::write(&file, settings).map_err(TaskError::file("cannot write", &file))?;
        output(Command::new("sh").args([
            "-c",
            "chmod 644 \"$1\" && echo \"include 'anamnesis.conf'\" >> \"$2\"",
            "sh",
            &file.to_string_lossy(),
            &data.join("postgresql.conf").to_string_lossy(),
        ]))?;
        cluster.resume()?;
        Ok(cluster)
    }

    /// Makes and starts a standby of this cluster, from a base backup.
    ///
    /// # Errors
    /// Where the backup fails or the standby does not start.
    pub fn standby(&self) -> Result<Self, TaskError> {
        let folder = scratch_folder("postgres")?;
        if is_root() {
            output(Command::new("chown").arg(SERVER_ACCOUNT).arg(&folder))?;
        }
        let standby = Self { bin: self.bin.clone(), folder, port: free_port()? };
        let address = format!("host=127.0.0.1 port={} user=postgres", self.port);
        let backup = ["--write-recovery-conf", "--checkpoint=fast", "--no-password", "--dbname", &address, "--pgdata"];
        output(standby.command("pg_basebackup").args(backup).arg(standby.data()))?;
        let file = standby.data().join("anamnesis.conf");
        let settings = std::fs::read_to_string(&file).map_err(TaskError::file("cannot read", &file))?;
        let own = format!(
            "{settings}port = {}\nunix_socket_directories = '{}'\nwal_retrieve_retry_interval = '200ms'\n",
            standby.port,
            standby.folder.display()
        );
        std::fs::write(&file, own).map_err(TaskError::file("cannot write", &file))?;
        standby.resume()?;
        Ok(standby)
    }

    /// Makes a standby the primary.
    ///
    /// # Errors
    /// Where it does not become it.
    pub fn promote(&self) -> Result<(), TaskError> {
        self.pg_ctl(&["promote"])
    }

    /// The address of database `name`.
    pub fn url(&self, name: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// The TCP port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Stops the server as a crash would (`immediate`: no checkpoint, connections cut).
    ///
    /// # Errors
    /// Where `pg_ctl` fails.
    pub fn crash(&self) -> Result<(), TaskError> {
        self.pg_ctl(&["stop", "--mode=immediate"])
    }

    /// Starts the server again after [`PostgresCluster::crash`].
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn resume(&self) -> Result<(), TaskError> {
        let log = self.folder.join("log");
        self.pg_ctl(&["start", "--timeout=60", "--log", &log.to_string_lossy()])
    }

    fn pg_ctl(&self, arguments: &[&str]) -> Result<(), TaskError> {
        let mut command = self.command("pg_ctl");
        command.arg("--wait").arg("--pgdata").arg(self.data()).args(arguments);
        // The server inherits the output: a pipe would never end, so it goes nowhere.
        let status = command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        let status = status.stderr(std::process::Stdio::null()).status();
        let status = status.map_err(|source| TaskError::Start { program: "pg_ctl".to_owned(), source })?;
        if status.success() {
            return Ok(());
        }
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        Err(TaskError::Failed {
            command: format!("pg_ctl {}", arguments.join(" ")),
            status: status.to_string(),
            output: log,
        })
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn command(&self, program: &str) -> Command {
        server_command(&self.bin, program, &self.folder)
    }
}

impl Drop for PostgresCluster {
    fn drop(&mut self) {
        remove(&self.bin, &self.folder);
    }
}

fn server_command(bin: &Path, program: &str, folder: &Path) -> Command {
    let program = bin.join(program);
    let mut command = if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", SERVER_ACCOUNT, "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir(folder);
    command
}

/// Stops the cluster of `folder` if it runs, and removes the folder; best effort, as on every clean-up.
fn remove(bin: &Path, folder: &Path) {
    let mut stop = server_command(bin, "pg_ctl", folder);
    stop.args(["--wait", "--mode=immediate", "stop", "--pgdata"]).arg(folder.join("data"));
    // Not running is as good as stopped.
    drop(output(&mut stop));
    drop(std::fs::remove_dir_all(folder));
}
