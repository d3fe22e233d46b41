//! Lines: what each says, and what is wrong with it, before anything is known of who it is about.

mod csv;
mod data_point;
mod ndjson;
mod time;
mod units;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use event_store::readings::RefusedLine;
use events::TimeZone;
use events::readings::kind::ReadingKind;
use serde::{Deserialize, Serialize};

use self::units::Units;

/// The longest line, in bytes.
pub const LINE_BYTES_MAX: usize = 16 * 1024;
/// The longest name of a device, in characters.
const DEVICE_LENGTH_MAX: usize = 100;
/// Devices of one portion.
pub const DEVICES_MAX: usize = 64;
/// The longest span of time that one reading is of: two days.
const LASTS_MAX: i64 = 48 * 3_600_000;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// A JSON object on each.
    Ndjson,
    /// Comma-separated, the names of the columns on the first (RFC 4180; no line breaks within fields).
    Csv,
}

/// What lines leave out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Defaults {
    /// The device, as it is called.
    pub device: Option<String>,
    /// The zone of times that have no offset.
    pub time_zone: Option<TimeZone>,
}

/// A reading as its line says, in the unit of its kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draft {
    /// The line, from 1.
    pub line: u64,
    /// The device, by its place in [`Parsed::devices`].
    pub device: usize,
    /// What was measured.
    pub kind: ReadingKind,
    /// When, or from when on, to the microsecond.
    pub at: DateTime<Utc>,
    /// For how long, in milliseconds.
    pub lasts: i64,
    /// The value.
    pub value: f64,
}

/// What lines say.
#[derive(Debug, Default)]
pub struct Parsed {
    /// Lines that were looked at, blank ones too.
    pub lines: u64,
    /// The names of the columns, where one of the lines gave them.
    pub header: Option<String>,
    /// Devices that are named.
    pub devices: Vec<String>,
    /// The readings.
    pub drafts: Vec<Draft>,
    /// What could not be read.
    pub refused: Vec<RefusedLine>,
    /// Why nothing can be read from here on, where that is so.
    pub unreadable: Option<String>,
}

impl Parsed {
    fn refuse(&mut self, line: u64, Fault { field, rule, message }: Fault) {
        self.refused.push(RefusedLine { line, field: field.to_owned(), rule: rule.to_owned(), message });
    }
}

/// What is wrong with a line: field, rule, and what would be right.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    field: &'static str,
    rule: &'static str,
    message: String,
}

impl Fault {
    fn new(field: &'static str, rule: &'static str, message: impl Into<String>) -> Self {
        Self { field, rule, message: message.into() }
    }
}

/// A reading as a line writes it; what is empty is left out.
#[derive(Clone, Copy, Debug, Default)]
struct Written<'line> {
    device: Option<&'line str>,
    kind: &'line str,
    at: &'line str,
    until: Option<&'line str>,
    lasts: Option<i64>,
    value: f64,
    unit: Option<&'line str>,
}

/// Reads lines of one upload.
pub struct Parser {
    format: Format,
    defaults: Defaults,
    columns: Option<csv::Columns>,
    units: Units,
}

impl Parser {
    /// A parser of lines behind those that gave the names of the columns, where some did.
    pub fn new(format: Format, defaults: Defaults, header: Option<&str>) -> Self {
        let columns = header.and_then(|header| csv::Columns::of(header.as_bytes()).ok());
        Self { format, defaults, columns, units: Units::default() }
    }

    /// Reads whole lines, of which so many came before.
    pub fn parse(&mut self, lines: &Bytes, before: u64) -> Parsed {
        let mut parsed = Parsed::default();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            parsed.lines += 1;
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let number = before + parsed.lines;
            let line = if number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
            if let Err(fault) = self.line(line, number, &mut parsed) {
                parsed.refuse(number, fault);
            }
            if parsed.unreadable.is_some() {
                break;
            }
        }
        parsed
    }

    fn line(&mut self, line: &[u8], number: u64, parsed: &mut Parsed) -> Result<(), Fault> {
        if line.len() > LINE_BYTES_MAX {
            let message = format!("a line has at most {LINE_BYTES_MAX} bytes");
            return Err(Fault::new("", "line-too-long", message));
        }
        match self.format {
            Format::Ndjson => ndjson::read(line, |written| {
                if let Err(fault) = self.take(&written, number, parsed) {
                    parsed.refuse(number, fault);
                }
            }),
            Format::Csv => {
                let Some(columns) = self.columns.take() else {
                    match csv::Columns::of(line) {
                        Ok(columns) => self.columns = Some(columns),
                        // Nothing behind it can be read.
                        Err(fault) => parsed.unreadable = Some(fault.message),
                    }
                    parsed.header = Some(String::from_utf8_lossy(line).into_owned());
                    return Ok(());
                };
                let taken = columns.read(line, |written| self.take(&written, number, parsed));
                self.columns = Some(columns);
                taken
            }
        }
    }

    /// Takes a reading as it is written.
    fn take(&mut self, written: &Written<'_>, line: u64, parsed: &mut Parsed) -> Result<(), Fault> {
        let name = written.device.or(self.defaults.device.as_deref()).ok_or_else(|| {
            Fault::new("device", "missing", "a reading names its device, here or for the whole upload")
        })?;
        let kind = ReadingKind::named(written.kind).ok_or_else(|| {
            let known = ReadingKind::ALL.map(ReadingKind::name).join(", ");
            Fault::new("kind", "unknown-value", format!("what was measured must be one of {known}"))
        })?;
        let at = time::read("at", written.at, self.defaults.time_zone)?;
        let until = written.until.map(|until| time::read("until", until, self.defaults.time_zone)).transpose()?;
        let lasts = until.map_or(written.lasts.unwrap_or(0), |until| (until - at).num_milliseconds());
        if until.is_some_and(|until| until < at) || !(0..=LASTS_MAX).contains(&lasts) {
            return Err(Fault::new(
                "until",
                "out-of-range",
                "a reading is of no time before `at`, and of two days at most",
            ));
        }
        let value = self.units.convert(written.value, written.unit, kind)?;
        let (min, max) = kind.plausible();
        if !(f64::from(min)..=f64::from(max)).contains(&value) {
            let message = format!("{} is taken from {min} to {max} {}", kind.name(), kind.unit());
            return Err(Fault::new("value", "out-of-range", message));
        }
        let device = device(name, &mut parsed.devices)?;
        parsed.drafts.push(Draft { line, device, kind, at, lasts, value });
        Ok(())
    }
}

/// Whether a device can be called so.
pub fn is_name(name: &str) -> bool {
    let is_plain = name.trim() == name && !name.is_empty() && !name.chars().any(char::is_control);
    is_plain && name.chars().count() <= DEVICE_LENGTH_MAX
}

/// The place of a device among those that were named.
fn device(name: &str, devices: &mut Vec<String>) -> Result<usize, Fault> {
    // The last one named is mostly named again.
    if let Some(place) = devices.iter().rposition(|known| known == name) {
        return Ok(place);
    }
    if !is_name(name) {
        let message = format!("a device is called by 1 to {DEVICE_LENGTH_MAX} characters, without blanks around them");
        return Err(Fault::new("device", "malformed", message));
    }
    if devices.len() == DEVICES_MAX {
        let message = format!("some thousand lines name at most {DEVICES_MAX} devices; sort them by device");
        return Err(Fault::new("device", "too-many", message));
    }
    devices.push(name.to_owned());
    Ok(devices.len() - 1)
}

#[cfg(test)]
mod tests;
