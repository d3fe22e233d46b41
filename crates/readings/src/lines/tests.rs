use std::fmt::Write as _;

use super::*;

fn parse(format: Format, defaults: &Defaults, text: &str) -> Parsed {
    Parser::new(format, defaults.clone(), None).parse(&Bytes::copy_from_slice(text.as_bytes()), 0)
}

/// Readings and faults, as a text.
fn told(parsed: &Parsed) -> String {
    let mut text = String::new();
    for draft in &parsed.drafts {
        let (device, kind) = (&parsed.devices[draft.device], draft.kind.name());
        writeln!(text, "{} {device} {kind} {} +{} {}", draft.line, draft.at, draft.lasts, draft.value).expect("a text");
    }
    for RefusedLine { line, field, rule, .. } in &parsed.refused {
        writeln!(text, "{line} {field}: {rule}").expect("a text");
    }
    text
}

#[test]
fn readings_are_read_in_our_words_and_in_those_of_open_mhealth() {
    let lines = [
        r#"{"device":"W-1","kind":"heart-rate","at":"2026-01-05T11:00:00+01:00","value":61}"#,
        r#"{"device":"W-1","kind":"body-temperature","at":"2026-01-05T10:00:00.1234567Z","value":98.6,"unit":"[degF]"}"#,
        r#"{"device":"W-1","kind":"blood-glucose","at":"2026-01-05T10:00:00Z","value":90,"unit":"mg/dL"}"#,
        r#"{"device":"W-1","kind":"step-count","at":"2026-01-05T10:00:00Z","until":"2026-01-05T10:01:00Z","value":12,"unit":"steps"}"#,
        "",
        r#"{"header":{"uuid":"x","acquisition_provenance":{"source_name":"W-2"}},"body":{"effective_time_frame":{"date_time":"2026-01-05T10:00:00Z"},"systolic_blood_pressure":{"value":120,"unit":"mmHg"},"diastolic_blood_pressure":{"value":80,"unit":"mmHg"}}}"#,
        r#"{"device":"W-3","body":{"effective_time_frame":{"time_interval":{"start_date_time":"2026-01-04T22:00:00Z","duration":{"value":8,"unit":"h"}}},"total_sleep_time":{"value":7.5,"unit":"h"}}}"#,
        r#"{"device":"W-3","body":{"effective_time_frame":{"date_time":"2026-01-05T10:00:00Z"},"step_count":5}}"#,
    ];
    let parsed = parse(Format::Ndjson, &Defaults::default(), &lines.join("\n"));
    assert_eq!(parsed.lines, 8);
    let expected = "1 W-1 heart-rate 2026-01-05 10:00:00 UTC +0 61\n\
                    2 W-1 body-temperature 2026-01-05 10:00:00.123456 UTC +0 37\n\
                    3 W-1 blood-glucose 2026-01-05 10:00:00 UTC +0 4.995670419\n\
                    4 W-1 step-count 2026-01-05 10:00:00 UTC +60000 12\n\
                    6 W-2 systolic-blood-pressure 2026-01-05 10:00:00 UTC +0 120\n\
                    6 W-2 diastolic-blood-pressure 2026-01-05 10:00:00 UTC +0 80\n\
                    7 W-3 sleep-duration 2026-01-04 22:00:00 UTC +28800000 450\n\
                    8 W-3 step-count 2026-01-05 10:00:00 UTC +0 5\n";
    assert_eq!(told(&parsed), expected);
}

#[test]
fn every_fault_is_told_by_its_line_and_the_others_are_taken() {
    let good = r#"{"kind":"heart-rate","at":"2026-01-05T10:00:00Z","value":61}"#;
    let long = format!(r#"{{"kind":"{}"}}"#, "x".repeat(LINE_BYTES_MAX));
    let lines = [
        "{",
        r#"{"kind":"heart-rate","at":"2026-01-05T10:00:00Z"}"#,
        r#"{"kind":"heart_rate","at":"2026-01-05T10:00:00Z","value":61}"#,
        r#"{"kind":"heart-rate","at":"yesterday","value":61}"#,
        r#"{"kind":"heart-rate","at":"2026-01-05T10:00:00","value":61}"#,
        r#"{"kind":"heart-rate","at":"2026-01-05T10:00:00Z","value":4000}"#,
        r#"{"kind":"heart-rate","at":"2026-01-05T10:00:00Z","value":61,"unit":"kg"}"#,
        r#"{"kind":"heart-rate","at":"2026-01-05T10:00:00Z","until":"2026-01-05T09:00:00Z","value":61}"#,
        r#"{"kind":"heart-rate","at":"2026-01-05T10:00:00Z","value":61,"pulse":1}"#,
        r#"{"device":" ","kind":"heart-rate","at":"2026-01-05T10:00:00Z","value":61}"#,
        r#"{"body":{"effective_time_frame":{"date_time":"2026-01-05T10:00:00Z"}}}"#,
        &long,
        good,
    ];
    let defaults = Defaults { device: Some("W-1".to_owned()), time_zone: None };
    let parsed = parse(Format::Ndjson, &defaults, &lines.join("\n"));
    let expected = "13 W-1 heart-rate 2026-01-05 10:00:00 UTC +0 61\n1 : malformed\n2 value: missing\n\
                    3 kind: unknown-value\n4 at: malformed\n5 at: offset-missing\n6 value: out-of-range\n\
                    7 unit: unknown-unit\n8 until: out-of-range\n9 : malformed\n10 device: malformed\n\
                    11 body: unknown-value\n12 : line-too-long\n";
    assert_eq!(told(&parsed), expected);
    let nobody = parse(Format::Ndjson, &Defaults::default(), good);
    assert_eq!(told(&nobody), "1 device: missing\n");
}

#[test]
fn local_times_are_of_the_zone_that_is_told() {
    let time_zone = Some("Europe/Oslo".parse().expect("a zone"));
    let line = |at: &str| format!(r#"{{"device":"W","kind":"heart-rate","at":"{at}","value":61}}"#);
    let lines = [line("2026-07-01T10:00:00"), line("2025-10-26T02:30:00"), line("2026-03-29T02:30:00")].join("\n");
    let parsed = parse(Format::Ndjson, &Defaults { device: None, time_zone }, &lines);
    let expected = "1 W heart-rate 2026-07-01 08:00:00 UTC +0 61\n2 at: ambiguous-time\n3 at: no-such-time\n";
    assert_eq!(told(&parsed), expected);
}

#[test]
fn columns_are_found_by_their_names_and_the_names_are_remembered() {
    let text = "\u{feff}kind,value,at,unit,device\r\nheart-rate,61,2026-01-05T10:00:00Z,,\"W-1\"\r\n\
                heart-rate,a,2026-01-05T10:00:00Z,,W-1\nheart-rate,61\n\"heart-rate,61\nheart-rate,62,2026-01-05T10:00:01Z,bpm,";
    let defaults = Defaults { device: Some("W-2".to_owned()), time_zone: None };
    let mut parser = Parser::new(Format::Csv, defaults.clone(), None);
    let parsed = parser.parse(&Bytes::copy_from_slice(text.as_bytes()), 0);
    let expected = "2 W-1 heart-rate 2026-01-05 10:00:00 UTC +0 61\n6 W-2 heart-rate 2026-01-05 10:00:01 UTC +0 62\n\
                    3 value: malformed\n4 : columns\n5 : columns\n";
    assert_eq!(told(&parsed), expected);
    // Where an upload goes on elsewhere the first line does not come again.
    let header = parsed.header.expect("the names");
    let mut further = Parser::new(Format::Csv, defaults.clone(), Some(&header));
    let more = further.parse(&Bytes::from_static(b"heart-rate,63,2026-01-05T10:00:02Z,,W-1\n"), 6);
    assert_eq!(told(&more), "7 W-1 heart-rate 2026-01-05 10:00:02 UTC +0 63\n");
    for header in ["kind,value", "kind,value,at,at", "kind,value,at,color", "kind,at,value\rheart-rate,2026"] {
        let parsed = parse(Format::Csv, &Defaults::default(), &format!("{header}\nfurther\n"));
        assert_eq!((parsed.unreadable.is_some(), parsed.lines), (true, 1), "{header}");
    }
    let hidden = "kind,value,at\nheart-rate,61,2026-01-05T10:00:00Z\rheart-rate,62,2026-01-05T10:00:01Z\n";
    assert_eq!(told(&parse(Format::Csv, &defaults, hidden)), "2 : malformed\n");
}

#[test]
fn what_is_right_in_a_line_is_taken_whatever_else_stands_in_it() {
    let pressure = |systolic: u32, diastolic: u32| {
        format!(
            r#"{{"device":"W","body":{{"effective_time_frame":{{"date_time":"2026-01-05T10:00:00Z"}},"systolic_blood_pressure":{{"value":{systolic},"unit":"mmHg"}},"diastolic_blood_pressure":{{"value":{diastolic},"unit":"mmHg"}}}}}}"#
        )
    };
    let lines = [pressure(4_000, 80), pressure(120, 8_000), r#"["W","heart-rate"]"#.to_owned()].join("\n");
    let parsed = parse(Format::Ndjson, &Defaults::default(), &format!("\u{feff}{lines}"));
    let expected = "1 W diastolic-blood-pressure 2026-01-05 10:00:00 UTC +0 80\n\
                    2 W systolic-blood-pressure 2026-01-05 10:00:00 UTC +0 120\n\
                    1 value: out-of-range\n2 value: out-of-range\n3 : malformed\n";
    assert_eq!(told(&parsed), expected);
    let until = |until: &str| {
        format!(
            r#"{{"device":"W","kind":"step-count","at":"2026-01-05T10:00:00.001Z","until":"{until}","value":5,"unit":""}}"#
        )
    };
    let lines = [until("2026-01-05T10:00:00.0005Z"), until("")].join("\n");
    let parsed = parse(Format::Ndjson, &Defaults::default(), &lines);
    assert_eq!(told(&parsed), "2 W step-count 2026-01-05 10:00:00.001 UTC +0 5\n1 until: out-of-range\n");
}
