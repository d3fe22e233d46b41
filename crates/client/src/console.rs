//! What operators see while a command runs and when it ends.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Lines of progress where nobody watches a bar.
const LINES: u64 = 10;
/// How often the bar is drawn anew.
const TICK_EVERY: Duration = Duration::from_millis(200);

/// How far a long command has come: a bar on a terminal, now and then a line elsewhere.
pub struct Progress {
    view: View,
    label: &'static str,
    total: u64,
}

enum View {
    Bar(ProgressBar),
    Lines(Mutex<Counter>),
}

#[derive(Default)]
struct Counter {
    done: u64,
    printed: u64,
}

impl Progress {
    /// Progress over `total` pieces of work called `label`.
    pub fn new(label: &'static str, total: u64) -> Self {
        let view = if io::stderr().is_terminal() {
            let bar = ProgressBar::new(total).with_prefix(label);
            // As wide as the terminal is: a line that wraps is torn.
            let style = ProgressStyle::with_template("{prefix} [{wide_bar}] {human_pos}/{human_len} {eta}");
            let bar = match style {
                Ok(style) => bar.with_style(style.progress_chars("=> ")),
                Err(_) => bar,
            };
            // Seen before the first piece is done.
            bar.enable_steady_tick(TICK_EVERY);
            View::Bar(bar)
        } else {
            View::Lines(Mutex::default())
        };
        Self { view, label, total }
    }

    /// So many pieces more are done.
    pub fn advance(&self, count: u64) {
        match &self.view {
            View::Bar(bar) => bar.inc(count),
            View::Lines(counter) => {
                let mut counter = counter.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                counter.done += count;
                let tenth = counter.done * LINES / self.total.max(1);
                if tenth > counter.printed {
                    counter.printed = tenth;
                    eprintln!("{}: {} of {}", self.label, counter.done, self.total);
                }
            }
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let View::Bar(bar) = &self.view {
            bar.finish_and_clear();
        }
    }
}

/// Work that goes on until it ends or Ctrl-C is pressed; nothing in that case.
pub async fn unless_interrupted<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        // Where the signal cannot be listened to it ends the process as ever.
        Ok(()) = tokio::signal::ctrl_c() => None,
    }
}

/// What a process ends with that Ctrl-C ended.
pub const INTERRUPTED: u8 = 130;

/// Prints text to standard output.
///
/// # Errors
/// Where the output is closed.
pub fn print(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()
}

/// A table as text: the first column to the left, the others, which hold numbers, to the right.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        let line: Vec<String> = cells.collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(table(&[row(["file", "read"]), row(["dm.csv", "7"])]), "file    read\ndm.csv     7\n");
    }
}
