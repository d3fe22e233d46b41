//! One settings file for every command of an installation.

use tempfile::TempDir;

use crate::system::{run_with_file, text};

#[test]
fn a_servers_file_serves_every_command() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("anamnesis.toml");
    let settings = "listen = \"127.0.0.1:1\"\ndata_dir = \"kept\"\nrequests_max = 7\nurl = \"http://127.0.0.1:1\"\n";
    std::fs::write(&file, settings).expect("it is written");
    std::fs::create_dir(folder.path().join("kept")).expect("a folder");
    std::fs::write(folder.path().join("kept/jwt.key"), "0f".repeat(32)).expect("a key");
    let commands: [&[&str]; 2] = [&["migrate"], &["token", "--role", "auditor", "--subject", "a"]];
    for command in commands {
        let output = run_with_file(&file, command, folder.path());
        assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    }
    assert!(folder.path().join("kept/log.db").is_file());
    std::fs::write(&file, "listn = \"127.0.0.1:1\"\n").expect("it is written");
    for command in commands {
        let output = run_with_file(&file, command, folder.path());
        assert_eq!(output.status.code(), Some(2));
        let told = text(&output.stderr);
        assert!(told.contains("`listn`") && told.contains("`listen`"), "{told}");
    }
}
