//! The text of a file, whatever its encoding.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// Bytes by which text without a byte order mark is judged.
const SAMPLE: usize = 4096;

/// A file's text.
#[derive(Debug)]
pub struct Text {
    /// The text, without a byte order mark, its lines ended by line feeds.
    pub text: String,
    /// What is to be said about how it was read.
    pub remark: Option<String>,
}

/// Reads a file as text: by its byte order mark, else as UTF-8 or UTF-16, else as Windows-1252, of which ISO 8859-1 is a
/// part and in which every byte is something.
///
/// # Errors
/// Where the file cannot be read.
pub fn read(path: &Path) -> io::Result<Text> {
    Ok(decode(std::fs::read(path)?))
}

fn decode(bytes: Vec<u8>) -> Text {
    let (encoding, mark) = Encoding::for_bom(&bytes).unwrap_or_else(|| (guess(&bytes), 0));
    let remark = (encoding != UTF_8).then(|| format!("read as {}", encoding.name()));
    let (text, malformed) = encoding.decode_without_bom_handling(&bytes[mark..]);
    let remark = match (remark, malformed) {
        (remark, false) => remark,
        (_, true) => Some(format!("not all of it is {}: such characters are shown as \u{fffd}", encoding.name())),
    };
    let text = match text {
        // Not copied where it was UTF-8 already.
        Cow::Borrowed(_) if mark == 0 => String::from_utf8(bytes).unwrap_or_default(),
        text => text.into_owned(),
    };
    // A carriage return alone ends a line as well: so did the Macintosh.
    let text = if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text };
    Text { text, remark }
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    let sample = &bytes[..bytes.len().min(SAMPLE)];
    let zeros = |parity: usize| sample.iter().skip(parity).step_by(2).filter(|byte| **byte == 0).count();
    // Text in Latin letters has a zero in every second byte.
    let many = sample.len() / 4;
    match () {
        () if sample.len() > 3 && zeros(1) > many => UTF_16LE,
        () if sample.len() > 3 && zeros(0) > many => UTF_16BE,
        () if std::str::from_utf8(bytes).is_ok() => UTF_8,
        () => WINDOWS_1252,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> (String, Option<String>) {
        let Text { text, remark } = decode(bytes.to_vec());
        (text, remark)
    }

    #[test]
    fn text_is_read_in_the_encoding_that_it_has() {
        let text = "TERM\nSchüttelfrost\n";
        let utf_16 = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
        assert_eq!(read(text.as_bytes()), (text.to_owned(), None));
        assert_eq!(read(&[b"\xef\xbb\xbf", text.as_bytes()].concat()), (text.to_owned(), None));
        let little = Some("read as UTF-16LE".to_owned());
        assert_eq!(read(&utf_16(u16::to_le_bytes)), (text.to_owned(), little.clone()));
        assert_eq!(read(&[b"\xff\xfe".as_slice(), &utf_16(u16::to_le_bytes)].concat()), (text.to_owned(), little));
        let big = Some("read as UTF-16BE".to_owned());
        assert_eq!(read(&[b"\xfe\xff".as_slice(), &utf_16(u16::to_be_bytes)].concat()), (text.to_owned(), big));
        assert_eq!(
            read(b"Sch\xfcttelfrost \x96"),
            ("Schüttelfrost \u{2013}".to_owned(), Some("read as windows-1252".to_owned()))
        );
    }

    #[test]
    fn lines_end_with_line_feeds_whatever_they_ended_with() {
        assert_eq!(read(b"a\r\nb\rc\n\rd").0, "a\nb\nc\n\nd");
    }
}
