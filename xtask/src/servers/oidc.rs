//! A private OpenID Connect provider: npm's `oidc-provider`, a certified implementation.

use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{abandoned_folders, free_port, scratch_folder, wait_until};
use crate::process::TaskError;
use crate::tools::npm_folder;

/// What runs it.
const SCRIPT: &str = include_str!("../../tools/oidc-provider.mjs");

/// What a provider is told at its start.
#[derive(Clone, Debug)]
pub struct OidcOptions {
    /// For whom its tokens are meant.
    pub audience: String,
    /// Clients that may have tokens in their own name; each has the secret `secret of <name>`.
    pub clients: Vec<String>,
    /// Seconds for which it says that its keys may be kept; without it it says nothing.
    pub max_age: Option<u64>,
    /// Certificate and key, in PEM: it is asked by TLS then.
    pub tls: Option<(String, String)>,
}

/// A private provider: free ports, temporary folder. Stopped and removed on drop.
#[derive(Debug)]
pub struct OidcProvider {
    folder: PathBuf,
    port: u16,
    admin_port: u16,
    options: OidcOptions,
    child: Option<Child>,
}

impl OidcProvider {
    /// Starts a provider.
    ///
    /// # Errors
    /// Where npm's packages cannot be installed, or it does not start.
    pub fn start(options: OidcOptions) -> Result<Self, TaskError> {
        for folder in abandoned_folders("oidc") {
            drop(std::fs::remove_dir_all(folder));
        }
        let folder = scratch_folder("oidc")?;
        let mut server = Self { folder, port: free_port()?, admin_port: free_port()?, options, child: None };
        // Node finds packages beside a script.
        let packages = server.folder.join("node_modules");
        symlink(npm_folder()?.join("node_modules"), &packages).map_err(TaskError::file("cannot link", &packages))?;
        server.write("provider.mjs", SCRIPT)?;
        if let Some((certificate, key)) = server.options.tls.clone() {
            server.write("certificate.pem", &certificate)?;
            server.write("key.pem", &key)?;
        }
        server.resume()?;
        Ok(server)
    }

    /// Its issuer, as in its tokens.
    pub fn issuer(&self) -> String {
        let scheme = if self.options.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.port)
    }

    /// Where it is told what to do, and gives tokens: never by TLS.
    pub fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin_port)
    }

    /// Starts it again on the same ports and with the same keys, if it does not run.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn resume(&mut self) -> Result<(), TaskError> {
        if self.child.is_some() {
            return Ok(());
        }
        let log = self.folder.join("log");
        let output = std::fs::File::create(&log).map_err(TaskError::file("cannot make", &log))?;
        let mut command = Command::new("node");
        command.arg("provider.mjs").current_dir(&self.folder).env("ISSUER", self.issuer());
        command.env("PORT", self.port.to_string()).env("ADMIN_PORT", self.admin_port.to_string());
        command.env("AUDIENCE", &self.options.audience).env("CLIENTS", self.options.clients.join(" "));
        command.env("KEYS", "keys.json");
        if let Some(seconds) = self.options.max_age {
            command.env("MAX_AGE", seconds.to_string());
        }
        if self.options.tls.is_some() {
            command.env("CERT", "certificate.pem").env("KEY", "key.pem");
        }
        // It ends when its input does: with this process, however that ends.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(output);
        let child = command.spawn();
        self.child = Some(child.map_err(|source| TaskError::Start { program: "node".to_owned(), source })?);
        // The last that it does.
        let port = self.admin_port;
        wait_until("oidc-provider", &log, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())
    }

    /// Ends it as `kill -9` does; [`OidcProvider::resume`] starts it again.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A child that has ended already is what is wanted.
            drop(child.kill());
            drop(child.wait());
        }
    }

    fn write(&self, name: &str, text: &str) -> Result<(), TaskError> {
        let file: &Path = &self.folder.join(name);
        std::fs::write(file, text).map_err(TaskError::file("cannot write", file))
    }
}

impl Drop for OidcProvider {
    fn drop(&mut self) {
        self.kill();
        drop(std::fs::remove_dir_all(&self.folder));
    }
}
