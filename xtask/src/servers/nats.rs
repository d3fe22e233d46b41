//! A private nats-server with JetStream.

use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{abandoned_folders, free_port, remove_abandoned, scratch_folder, wait_until};
use crate::process::TaskError;

/// A private nats-server: free port, temporary folder, every message synced
/// to disk before it is acknowledged. Stopped and removed on drop.
#[derive(Debug)]
pub struct NatsServer {
    binary: PathBuf,
    folder: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl NatsServer {
    /// Starts a server; first removes what dead processes left.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn start(binary: &Path) -> Result<Self, TaskError> {
        Self::start_with(binary, "")
    }

    /// Starts a server with these further lines of configuration.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn start_with(binary: &Path, further: &str) -> Result<Self, TaskError> {
        let mut server = Self::prepare(binary, further)?;
        server.resume()?;
        Ok(server)
    }

    /// Starts servers that know each other.
    ///
    /// # Errors
    /// Where one does not start.
    pub fn start_cluster(binary: &Path, size: usize) -> Result<Vec<Self>, TaskError> {
        let ports = (0..size).map(|_| free_port()).collect::<Result<Vec<_>, _>>()?;
        let routes: Vec<String> = ports.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
        let mut servers = Vec::new();
        for (number, port) in ports.iter().enumerate() {
            let routes = routes.join(", ");
            let cluster = format!(
                "server_name: n{number}\ncluster {{ name: test, listen: \"127.0.0.1:{port}\", routes: [{routes}] }}\n"
            );
            servers.push(Self::start_with(binary, &cluster)?);
        }
        Ok(servers)
    }

    fn prepare(binary: &Path, further: &str) -> Result<Self, TaskError> {
        for folder in abandoned_folders("nats") {
            remove_abandoned(&folder, "nats-server");
        }
        let folder = scratch_folder("nats")?;
        let server = Self { binary: binary.to_owned(), folder, port: free_port()?, child: None };
        server.configure(further)?;
        Ok(server)
    }

    fn configure(&self, further: &str) -> Result<(), TaskError> {
        let settings = format!(
            "listen: 127.0.0.1:{}\npid_file: \"{}\"\njetstream {{ store_dir: \"{}\", sync_interval: always }}\n{further}",
            self.port,
            self.folder.join("pid").display(),
            self.store().display()
        );
        let file = self.settings();
        std::fs::write(&file, settings).map_err(TaskError::file("cannot write", &file))
    }

    /// Starts the server anew with other further lines of configuration, on the same port and store.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn reconfigure(&mut self, further: &str) -> Result<(), TaskError> {
        self.kill();
        self.configure(further)?;
        self.resume()
    }

    /// The address for clients.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The folder that holds JetStream's files.
    pub fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    /// Starts the server again on the same port and store, if it does not run.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn resume(&mut self) -> Result<(), TaskError> {
        if self.child.is_some() {
            return Ok(());
        }
        let log = self.folder.join("log");
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(self.settings()).arg("--log").arg(&log);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn();
        self.child = Some(child.map_err(|source| TaskError::Start { program: "nats-server".to_owned(), source })?);
        let port = self.port;
        wait_until("nats-server", &log, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())
    }

    /// Ends the server as `kill -9` does; [`NatsServer::resume`] starts it again.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A child that has ended already is what is wanted.
            drop(child.kill());
            drop(child.wait());
        }
    }

    fn settings(&self) -> PathBuf {
        self.folder.join("nats-server.conf")
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
        drop(std::fs::remove_dir_all(&self.folder));
    }
}
