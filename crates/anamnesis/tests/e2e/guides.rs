//! The guides' shell blocks that are marked as tested are run as they stand.
//!
//! A block that begins with "```sh tested" belongs to its guide's script: all of them, in order, in one `sh -eu`, in
//! an empty folder, with `anamnesis` (and `curl`, `jq`, `python3`) on the PATH. Wherever a guide says `127.0.0.1:8080`
//! or `127.0.0.1:9464` a free port is meant. A server with its data in `./anamnesis-data` runs there already, unless
//! the first block is marked "```sh tested from scratch": then the script starts its own, and whatever it leaves
//! running ends with it.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::system::{BINARY, Process, clean};

const MARK: &str = "```sh tested";
const FROM_SCRATCH: &str = "```sh tested from scratch";

/// Guides with a script, by file name. One that is missing here is found by a test.
macro_rules! guides {
    ($($name:ident: $file:literal),+ $(,)?) => {
        const GUIDES: &[&str] = &[$($file),+];
        $(#[tokio::test]
        async fn $name() {
            follow($file).await;
        })+
    };
}

guides! {
    accounts: "accounts.md",
    audit: "audit.md",
    build_an_app: "build-an-app.md",
    operate: "operate.md",
    subscribe: "subscribe-to-events.md",
    unblind: "unblind.md",
}

/// A guide's script.
struct Script {
    text: String,
    starts_its_own: bool,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides")
}

/// The tested blocks of a guide, each announced by where it stands; nothing where there is none.
fn script(file: &str) -> Option<Script> {
    let guide = std::fs::read_to_string(folder().join(file)).expect("the guide");
    let mut text = String::new();
    let mut starts_its_own = None;
    let mut is_inside = false;
    for (index, line) in guide.lines().enumerate() {
        if is_inside {
            is_inside = line != "```";
            if is_inside {
                text.push_str(line);
                text.push('\n');
            }
        } else if line.starts_with(MARK) {
            is_inside = true;
            starts_its_own.get_or_insert(line == FROM_SCRATCH);
            text.push_str(&format!("echo '--- {file}, line {}' >&2\n", index + 1));
        }
    }
    assert!(!is_inside, "{file}: a block does not end");
    Some(Script { text, starts_its_own: starts_its_own? })
}

async fn follow(file: &str) {
    let script = script(file).expect("a tested block");
    let folder = TempDir::new().expect("a folder");
    let port = || xtask::servers::free_port().expect("a free port").to_string();
    let server = if script.starts_its_own {
        None
    } else {
        let mut process = Process::start("serve", folder.path(), &[]);
        process.ready().await;
        Some(process)
    };
    let port_of_server =
        server.as_ref().and_then(|process| process.url.rsplit(':').next()).map_or_else(port, str::to_owned);
    let text = script.text.replace("127.0.0.1:8080", &format!("127.0.0.1:{port_of_server}"));
    let text = text.replace("127.0.0.1:9464", &format!("127.0.0.1:{}", port()));
    let path = std::env::join_paths(
        Path::new(BINARY)
            .parent()
            .map(Path::to_owned)
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").expect("a PATH"))),
    );
    let mut shell = clean(Command::new("sh"), folder.path());
    // Tools find the server where the guide's reader has it: at the default address.
    shell.env("ANAMNESIS_URL", format!("http://127.0.0.1:{port_of_server}"));
    shell.env("ANAMNESIS_LISTEN", format!("127.0.0.1:{port_of_server}")).env("PATH", path.expect("a PATH"));
    let told = folder.path().join("..told");
    let file_of = || std::fs::File::options().create(true).append(true).open(&told).expect("a file");
    shell.args(["-eu", "-c", &text]).process_group(0).stdout(file_of()).stderr(file_of()).stdin(Stdio::null());
    let mut child = shell.spawn().expect("sh");
    let group = Pid::from_child(&child);
    let status = tokio::task::spawn_blocking(move || child.wait()).await.expect("it is waited for").expect("its end");
    // Whatever the script left running.
    let _ = kill_process_group(group, Signal::KILL);
    let told = std::fs::read_to_string(&told).unwrap_or_default();
    let server = server.map(|process| process.told()).unwrap_or_default();
    assert!(status.success(), "{file} does not work as it is written ({status}):\n{told}\n{server}");
}

#[test]
fn every_guide_with_a_script_is_followed() {
    for entry in std::fs::read_dir(folder()).expect("the guides").flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        if file.ends_with(".md") {
            assert_eq!(
                script(&file).is_some(),
                GUIDES.contains(&file.as_str()),
                "{file}: list it in `guides!`, or mark a block"
            );
        }
    }
}
