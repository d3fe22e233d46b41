//! A client that sends what it is told to, byte by byte.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Long enough for any answer on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// One connection.
pub struct Client(TcpStream);

impl Client {
    /// Connects and sends this.
    pub async fn send(address: std::net::SocketAddr, text: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(text.as_bytes()).await.expect("it is sent");
        Self(stream)
    }

    /// Sends more.
    pub async fn more(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.expect("it is sent");
    }

    /// What the server says until it closes the connection.
    pub async fn rest(&mut self) -> String {
        let mut text = Vec::new();
        // The server may close with data that it has not read: a reset is an end, too.
        let read = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut text)).await.expect("it ends");
        drop(read);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The answer's first line and header.
    pub async fn head(&mut self) -> String {
        let mut text = Vec::new();
        let read = async {
            while !text.ends_with(b"\r\n\r\n") {
                match self.0.read_u8().await {
                    Ok(byte) => text.push(byte),
                    Err(_) => break,
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("an answer");
        String::from_utf8(text).expect("text")
    }
}

/// What the server answers to a request by itself.
pub async fn answer(address: std::net::SocketAddr, request: &str) -> String {
    Client::send(address, request).await.head().await
}

/// The answer's status.
pub fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}

/// A request without a body.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}
