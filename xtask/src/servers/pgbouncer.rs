//! A private pgbouncer in front of a PostgreSQL cluster.

use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::{abandoned_folders, free_port, scratch_folder, wait_until};
use crate::install::pgbouncer_binary;
use crate::process::{TaskError, is_root, output};

/// The account under which it runs where this process is root: pgbouncer refuses to run as root.
const SERVER_ACCOUNT: &str = "postgres";

/// A private pgbouncer: free port, temporary folder. Stopped and removed on drop.
#[derive(Debug)]
pub struct PgBouncer {
    folder: PathBuf,
    port: u16,
    child: Child,
}

impl PgBouncer {
    /// Starts one in front of the server on `upstream_port`, for `users`, who need no password, with these
    /// further settings, a line each.
    ///
    /// # Errors
    /// Where pgbouncer is missing and cannot be installed, or does not start.
    pub fn start(upstream_port: u16, users: &[&str], further: &str) -> Result<Self, TaskError> {
        let binary = pgbouncer_binary()?;
        for folder in abandoned_folders("pgbouncer") {
            drop(std::fs::remove_dir_all(folder));
        }
        let (folder, port) = (scratch_folder("pgbouncer")?, free_port()?);
        let (list, file, log) = (folder.join("users.txt"), folder.join("pgbouncer.ini"), folder.join("log"));
        let users: String = users.iter().map(|user| format!("\"{user}\" \"\"\n")).collect();
        std::fs::write(&list, users).map_err(TaskError::file("cannot write", &list))?;
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={upstream_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\nlogfile = {}\n{further}\n",
            list.display(),
            log.display()
        );
        std::fs::write(&file, settings).map_err(TaskError::file("cannot write", &file))?;
        let mut command = if is_root() {
            output(Command::new("chown").arg("-R").arg(SERVER_ACCOUNT).arg(&folder))?;
            let mut command = Command::new("setpriv");
            command.args(["--reuid", SERVER_ACCOUNT, "--regid", SERVER_ACCOUNT, "--clear-groups", "--"]).arg(&binary);
            command
        } else {
            Command::new(&binary)
        };
        command.arg("--quiet").arg(&file).current_dir(&folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|source| TaskError::Start { program: "pgbouncer".to_owned(), source })?;
        let started = Self { folder, port, child };
        wait_until("pgbouncer", &log, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())?;
        Ok(started)
    }

    /// The TCP port.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // A child that has ended already is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}
