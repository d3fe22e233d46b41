//! A private OpenBao.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{abandoned_folders, free_port, remove_abandoned, scratch_folder, wait_until};
use crate::process::{TaskError, output};

/// The key with which it unseals itself: 32 zero bytes, as base64.
const SEAL_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// A private OpenBao: free port, temporary folder, unsealed, with the engine `transit`. What it stored is there again
/// after a stop. Stopped and removed on drop.
#[derive(Debug)]
pub struct OpenBao {
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    tls: Option<Tls>,
    root_token: String,
    child: Option<Child>,
}

/// With what it speaks TLS: files of PEM.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Its certificate, which clients are to trust.
    pub certificate: PathBuf,
    /// The certificate's key.
    pub key: PathBuf,
}

impl OpenBao {
    /// Starts a server; first removes what dead processes left.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn start(program: &Path, tls: Option<Tls>) -> Result<Self, TaskError> {
        for folder in abandoned_folders("openbao") {
            remove_abandoned(&folder, "bao");
        }
        let folder = scratch_folder("openbao")?;
        let root_token = String::new();
        let mut server = Self { program: program.to_owned(), folder, port: free_port()?, tls, root_token, child: None };
        server.configure()?;
        server.spawn()?;
        let told = server.run(&["operator", "init", "-recovery-shares=1", "-recovery-threshold=1"])?;
        let token = told.lines().find_map(|line| line.strip_prefix("Initial Root Token: "));
        server.root_token = token.unwrap_or_default().trim().to_owned();
        server.active()?;
        server.run(&["secrets", "enable", "transit"])?;
        Ok(server)
    }

    fn configure(&self) -> Result<(), TaskError> {
        let data = self.folder.join("data");
        std::fs::create_dir_all(&data).map_err(TaskError::file("cannot make the folder", &data))?;
        let tls = match &self.tls {
            None => "tls_disable = true".to_owned(),
            Some(Tls { certificate, key }) => {
                format!("tls_cert_file = \"{}\"\n  tls_key_file = \"{}\"", certificate.display(), key.display())
            }
        };
        let settings = format!(
            "storage \"raft\" {{\n  path = \"{}\"\n  node_id = \"one\"\n  performance_multiplier = 1\n}}\n\
             listener \"tcp\" {{\n  address = \"127.0.0.1:{}\"\n  {tls}\n}}\n\
             seal \"static\" {{\n  current_key_id = \"test\"\n  current_key = \"{SEAL_KEY}\"\n}}\n\
             api_addr = \"{}\"\ncluster_addr = \"https://127.0.0.1:{}\"\npid_file = \"{}\"\n",
            data.display(),
            self.port,
            self.url(),
            free_port()?,
            self.folder.join("pid").display(),
        );
        let file = self.folder.join("openbao.hcl");
        std::fs::write(&file, settings).map_err(TaskError::file("cannot write", &file))
    }

    /// The address for clients.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// The token that may do everything.
    pub fn root_token(&self) -> &str {
        &self.root_token
    }

    /// Lets the program do something as an operator does, such as `["token", "create", "-field=token"]`; gives what it
    /// printed.
    ///
    /// # Errors
    /// Where it fails.
    pub fn run(&self, arguments: &[&str]) -> Result<String, TaskError> {
        output(&mut self.command(arguments))
    }

    /// Writes a token into a file of this server's folder that only its owner can read, in place of one of this name;
    /// gives the file.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn token_file(&self, name: &str, token: &str) -> Result<PathBuf, TaskError> {
        let path = self.folder.join(name);
        let file = std::fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| std::io::Write::write_all(&mut file, token.as_bytes()));
        written.map_err(TaskError::file("cannot write", &path)).map(|()| path)
    }

    /// Starts the server again on the same port and data, if it does not run.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn resume(&mut self) -> Result<(), TaskError> {
        if self.child.is_none() {
            self.spawn()?;
        }
        self.active()
    }

    /// Ends the server as `kill -9` does; [`OpenBao::resume`] starts it again.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A child that has ended already is what is wanted.
            drop(child.kill());
            drop(child.wait());
        }
    }

    fn spawn(&mut self) -> Result<(), TaskError> {
        let log = self.log();
        let told = std::fs::File::create(&log).map_err(TaskError::file("cannot make", &log))?;
        let errors = told.try_clone().map_err(TaskError::file("cannot use", &log))?;
        let mut command = Command::new(&self.program);
        command.arg("server").arg("-config").arg(self.folder.join("openbao.hcl"));
        command.stdin(Stdio::null()).stdout(told).stderr(errors);
        let child = command.spawn();
        self.child = Some(child.map_err(|source| TaskError::Start { program: "bao".to_owned(), source })?);
        // 2 is what it says of one that answers and is sealed, 1 of one that does not answer.
        let answers = || self.command(&["status"]).output().is_ok_and(|told| told.status.code() != Some(1));
        wait_until("OpenBao", &log, answers)
    }

    /// Waits until it is unsealed and the one that answers.
    fn active(&self) -> Result<(), TaskError> {
        let active = || output(&mut self.command(&["read", "sys/mounts"])).is_ok();
        wait_until("OpenBao", &self.log(), active)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("BAO_ADDR", self.url()).env("BAO_TOKEN", &self.root_token);
        // Its own file of tokens is somebody's.
        command.env("HOME", &self.folder).env("BAO_CLIENT_TIMEOUT", "10s").stdin(Stdio::null());
        if let Some(tls) = &self.tls {
            command.env("BAO_CACERT", &tls.certificate);
        }
        command
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
}

impl Drop for OpenBao {
    fn drop(&mut self) {
        self.kill();
        drop(std::fs::remove_dir_all(&self.folder));
    }
}
