//! Prints the events of one trial as they happen, heard on JetStream by subject filter.
//!
//! `cargo run --package event-bus --example subscriber -- nats://127.0.0.1:4222 <trial id>`

use async_nats::jetstream::consumer::pull::OrderedConfig;
use event_bus::message::position;
use event_bus::topology::{STREAM, SUBJECT_PREFIX};
use futures::StreamExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, url, trial] = arguments.as_slice() else { return Err("give the NATS address and a trial's id".into()) };
    let context = async_nats::jetstream::new(async_nats::connect(url).await?);
    let stream = context.get_stream(STREAM).await?;
    let filter_subject = format!("{SUBJECT_PREFIX}.{trial}.>");
    let consumer = stream.create_consumer(OrderedConfig { filter_subject, ..OrderedConfig::default() }).await?;
    let mut messages = consumer.messages().await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        let position = message.headers.as_ref().and_then(position).unwrap_or_default();
        eprintln!("{position:>8}  {}  {}", message.subject, String::from_utf8_lossy(&message.payload));
    }
    Ok(())
}
