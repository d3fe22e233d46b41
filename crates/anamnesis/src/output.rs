//! Writing to standard output.

use std::io::{self, Write};

/// Prints a line; a reader that went away is no error.
pub fn line(text: &str) {
    drop(writeln!(io::stdout().lock(), "{text}"));
}
