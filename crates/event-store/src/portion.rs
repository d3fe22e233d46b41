//! As much of an answer as is kept in memory at once.
//!
//! Rows are asked for by number. Whoever writes long ones would have everybody who reads them hold gigabytes: so an answer
//! also ends with the row by which it is long enough, and whoever wants more asks for what follows.

use futures::TryStreamExt as _;
use futures::stream::BoxStream;

/// How long, in bytes of payloads or documents, an answer is before it is cut off: several times the longest of them.
pub const READ_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The first rows of an answer.
#[derive(Debug)]
pub struct Portion<R> {
    /// The rows.
    pub rows: Vec<R>,
    /// Whether they are all. An answer that is cut off may have been at its end.
    pub is_whole: bool,
}

impl<R> Portion<R> {
    /// Reads rows until they are long enough.
    pub async fn read<E>(mut coming: BoxStream<'_, Result<R, E>>, length: impl Fn(&R) -> usize) -> Result<Self, E> {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while let Some(row) = coming.try_next().await? {
            bytes += length(&row);
            rows.push(row);
            if bytes >= READ_BYTES_MAX {
                return Ok(Self { rows, is_whole: false });
            }
        }
        Ok(Self { rows, is_whole: true })
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, stream};

    use super::{Portion, READ_BYTES_MAX};

    #[tokio::test]
    async fn an_answer_ends_with_the_row_by_which_it_is_long_enough() {
        let read = async |lengths: &[usize]| {
            let rows: Vec<Result<usize, ()>> = lengths.iter().copied().map(Ok).collect();
            let portion = Portion::read(stream::iter(rows).boxed(), |length| *length).await.expect("rows");
            (portion.rows.len(), portion.is_whole)
        };
        assert_eq!(read(&[]).await, (0, true));
        assert_eq!(read(&[READ_BYTES_MAX - 1]).await, (1, true));
        assert_eq!(read(&[READ_BYTES_MAX - 1, 1, 1]).await, (2, false));
        // One that is longer than any may be is read all the same: nobody is stuck behind it.
        assert_eq!(read(&[2 * READ_BYTES_MAX, 1]).await, (1, false));
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_none() {
        let rows = vec![Ok(1), Err("gone"), Ok(1)];
        assert_eq!(Portion::read(stream::iter(rows).boxed(), |length| *length).await.expect_err("broken"), "gone");
    }
}
