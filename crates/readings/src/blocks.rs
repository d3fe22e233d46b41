//! The first stage: what comes is cut into blocks of whole lines, however it comes and wherever it breaks off.

use std::io;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::lines::LINE_BYTES_MAX;

/// Bytes of a block, or a little more.
const BLOCK_BYTES: usize = 256 * 1024;
/// How long nothing may come.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Whole lines.
#[derive(Debug)]
pub struct Block {
    /// The lines, each with its end.
    pub lines: Bytes,
    /// How many bytes of the upload were taken with it.
    pub to: u64,
    /// What they hold of a line that is not whole yet.
    pub rest: Vec<u8>,
    /// Whether that line is too long, and its rest is passed over.
    pub skipping: bool,
}

/// Where what came ended.
#[derive(Debug)]
pub enum Ended {
    /// Where it should.
    Whole,
    /// Too early.
    Broken(io::Error),
    /// Too late: what is more than there may be was not looked at.
    Beyond,
}

/// Cuts what comes into blocks.
pub struct Blocks<R> {
    source: R,
    buffer: BytesMut,
    // Bytes before the buffer.
    before: u64,
    skipping: bool,
    // Bytes that there may be.
    limit: u64,
    ended: Option<Ended>,
}

impl<R: AsyncRead + Unpin> Blocks<R> {
    /// Of a source, behind what came before; no more than so many bytes in all.
    pub fn new(source: R, received: u64, rest: &[u8], skipping: bool, limit: u64) -> Self {
        let before = received.saturating_sub(rest.len() as u64);
        Self { source, buffer: BytesMut::from(rest), before, skipping, limit, ended: None }
    }

    /// How it ended, where it did.
    pub fn ended(self) -> Ended {
        self.ended.unwrap_or(Ended::Broken(io::ErrorKind::Interrupted.into()))
    }

    /// The next block; the last one, in which there may be no line, tells what is left.
    pub async fn next(&mut self) -> Option<Block> {
        if self.ended.is_some() {
            return None;
        }
        loop {
            self.skip();
            // At the limit what is next is whether there is more.
            if self.buffer.len() >= BLOCK_BYTES && self.taken() < self.limit {
                return Some(self.cut());
            }
            self.buffer.reserve(64 * 1024);
            match tokio::time::timeout(IDLE_MAX, self.source.read_buf(&mut self.buffer)).await {
                Ok(Ok(0)) => self.ended = Some(Ended::Whole),
                Ok(Ok(_)) if self.taken() > self.limit => {
                    let beyond = usize::try_from(self.taken() - self.limit).unwrap_or(usize::MAX);
                    self.buffer.truncate(self.buffer.len().saturating_sub(beyond));
                    self.ended = Some(Ended::Beyond);
                }
                Ok(Ok(_)) => continue,
                Ok(Err(error)) => self.ended = Some(Ended::Broken(error)),
                Err(_) => self.ended = Some(Ended::Broken(io::ErrorKind::TimedOut.into())),
            }
            self.skip();
            return Some(self.last());
        }
    }

    /// Bytes that came.
    fn taken(&self) -> u64 {
        self.before + self.buffer.len() as u64
    }

    /// Passes over the rest of a line that is too long.
    fn skip(&mut self) {
        if !self.skipping {
            return;
        }
        let end = memchr::memchr(b'\n', &self.buffer);
        let passed = end.map_or(self.buffer.len(), |end| end + 1);
        self.buffer.advance(passed);
        self.before += passed as u64;
        self.skipping = end.is_none();
    }

    /// Whole lines of a buffer that is full.
    fn cut(&mut self) -> Block {
        match memchr::memrchr(b'\n', &self.buffer) {
            Some(end) => {
                let lines = self.buffer.split_to(end + 1).freeze();
                self.before += lines.len() as u64;
                Block { lines, to: self.before, rest: Vec::new(), skipping: false }
            }
            None => self.cut_short(BytesMut::new()),
        }
    }

    /// All that there is: whole lines, and what is left.
    fn last(&mut self) -> Block {
        let whole = memchr::memrchr(b'\n', &self.buffer).map_or(0, |end| end + 1);
        let lines = self.buffer.split_to(whole);
        self.before += whole as u64;
        if self.buffer.len() > LINE_BYTES_MAX {
            return self.cut_short(lines);
        }
        let (rest, to) = (self.buffer.to_vec(), self.before + self.buffer.len() as u64);
        Block { lines: lines.freeze(), to, rest, skipping: self.skipping }
    }

    /// So much of a line that is too long that whoever reads it sees that it is; the rest is passed over.
    fn cut_short(&mut self, mut lines: BytesMut) -> Block {
        lines.extend_from_slice(&self.buffer[..=LINE_BYTES_MAX]);
        lines.extend_from_slice(b"\n");
        self.before += self.buffer.len() as u64;
        self.buffer.clear();
        self.skipping = true;
        Block { lines: lines.freeze(), to: self.before, rest: Vec::new(), skipping: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes an upload in pieces of these sizes, each as a request of its own that goes on where the one before ended.
    async fn taken(upload: &[u8], sizes: &[usize]) -> (Vec<u8>, u64) {
        let (mut lines, mut received, mut rest, mut skipping) = (Vec::new(), 0, Vec::new(), false);
        let mut sizes = sizes.iter().cycle();
        while (received as usize) < upload.len() {
            let from = received as usize;
            let to = (from + sizes.next().copied().unwrap_or(1)).min(upload.len());
            let mut blocks = Blocks::new(&upload[from..to], received, &rest, skipping, upload.len() as u64);
            while let Some(block) = blocks.next().await {
                lines.extend_from_slice(&block.lines);
                (received, rest, skipping) = (block.to, block.rest, block.skipping);
            }
            assert!(matches!(blocks.ended(), Ended::Whole));
            assert_eq!(received as usize, to);
        }
        lines.extend_from_slice(&rest);
        (lines, received)
    }

    #[tokio::test]
    async fn lines_are_whole_however_they_come() {
        let upload: Vec<u8> = (0..40_000).flat_map(|line| format!("line {line}\n").into_bytes()).collect();
        for sizes in [&[usize::MAX][..], &[1_000, 7, 1], &[BLOCK_BYTES / 3]] {
            assert!(taken(&upload, sizes).await.0 == upload, "{sizes:?}");
        }
        let without_end = b"a\nb";
        assert_eq!(taken(without_end, &[1]).await.0, without_end);
    }

    #[tokio::test]
    async fn more_than_there_may_be_is_not_taken_and_told() {
        let upload = vec![b'\n'; BLOCK_BYTES + 10];
        for limit in [BLOCK_BYTES, BLOCK_BYTES + 3, 5, BLOCK_BYTES + 10] {
            let mut blocks = Blocks::new(&upload[..], 0, &[], false, limit as u64);
            let (mut taken, mut at_limit) = (0, 0);
            while let Some(block) = blocks.next().await {
                taken += block.lines.len();
                at_limit += usize::from(block.to == limit as u64);
            }
            assert_eq!((taken, at_limit), (limit, 1), "nothing comes behind the block that is the last");
            assert_eq!(matches!(blocks.ended(), Ended::Beyond), limit < upload.len());
        }
    }

    #[tokio::test]
    async fn a_line_without_end_is_cut_short_and_takes_no_memory() {
        let mut upload = b"first\n".to_vec();
        upload.extend(std::iter::repeat_n(b'x', 3 * BLOCK_BYTES));
        upload.extend_from_slice(b"\nlast\n");
        for sizes in [&[usize::MAX][..], &[100_000], &[LINE_BYTES_MAX - 1]] {
            let (lines, _) = taken(&upload, sizes).await;
            let lines: Vec<&[u8]> = lines.split(|byte| *byte == b'\n').collect();
            assert_eq!((lines[0], lines[2], lines.len()), (&b"first"[..], &b"last"[..], 4), "{sizes:?}");
            assert_eq!(lines[1].len(), LINE_BYTES_MAX + 1);
        }
    }
}
