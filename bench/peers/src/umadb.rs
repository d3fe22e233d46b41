//! UmaDB: its server in this process, appends without conditions over gRPC.

use std::error::Error;
use std::sync::Arc;

use umadb_client::UmaDbClient;
use umadb_core::mvcc::StorageOptions;
use umadb_dcb::{DcbEvent, DcbEventStoreAsync};
use umadb_server::{ServerOptions, start_server_with_options};
use uuid::Uuid;

use crate::{Arguments, STREAMS, closed_loop, payload};

/// Appends a second.
pub async fn rate(arguments: &Arguments) -> Result<f64, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let options = ServerOptions {
        listen_addr: format!("127.0.0.1:{port}"),
        tls: None,
        api_key: None,
        storage: StorageOptions::default().db_path(&folder.path().join("events.db")),
    };
    let (_shutdown, stopped) = tokio::sync::oneshot::channel();
    // Ends with the process.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { start_server_with_options(options, stopped).await.map_err(|error| error.to_string()) })
    });
    let url = format!("http://127.0.0.1:{port}");
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(Arc::new(UmaDbClient::new(url.clone()).connect_async().await?));
    }
    closed_loop(arguments, |caller| {
        let (client, mut stream) = (clients[caller % clients.len()].clone(), caller * 31);
        move || {
            stream = (stream + 1_237) % STREAMS;
            let event = DcbEvent::default()
                .event_type("ObservationRecorded")
                .tags([format!("patient-{stream}"), format!("trial-{}", stream % 20), format!("site-{}", stream % 200)])
                .data(format!(r#"{{"code":"VITALS","value":"{}","unit":"mm[Hg]"}}"#, payload()).as_bytes())
                .uuid(Uuid::now_v7());
            let client = client.clone();
            async move { client.append(vec![event], None, None).await.map(drop).map_err(|error| error.to_string()) }
        }
    })
    .await
}
