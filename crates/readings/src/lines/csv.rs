//! Comma-separated lines, each by itself.

use csv_core::{ReadFieldResult, Reader};

use super::{Fault, LINE_BYTES_MAX, Written};

const NAMES: [&str; 6] = ["device", "kind", "at", "until", "value", "unit"];

/// Where each field stands.
pub struct Columns {
    places: [Option<usize>; NAMES.len()],
    count: usize,
}

impl Columns {
    /// By the names on the first line.
    pub fn of(line: &[u8]) -> Result<Self, Fault> {
        let names = fields(line)?;
        let refuse = |message: String| Fault::new("", "columns", message);
        if let Some(name) = names.iter().find(|name| !NAMES.contains(&name.trim())) {
            let name: String = name.chars().take(50).collect();
            return Err(refuse(format!("the first line names the columns, of {}; not {name:?}", NAMES.join(", "))));
        }
        let mut places = [None; NAMES.len()];
        for (place, name) in places.iter_mut().zip(NAMES) {
            let mut found = names.iter().enumerate().filter(|(_, known)| known.trim() == name).map(|(index, _)| index);
            *place = found.next();
            if found.next().is_some() {
                return Err(refuse(format!("the column {name} is there twice")));
            }
        }
        for needed in ["kind", "at", "value"] {
            if !names.iter().any(|name| name.trim() == needed) {
                return Err(refuse(format!("the column {needed} is missing")));
            }
        }
        Ok(Self { places, count: names.len() })
    }

    /// Gives the reading of a line to `take`.
    pub fn read(&self, line: &[u8], take: impl FnOnce(Written<'_>) -> Result<(), Fault>) -> Result<(), Fault> {
        let values = fields(line)?;
        if values.len() != self.count {
            let message = format!("the line has {} fields, the first line has {}", values.len(), self.count);
            return Err(Fault::new("", "columns", message));
        }
        let [device, kind, at, until, value, unit] = self.places.map(|place| {
            place.and_then(|place| values.get(place)).map(|text| text.trim()).filter(|text| !text.is_empty())
        });
        let needed = |field: &'static str, value: Option<_>| {
            value.ok_or_else(|| Fault::new(field, "missing", format!("a reading has a `{field}`")))
        };
        let number: f64 = needed("value", value)?
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())
            .ok_or_else(|| Fault::new("value", "malformed", "a value is a number such as 36.6"))?;
        take(Written {
            device,
            kind: needed("kind", kind)?,
            at: needed("at", at)?,
            until,
            lasts: None,
            value: number,
            unit,
        })
    }
}

/// The fields of a line.
fn fields(line: &[u8]) -> Result<Vec<String>, Fault> {
    let malformed = |message: &str| Fault::new("", "malformed", message);
    let mut reader = Reader::new();
    let (mut fields, mut output, mut input) = (Vec::new(), vec![0; line.len().min(LINE_BYTES_MAX) + 1], line);
    loop {
        let (result, read, written) = reader.read_field(input, &mut output);
        input = &input[read..];
        match result {
            // An end that was not reached by a line break: once more without input.
            ReadFieldResult::InputEmpty if read == 0 => return Err(malformed("a quotation mark is not closed")),
            ReadFieldResult::InputEmpty => {
                let (result, _, more) = reader.read_field(&[], &mut output[written..]);
                if !matches!(result, ReadFieldResult::Field { .. } | ReadFieldResult::End) {
                    return Err(malformed("the line cannot be read"));
                }
                fields.push(text(&output[..written + more])?);
                return Ok(fields);
            }
            ReadFieldResult::OutputFull => return Err(malformed("a field is too long")),
            ReadFieldResult::Field { record_end } => {
                fields.push(text(&output[..written])?);
                if record_end {
                    // What ends a record within the line would hide what stands behind it.
                    return match input {
                        [] => Ok(fields),
                        _ => Err(malformed("a carriage return stands within the line: lines end with a line feed")),
                    };
                }
                if input.is_empty() {
                    fields.push(String::new());
                    return Ok(fields);
                }
            }
            ReadFieldResult::End => return Ok(fields),
        }
    }
}

fn text(bytes: &[u8]) -> Result<String, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|_| Fault::new("", "malformed", "the line is not in UTF-8"))?;
    Ok(text.to_owned())
}
