//! One settings file for every command of an installation.

use std::time::Duration;

use tempfile::TempDir;

use crate::system::{Process, http, make_key, make_master_key, run, run_with_file, text};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_servers_file_serves_every_command() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("anamnesis.toml");
    let settings = "listen = \"127.0.0.1:1\"\ndata_dir = \"kept\"\nrequests_max = 7\nurl = \"http://127.0.0.1:1\"\n";
    std::fs::write(&file, settings).expect("it is written");
    std::fs::create_dir(folder.path().join("kept")).expect("a folder");
    make_key(&folder.path().join("kept/signing.pem"));
    let commands: [&[&str]; 2] = [&["migrate"], &["token", "--account", "a"]];
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

#[tokio::test]
async fn why_a_database_cannot_be_used_is_told_once_and_in_its_own_words() {
    let folder = TempDir::new().expect("a folder");
    let database = testkit::postgres().await;
    let (server, name) = database.url.rsplit_once('/').expect("an address");
    let port = xtask::servers::free_port().expect("a free port");
    let cases = [
        (format!("postgres://x@127.0.0.1:{port}/x"), "Connection refused", format!("127.0.0.1:{port}")),
        (format!("{server}/no_{name}"), "does not exist", "127.0.0.1".to_owned()),
    ];
    for (url, cause, place) in cases {
        for command in ["migrate", "serve"] {
            let arguments = [command, "--database-url", &url];
            let told = text(&run(&arguments, folder.path()).stderr);
            assert_eq!(told.matches(cause).count(), 1, "{told}");
            assert!(told.contains(&place) && !told.contains("at line") && !told.contains("pool"), "{told}");
        }
    }
}

/// While it serves, too: a pool alone would only tell that its time is up.
#[tokio::test(flavor = "multi_thread")]
async fn why_a_database_went_away_is_in_the_log() {
    let cluster = tokio::task::block_in_place(xtask::servers::PostgresCluster::start).expect("a server");
    let folder = TempDir::new().expect("a folder");
    let key = folder.path().join("signing.pem");
    make_key(&key);
    let master = make_master_key(folder.path());
    let key = key.to_string_lossy();
    let url = cluster.url("postgres");
    for words in [&["migrate"] as &[&str], &["administrator", "audit-1"]] {
        assert!(
            run(&[words, &["--database-url", &url, "--master-key-file", &master]].concat(), folder.path())
                .status
                .success(),
            "{words:?}"
        );
    }
    let arguments =
        ["--database-url", &url, "--signing-key-file", &key, "--master-key-file", &master].map(str::to_owned);
    let mut process = Process::start("query-api", folder.path(), &arguments);
    let issue = ["token", "--signing-key-file", &key, "--account", "audit-1"];
    let token = text(&run(&issue, folder.path()).stdout).trim().to_owned();
    let ask = async || {
        let asked = http().get(format!("{}/v1/views", process.url)).bearer_auth(&token).send().await;
        asked.map(|answer| answer.status().as_u16()).unwrap_or_default()
    };
    testkit::eventually("it answers", PATIENCE, async || ask().await == 200).await;
    tokio::task::block_in_place(|| cluster.crash()).expect("the server dies");
    let told = async || {
        let status = ask().await;
        assert_ne!(status, 500, "{}", process.told());
        status == 503 && process.told().contains("Connection refused")
    };
    testkit::eventually("the cause is told", PATIENCE, told).await;
    assert!(!process.told().contains("pool timed out"), "{}", process.told());
    process.kill();
}
