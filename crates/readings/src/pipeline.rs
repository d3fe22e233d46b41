//! Taking what is sent: read, parsed, judged and stored, as stages of which none is ahead of the next by more than one block.

use std::sync::Arc;

use axum::http::StatusCode;
use domain::readings::terms::Terms;
use event_store::clock;
use event_store::execute::Executor;
use event_store::readings::{Counts, Portion, ReadingStore, Upload};
use service::auth::Principal;
use service::problem::Problem;
use tokio::io::AsyncRead;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::blocks::{Block, Blocks, Ended};
use crate::judge::{Clocks, judge};
use crate::lines::{Parsed, Parser};
use crate::parameters::Parameters;
use crate::recording::{self, Of, Told};
use crate::{UPLOAD_BYTES_MAX, problems};

/// Takes what is sent of one upload.
pub struct Taking {
    /// What carries commands out.
    pub executor: Executor,
    /// Where readings are kept.
    pub store: Arc<dyn ReadingStore>,
    /// Who sends them.
    pub principal: Principal,
    /// How far the upload has come.
    pub upload: Upload,
    /// What it is to be taken for.
    pub parameters: Parameters,
    /// Whether the upload ends where what is sent now ends; otherwise it ends with its last byte.
    pub ends: bool,
}

/// What became of what was sent.
#[derive(Debug, Default)]
pub struct Taken {
    /// The position of the last event that tells of it.
    pub position: u64,
    /// Why it was not taken to its end, where it was not.
    pub problem: Option<Problem>,
}

impl Taking {
    /// Takes it. What was stored stays, whatever comes behind it.
    pub async fn run(self, source: impl AsyncRead + Unpin) -> Taken {
        let Upload { received, rest, skipping, header, counts, .. } = &self.upload;
        let limit = self.upload.upload.length.unwrap_or(UPLOAD_BYTES_MAX);
        let mut blocks = Blocks::new(source, *received, rest, *skipping, limit);
        let mut parser = Parser::new(self.parameters.format, self.parameters.defaults.clone(), header.as_deref());
        let (to_parse, mut read) = mpsc::channel::<Block>(1);
        let (to_store, mut parsed) = mpsc::channel::<(Block, Parsed)>(1);
        let reading = async move {
            while let Some(block) = blocks.next().await {
                if to_parse.send(block).await.is_err() {
                    break;
                }
            }
            drop(to_parse);
            blocks.ended()
        };
        let (mut before, whole, ends) = (counts.lines, self.upload.upload.length, self.ends);
        let parsing = async move {
            while let Some(mut block) = read.recv().await {
                // What is whole in bytes may lack the end of its last line.
                if whole == Some(block.to) {
                    finish(&mut block);
                }
                let parse = move || {
                    let found = parser.parse(&block.lines, before);
                    (parser, block, found)
                };
                let (returned, block, found) = tokio::task::spawn_blocking(parse).await.ok()?;
                parser = returned;
                before += found.lines;
                if to_store.send((block, found)).await.is_err() {
                    break;
                }
            }
            Some(())
        };
        let storing = async {
            let mut from = *received;
            let mut taken = Taken::default();
            while let Some((block, parsed)) = parsed.recv().await {
                let to = block.to;
                match self.store(from, block, parsed).await {
                    Ok(position) => taken.position = taken.position.max(position),
                    Err(problem) => {
                        taken.problem = Some(problem);
                        break;
                    }
                }
                from = to;
            }
            // Whoever reads and parses stops as well.
            drop(parsed);
            (taken, from)
        };
        let (ended, parsed, (mut taken, from)) = tokio::join!(reading, parsing, storing);
        if taken.problem.is_none() {
            match (parsed, self.end(ended, from, ends)) {
                // The parser panicked: what it did not tell is not there.
                (None, _) => taken.problem = Some(Problem::internal()),
                (Some(()), end) => match end.await {
                    Ok(position) => taken.position = taken.position.max(position),
                    Err(problem) => taken.problem = Some(problem),
                },
            }
        }
        taken
    }

    /// What is left when nothing more comes.
    async fn end(&self, ended: Ended, from: u64, ends: bool) -> Result<u64, Problem> {
        match ended {
            Ended::Whole => {}
            Ended::Beyond => {
                let detail = "The body is longer than there may be; what was stored of it stays.";
                return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail));
            }
            Ended::Broken(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "an upload broke off");
                let detail =
                    "The body could not be read to its end. What was stored of it stays: send it again, or go on.";
                return Err(Problem::invalid("body", "unreadable", detail));
            }
        }
        let upload = self.store.upload(self.upload.upload.upload_id).await.map_err(problems::from_readings)?;
        let Some(upload) = upload.filter(|upload| ends && upload.ended_at.is_none()) else { return Ok(0) };
        // The last line has no end: it is one all the same.
        let mut block =
            Block { lines: Vec::new().into(), to: from, rest: upload.rest.clone(), skipping: upload.skipping };
        finish(&mut block);
        let Parameters { format, defaults, .. } = &self.parameters;
        let mut parser = Parser::new(*format, defaults.clone(), upload.header.as_deref());
        let parsed = parser.parse(&block.lines, upload.counts.lines);
        self.store_at_end(from, block, parsed, true).await
    }

    async fn store(&self, from: u64, block: Block, parsed: Parsed) -> Result<u64, Problem> {
        let at_end = self.upload.upload.length == Some(block.to);
        self.store_at_end(from, block, parsed, at_end).await
    }

    /// Stores a block and tells the log of it; gives the position up to which the log tells of it.
    async fn store_at_end(&self, from: u64, block: Block, parsed: Parsed, at_end: bool) -> Result<u64, Problem> {
        let upload = &self.upload.upload;
        if let Some(message) = parsed.unreadable {
            let detail = format!("The first line must name the columns: {message}.");
            return Err(Problem::invalid("body", "columns", detail));
        }
        let devices = parsed.devices.clone();
        let asked = recording::terms(&self.executor, upload.patient_id, upload.trial_id, devices).await;
        let terms: Terms = asked.map_err(problems::from_execute)?;
        let now = clock::now();
        let clocks = Clocks { now, ahead_seconds: self.parameters.clock_ahead_seconds };
        let (parcels, refused) = judge(&parsed, &terms, upload.trial_id, clocks, Uuid::now_v7);
        let portion = Portion {
            upload_id: upload.upload_id,
            from,
            to: block.to,
            rest: block.rest,
            skipping: block.skipping,
            lines: parsed.lines,
            header: parsed.header,
            parcels,
            refused: parsed.refused.into_iter().chain(refused).collect(),
            ended_at: at_end.then_some(now),
            now,
        };
        let stored = self.store.store(&portion).await.map_err(problems::from_readings)?;
        let of = Of {
            principal: &self.principal,
            upload_id: upload.upload_id,
            patient_id: upload.patient_id,
            trial_id: upload.trial_id,
        };
        let (mut position, mut counts) = (0, Counts { known: stored.known, ..Counts::default() });
        counts.refused = portion.refused.len() as u64 + stored.refused;
        let mut sender_refused = None;
        for (parcel, new) in portion.parcels.iter().zip(&stored.new) {
            let told = recording::record(&self.executor, &*self.store, of, terms.zone, parcel, new);
            match told.await.map_err(problems::from_record)? {
                Some(Told::At(at)) => {
                    position = position.max(at);
                    *(if parcel.apart { &mut counts.apart } else { &mut counts.stored }) += new.len() as u64;
                }
                Some(Told::Refused(error)) => {
                    counts.refused += new.len() as u64;
                    // What else was stored is told by who sent it all the same.
                    sender_refused = sender_refused.or(problems::unless_of_readings(*error).err());
                }
                None => {}
            }
        }
        tell(counts);
        sender_refused.map_or(Ok(position), Err)
    }
}

/// Takes what is left for a line.
fn finish(block: &mut Block) {
    if !block.rest.is_empty() {
        let mut lines = block.lines.to_vec();
        lines.append(&mut block.rest);
        lines.push(b'\n');
        block.lines = lines.into();
    }
    block.skipping = false;
}

fn tell(counts: Counts) {
    let outcomes =
        [("stored", counts.stored), ("apart", counts.apart), ("known", counts.known), ("refused", counts.refused)];
    for (outcome, count) in outcomes {
        metrics::counter!("anamnesis_readings_total", "outcome" => outcome).increment(count);
    }
}
