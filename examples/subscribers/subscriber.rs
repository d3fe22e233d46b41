//! Keeps a copy of every event of a log, in the log's order, and goes on where it stopped.
//!
//! `cargo run --package anamnesis --example subscriber -- nats://127.0.0.1:4222 <folder> [<log id>]`
//!
//! README.md beside this file says what the folder holds, and what is proved of every message; a project of its own needs
//! the crates `async-nats`, `base64`, `futures`, `percent-encoding`, `reqwest`, `ring`, `rustls`, `serde`, `serde_json`, `tokio`.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::{self, Context, stream::Stream};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures::{StreamExt, TryStreamExt};
use percent_encoding::percent_decode_str;
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

type Error = Box<dyn std::error::Error + Send + Sync>;

const STREAM_PREFIX: &str = "ANAMNESIS_EVENTS_";
/// Events after which the checkpoint is saved, even if more are waiting.
const UNSAVED_MAX: u64 = 256;
/// Quiet after which it is looked whether the stream is still the same one, and has no more.
const QUIET: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, folder, log @ ..] = arguments.as_slice() else {
        return Err("give the address of NATS and a folder".into());
    };
    let context = jetstream::new(async_nats::connect(url).await?);
    let log_id = match log.first() {
        Some(log_id) => log_id.clone(),
        None => only_log(&context).await?,
    };
    let mut copy = Copy::open(Path::new(folder), &log_id)?;
    let mut keys = Keys::open(std::env::var_os("ANAMNESIS_EVENT_KEYS").map(PathBuf::from))?;
    loop {
        match follow(&context, &log_id, &mut copy, &mut keys).await {
            Ok(()) => eprintln!("the stream was made anew, or fell silent; proving the checkpoint again"),
            Err(Failure::Stop(error)) => return Err(error),
            // NATS is away, or the stream is not there yet.
            Err(Failure::Nats(error)) => {
                eprintln!("NATS: {error}; trying again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Why the stream is followed no more.
enum Failure {
    /// NATS does not answer as it should: trying again may help.
    Nats(Error),
    /// A person has to look.
    Stop(Error),
}

fn nats(error: impl Into<Error>) -> Failure {
    Failure::Nats(error.into())
}

/// Follows the stream until it is another one, or says nothing although it has more.
async fn follow(context: &Context, log_id: &str, copy: &mut Copy, keys: &mut Keys) -> Result<(), Failure> {
    let stream = context.get_stream(format!("{STREAM_PREFIX}{log_id}")).await.map_err(nats)?;
    let created = stream.get_info().await.map_err(nats)?.created;
    let deliver_policy = begin(&stream, &copy.checkpoint).await;
    let mut heard = match deliver_policy {
        DeliverPolicy::ByStartSequence { start_sequence } => start_sequence - 1,
        _ => 0,
    };
    let config = OrderedConfig {
        // Control messages come in order between the events.
        filter_subject: format!("anamnesis.{log_id}.>"),
        deliver_policy,
        ..OrderedConfig::default()
    };
    let mut messages = stream.create_consumer(config).await.map_err(nats)?.messages().await.map_err(nats)?;
    loop {
        let Ok(message) = tokio::time::timeout(QUIET, messages.next()).await else {
            // A stream that was deleted and filled anew has other sequences: a consumer of the old ones hears nothing.
            let now = stream.get_info().await.map_err(nats)?;
            if now.created != created || now.state.last_sequence > heard {
                return Ok(());
            }
            continue;
        };
        let Some(message) = message else { return Ok(()) };
        let message = message.map_err(nats)?;
        let info = message.info().map_err(nats)?;
        heard = info.stream_sequence;
        let waiting = info.pending;
        let headers = message.headers.clone().unwrap_or_default();
        match keys.verify(&headers, &message.payload) {
            Ok(()) => copy.hear(&headers, &message.payload, heard).await.map_err(Failure::Stop)?,
            // What the log has in its place comes, or is missed and filled up.
            Err(why) => eprintln!("message {heard} is not the relay's: {why}; passed over"),
        }
        if waiting == 0 || copy.unsaved >= UNSAVED_MAX {
            copy.save().map_err(Failure::Stop)?;
        }
    }
}

/// The log that has the only stream on this NATS.
async fn only_log(context: &Context) -> Result<String, Error> {
    let names: Vec<String> = context.stream_names().try_collect().await?;
    let logs: Vec<&str> = names.iter().filter_map(|name| name.strip_prefix(STREAM_PREFIX)).collect();
    match logs[..] {
        [log_id] => Ok(log_id.to_owned()),
        _ => Err(format!("{} logs have a stream here: give the log's id", logs.len()).into()),
    }
}

/// Behind the checkpoint's event, if it is still where it was; otherwise from the stream's beginning: what comes again
/// is passed over.
async fn begin(stream: &Stream, checkpoint: &Checkpoint) -> DeliverPolicy {
    let there = stream.get_raw_message(checkpoint.sequence).await;
    let id = there.ok().and_then(|message| text(&message.headers, "ce-id"));
    if id.is_some() && id == checkpoint.event_id {
        return DeliverPolicy::ByStartSequence { start_sequence: checkpoint.sequence + 1 };
    }
    DeliverPolicy::All
}

/// The text of a header, percent-decoded.
fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.as_str();
    Some(percent_decode_str(value).decode_utf8().ok()?.into_owned())
}

/// The relay's public keys, in a file as `GET /v1/event-keys` has them; without a file nothing is verified.
struct Keys {
    file: Option<PathBuf>,
    known: HashMap<String, Vec<u8>>,
}

impl Keys {
    fn open(file: Option<PathBuf>) -> Result<Self, Error> {
        let known = file.as_deref().map(Self::read).transpose()?.unwrap_or_default();
        Ok(Self { file, known })
    }

    fn read(file: &Path) -> Result<HashMap<String, Vec<u8>>, Error> {
        let set: Value = serde_json::from_slice(&std::fs::read(file)?)?;
        let listed = set["keys"].as_array().ok_or("the file of keys has no list `keys`")?;
        let field = |key: &Value, name: &str| key[name].as_str().unwrap_or_default().to_owned();
        let key = |key| Ok((field(key, "kid"), BASE64_URL_SAFE_NO_PAD.decode(field(key, "x"))?));
        listed.iter().map(key).collect()
    }

    /// Proves that the relay signed a message.
    fn verify(&mut self, headers: &HeaderMap, data: &[u8]) -> Result<(), String> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut given = BTreeMap::new();
        for (name, values) in headers.iter() {
            let name = AsRef::<str>::as_ref(name).to_ascii_lowercase();
            for value in values.iter().filter(|_| name.starts_with("ce-")) {
                if given.insert(name.clone(), value.as_str()).is_some() {
                    return Err("a header is there twice".to_owned());
                }
            }
        }
        let signature = given.remove("ce-signature").ok_or("it is not signed")?;
        let (id, hash) = (given.get("ce-keyid"), given.get("ce-datahash"));
        let (Some(id), Some(hash)) = (id, hash) else { return Err("it is not signed".to_owned()) };
        if !self.known.contains_key(*id) {
            // The relay may have another key since.
            self.known = Self::read(file).map_err(|error| error.to_string())?;
        }
        let key = self.known.get(*id).ok_or_else(|| format!("it is signed by a key that was not given ({id})"))?;
        let mut text = "anamnesis-event-signature-v1\n".to_owned();
        given.iter().for_each(|(name, value)| text.push_str(&format!("{name}:{value}\n")));
        let forged = "its signature does not hold";
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| forged)?;
        UnparsedPublicKey::new(&ED25519, key).verify(text.as_bytes(), &signature).map_err(|_| forged)?;
        let holds = match given.contains_key("ce-dataref") {
            true => data.is_empty(),
            false => BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, data)) == **hash,
        };
        if holds { Ok(()) } else { Err("its payload is not the one that was signed".to_owned()) }
    }
}

/// How far the subscriber has come.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Checkpoint {
    log_id: String,
    epoch: u64,
    position: u64,
    event_id: Option<String>,
    /// Where the event stood in the stream: only to find it faster.
    sequence: u64,
    /// How long the copy was then: what was written behind it is cut off and comes again.
    bytes: u64,
}

/// An event, wherever it was heard.
struct Heard {
    position: u64,
    id: String,
    line: Value,
}

/// The copy of the log, and its checkpoint.
struct Copy {
    events: File,
    checkpoint: Checkpoint,
    file: PathBuf,
    unsaved: u64,
}

impl Copy {
    fn open(folder: &Path, log_id: &str) -> Result<Self, Error> {
        std::fs::create_dir_all(folder)?;
        let file = folder.join("checkpoint.json");
        let checkpoint = match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Checkpoint { log_id: log_id.to_owned(), epoch: 1, position: 0, event_id: None, sequence: 0, bytes: 0 }
            }
            Err(error) => return Err(error.into()),
        };
        if checkpoint.log_id != log_id {
            return Err(format!("the checkpoint is of the log {}, this is {log_id}", checkpoint.log_id).into());
        }
        let mut options = File::options();
        let mut events =
            options.read(true).write(true).create(true).truncate(false).open(folder.join("events.jsonl"))?;
        events.set_len(checkpoint.bytes)?;
        events.seek(SeekFrom::End(0))?;
        Ok(Self { events, checkpoint, file, unsaved: 0 })
    }

    /// Takes a message, after proving that it is the next one.
    async fn hear(&mut self, headers: &HeaderMap, data: &[u8], sequence: u64) -> Result<(), Error> {
        let number = |name: &str| text(headers, name).and_then(|text| text.parse::<u64>().ok());
        let (Some(epoch), Some(position), Some(id), Some(kind)) =
            (number("ce-epoch"), number("ce-position"), text(headers, "ce-id"), text(headers, "ce-type"))
        else {
            eprintln!("message {sequence} is no event of a log; passed over");
            return Ok(());
        };
        if text(headers, "ce-logid").as_ref() != Some(&self.checkpoint.log_id) {
            eprintln!("message {sequence} is of another log; passed over");
            return Ok(());
        }
        if text(headers, "ce-subject").is_none() {
            return self.turn(epoch, &serde_json::from_slice(data)?);
        }
        if epoch < self.checkpoint.epoch {
            eprintln!("message {sequence} is of the epoch {epoch}, which has ended; passed over");
            return Ok(());
        }
        if epoch > self.checkpoint.epoch {
            return Err(format!("epoch {epoch} began and nobody said where: copy the log anew").into());
        }
        let line = json!({
            "position": position, "id": id, "type": kind, "stream": text(headers, "ce-subject"),
            "data": serde_json::from_slice::<Value>(data).ok(), "dataRef": text(headers, "ce-dataref"),
        });
        if position > self.checkpoint.position + 1 {
            self.fill_up_to(position - 1).await?;
        }
        if self.take(Heard { position, id, line })? {
            self.checkpoint.sequence = sequence;
        }
        Ok(())
    }

    /// Writes down an event that is the next; tells whether it was.
    fn take(&mut self, event: Heard) -> Result<bool, Error> {
        let Heard { position, id, line } = event;
        if position == self.checkpoint.position && self.checkpoint.event_id.as_ref().is_some_and(|known| *known != id) {
            return Err(format!("the log has another event at position {position}: stop and look").into());
        }
        if position <= self.checkpoint.position {
            // It came again.
            return Ok(false);
        }
        let line = format!("{line}\n");
        self.events.write_all(line.as_bytes())?;
        self.checkpoint.bytes += line.len() as u64;
        (self.checkpoint.position, self.checkpoint.event_id) = (position, Some(id));
        self.unsaved += 1;
        Ok(true)
    }

    /// Heeds a control message: where the log began a new epoch, what was taken after the place where it did never
    /// happened.
    fn turn(&mut self, epoch: u64, begun: &Value) -> Result<(), Error> {
        if epoch <= self.checkpoint.epoch {
            return Ok(());
        }
        let later = begun["epochs"].as_array().into_iter().flatten();
        let later = later.filter(|began| began["epoch"].as_u64() > Some(self.checkpoint.epoch));
        // Where nothing is known of the epoch, everything is taken again.
        let kept = later.filter_map(|began| began["afterPosition"].as_u64()).min().unwrap_or(0);
        if kept < self.checkpoint.position {
            eprintln!("the log lost events: what came after position {kept} is forgotten");
            self.cut(kept)?;
        }
        self.checkpoint.epoch = epoch;
        self.save()
    }

    /// Cuts the copy off behind a position.
    fn cut(&mut self, position: u64) -> Result<(), Error> {
        self.events.seek(SeekFrom::Start(0))?;
        let (mut bytes, mut last) = (0, None);
        for line in BufReader::new(&self.events).lines() {
            let line = line?;
            let event: Value = serde_json::from_str(&line)?;
            if event["position"].as_u64() > Some(position) {
                break;
            }
            bytes += line.len() as u64 + 1;
            last = event["id"].as_str().map(str::to_owned);
        }
        self.events.set_len(bytes)?;
        self.events.seek(SeekFrom::End(0))?;
        let Checkpoint { log_id, epoch, sequence, .. } = &self.checkpoint;
        let (log_id, epoch, sequence) = (log_id.clone(), *epoch, *sequence);
        self.checkpoint = Checkpoint { log_id, epoch, position, event_id: last, sequence, bytes };
        Ok(())
    }

    /// Saves what was written, then the checkpoint, whole or not at all whenever the process is ended.
    fn save(&mut self) -> Result<(), Error> {
        self.events.sync_data()?;
        let part = self.file.with_extension("part");
        std::fs::write(&part, serde_json::to_vec(&self.checkpoint)?)?;
        std::fs::rename(part, &self.file)?;
        self.unsaved = 0;
        Ok(())
    }

    /// Takes from the query API what the stream no longer has.
    async fn fill_up_to(&mut self, position: u64) -> Result<(), Error> {
        let (Ok(url), Ok(token)) = (std::env::var("ANAMNESIS_URL"), std::env::var("ANAMNESIS_TOKEN")) else {
            let first = self.checkpoint.position + 1;
            return Err(format!(
                "the stream lacks positions {first} to {position}: set ANAMNESIS_URL and ANAMNESIS_TOKEN"
            )
            .into());
        };
        eprintln!("the stream has a gap up to position {position}; filled by the query API");
        // The event's id proves that the log still has it.
        let after = self.checkpoint.event_id.clone().unwrap_or_else(|| self.checkpoint.position.to_string());
        // Where reqwest is built with TLS and without a provider of its own, one must be there; the first stays.
        drop(rustls::crypto::ring::default_provider().install_default());
        let request = reqwest::Client::new().get(format!("{url}/v1/events?after={after}")).bearer_auth(token);
        let mut response = request.send().await?;
        if !response.status().is_success() {
            return Err(format!("the query API says {}: {}", response.status(), response.text().await?).into());
        }
        let mut text = String::new();
        while self.checkpoint.position < position {
            let piece = response.chunk().await?.ok_or("the query API ended the stream; start again")?;
            text.push_str(&String::from_utf8(piece.to_vec())?);
            while let Some((frame, rest)) = text.split_once("\n\n") {
                if let Some(event) = frame.lines().find_map(|line| line.strip_prefix("data: "))
                    && self.checkpoint.position < position
                {
                    self.take(stored(event)?)?;
                }
                text = rest.to_owned();
            }
        }
        Ok(())
    }
}

/// An event as the query API sends it.
fn stored(text: &str) -> Result<Heard, Error> {
    let event: Value = serde_json::from_str(text)?;
    let field = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let stream = format!(
        "{}/{}",
        event["stream"]["type"].as_str().unwrap_or_default(),
        event["stream"]["id"].as_str().unwrap_or_default()
    );
    let position = event["position"].as_u64().ok_or("an event without a position")?;
    let line = json!({
        "position": position, "id": field("event_id"), "type": field("type"), "stream": stream,
        "data": event["payload"], "dataRef": null,
    });
    Ok(Heard { position, id: field("event_id"), line })
}
