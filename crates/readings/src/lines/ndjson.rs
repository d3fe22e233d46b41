//! A JSON object on each line: a reading in our own words, or a data point of Open mHealth and IEEE 1752.1.

use std::borrow::Cow;

use serde::Deserialize;

use super::data_point::{Body, Header};
use super::{Fault, Written};

/// Text that is borrowed from its line wherever it can be.
#[derive(Deserialize)]
pub struct Text<'line>(#[serde(borrow)] pub Cow<'line, str>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'line> {
    #[serde(borrow, default)]
    device: Option<Text<'line>>,
    #[serde(borrow, default)]
    kind: Option<Text<'line>>,
    #[serde(borrow, default)]
    at: Option<Text<'line>>,
    #[serde(borrow, default)]
    until: Option<Text<'line>>,
    #[serde(default)]
    value: Option<f64>,
    #[serde(borrow, default)]
    unit: Option<Text<'line>>,
    #[serde(borrow, default)]
    header: Option<Header<'line>>,
    #[serde(borrow, default)]
    body: Option<Body<'line>>,
}

/// Gives every reading of a line to `take`.
pub fn read(line: &[u8], mut take: impl FnMut(Written<'_>)) -> Result<(), Fault> {
    // Fields without their names would be read by their order.
    if !line.trim_ascii_start().starts_with(b"{") {
        return Err(Fault::new("", "malformed", "a line is a JSON object"));
    }
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| malformed(&error))?;
    let text = |text: &'_ Option<Text<'_>>| text.as_ref().map(|text| text.0.clone().into_owned());
    if let Some(body) = &line.body {
        if line.kind.is_some() || line.at.is_some() || line.value.is_some() {
            return Err(Fault::new(
                "body",
                "malformed",
                "a line is a reading, or a data point with `header` and `body`",
            ));
        }
        let device = text(&line.device).or_else(|| line.header.as_ref().and_then(Header::device));
        return body.read(device.as_deref(), take);
    }
    let missing = |field: &'static str| Fault::new(field, "missing", format!("a reading has a `{field}`"));
    fn borrowed<'text>(text: &'text Option<Text<'_>>) -> Option<&'text str> {
        text.as_ref().map(|text| &*text.0).filter(|text| !text.is_empty())
    }
    take(Written {
        device: borrowed(&line.device),
        kind: borrowed(&line.kind).ok_or_else(|| missing("kind"))?,
        at: borrowed(&line.at).ok_or_else(|| missing("at"))?,
        until: borrowed(&line.until),
        lasts: None,
        value: line.value.ok_or_else(|| missing("value"))?,
        unit: borrowed(&line.unit),
    });
    Ok(())
}

/// What is wrong with the JSON: without what stands in the line.
fn malformed(error: &serde_json::Error) -> Fault {
    let what = match error.classify() {
        serde_json::error::Category::Syntax => "it is no JSON, or a number in it is too great",
        serde_json::error::Category::Eof => "its end is missing",
        serde_json::error::Category::Data | serde_json::error::Category::Io => {
            "a field is unknown, given twice, or of another type; `value` is a number, the others are texts"
        }
    };
    Fault::new("", "malformed", format!("{what} (at byte {})", error.column()))
}
