//! Readings of wearables, in the stores of both engines.

use chrono::{DateTime, TimeDelta, Utc};
use event_store::readings::{
    Bucket, Counts, NewUpload, Parcel, Portion, Reading, ReadingQuery, ReadingStore, ReadingsError, RefusedLine,
    Settled, Verdicts, sha256,
};
use events::ids::{DeviceId, PatientId, TrialId};
use testkit::stores::TestStore;
use uuid::Uuid;

const PULSE: &str = "heart-rate";

fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn trial() -> TrialId {
    Uuid::from_u128(0x71).into()
}

/// An upload of a new patient that begins.
async fn begun(store: &dyn ReadingStore) -> NewUpload {
    let upload = NewUpload {
        upload_id: Uuid::now_v7(),
        trial_id: trial(),
        site_id: Uuid::from_u128(0x72).into(),
        patient_id: Uuid::now_v7().into(),
        parameters: "{}".to_owned(),
        sent_by: "somebody".to_owned(),
        length: Some(1_000),
        begun_at: time("2026-02-01T00:00:00Z"),
    };
    store.begin(&upload).await.expect("begun");
    upload
}

fn device(name: &str) -> DeviceId {
    DeviceId::of(trial(), name)
}

/// Readings of the pulse, a minute apart.
fn parcel(name: &str, from: &str, values: &[f64]) -> Parcel {
    let from = time(from);
    let reading = |(index, value): (usize, &f64)| Reading {
        kind: PULSE,
        at: from + TimeDelta::minutes(index as i64),
        lasts: 0,
        value: *value,
        line: index as u64 + 1,
    };
    Parcel {
        chunk_id: Uuid::now_v7(),
        device_id: device(name),
        device: name.to_owned(),
        apart: false,
        clock_ahead_seconds: Some(-2),
        readings: values.iter().enumerate().map(reading).collect(),
    }
}

fn portion(upload: &NewUpload, from: u64, to: u64, parcels: Vec<Parcel>) -> Portion {
    Portion {
        upload_id: upload.upload_id,
        from,
        to,
        rest: Vec::new(),
        skipping: false,
        lines: parcels.iter().map(|parcel| parcel.readings.len() as u64).sum(),
        header: None,
        parcels,
        refused: Vec::new(),
        ended_at: None,
        now: time("2026-02-01T00:00:01Z"),
    }
}

fn all_of(patient_id: PatientId) -> ReadingQuery {
    let (from, until) = (time("2020-01-01T00:00:00Z"), time("2030-01-01T00:00:00Z"));
    ReadingQuery { patient_id, trial_id: trial(), kind: PULSE, device_id: None, from, until }
}

async fn values(store: &dyn ReadingStore, patient_id: PatientId) -> Vec<f64> {
    let read = store.read(&all_of(patient_id), None, 10_000).await.expect("read");
    read.iter().map(|read| read.value).collect()
}

async fn what_comes_again_is_stored_once(test: TestStore) {
    let store = &*test.store.readings;
    let upload = begun(store).await;
    let first = parcel("W", "2026-01-31T23:58:00Z", &[60.0, 61.5, 62.0]);
    let stored = store.store(&portion(&upload, 0, 10, vec![first.clone()])).await.expect("stored");
    assert_eq!((stored.new, stored.known), (vec![vec![0, 1, 2]], 0));
    store.settle(first.chunk_id, &Settled::Received).await.expect("settled");
    // The same again, and overlapping: one known, one of another value, one new, and one twice in itself.
    let again = Parcel { chunk_id: Uuid::now_v7(), ..first };
    let stored = store.store(&portion(&upload, 10, 20, vec![again])).await.expect("stored");
    assert_eq!((stored.new, stored.known), (vec![Vec::new()], 3));
    let mut overlapping = parcel("W", "2026-01-31T23:59:00Z", &[61.5, 99.0, 63.0, 64.0]);
    overlapping.readings[3].at = overlapping.readings[2].at;
    let stored = store.store(&portion(&upload, 20, 30, vec![overlapping.clone()])).await.expect("stored");
    assert_eq!((stored.new, stored.known, stored.refused), (vec![vec![2]], 1, 2));
    store.settle(overlapping.chunk_id, &Settled::Received).await.expect("settled");
    assert_eq!(values(store, upload.patient_id).await, [60.0, 61.5, 62.0, 63.0]);
    let refused = store.refused(upload.upload_id, 0, 10).await.expect("told");
    let told: Vec<_> =
        refused.iter().map(|line| (line.line, line.rule.as_str(), line.message.contains("62"))).collect();
    assert_eq!(told, [(2, "reading-on-record", true), (4, "reading-on-record", false)]);
    let found = store.upload(upload.upload_id).await.expect("read").expect("an upload");
    assert_eq!(found.counts, Counts { lines: 10, stored: 4, apart: 0, known: 4, refused: 2 });
    // Bound to its event: by what is stored.
    let record = store.chunk(overlapping.chunk_id).await.expect("read").expect("a chunk");
    let canonical = record.readings.iter().map(|(kind, at, lasts, value)| (kind.as_str(), *at, *lasts, *value));
    let kept = &overlapping.readings[2];
    assert_eq!(sha256(canonical), sha256([(kept.kind, kept.at, kept.lasts, kept.value)]));
    assert_eq!(record.clock_ahead_seconds, Some(-2));
}

async fn a_portion_is_stored_where_the_upload_stands_or_not_at_all(test: TestStore) {
    let store = &*test.store.readings;
    let upload = begun(store).await;
    let one = Portion {
        rest: b"{\"ki".to_vec(),
        header: Some("kind,at,value".to_owned()),
        refused: vec![RefusedLine {
            line: 7,
            field: "at".to_owned(),
            rule: "malformed".to_owned(),
            message: "no time".to_owned(),
        }],
        ..portion(&upload, 0, 100, vec![parcel("W", "2026-01-01T00:00:00Z", &[60.0])])
    };
    store.store(&one).await.expect("stored");
    // A second sender, one that comes late, one that is ahead.
    for from in [0, 99, 101] {
        let late = portion(&upload, from, from + 10, vec![parcel("W", "2026-01-02T00:00:00Z", &[70.0])]);
        assert!(matches!(store.store(&late).await, Err(ReadingsError::Moved)), "{from}");
    }
    let found = store.upload(upload.upload_id).await.expect("read").expect("an upload");
    let told = (found.received, found.rest.as_slice(), found.header.as_deref(), found.skipping, found.ended_at);
    assert_eq!(told, (100, &b"{\"ki"[..], Some("kind,at,value"), false, None));
    assert_eq!(found.counts.refused, 1);
    let two = portion(&upload, 100, 200, vec![parcel("W", "2026-01-02T00:00:00Z", &[70.0])]);
    let ended_at = Some(time("2026-02-01T00:00:02Z"));
    store.store(&Portion { ended_at, ..two }).await.expect("stored");
    let after = portion(&upload, 200, 300, Vec::new());
    assert!(matches!(store.store(&after).await, Err(ReadingsError::Moved)), "it has ended");
    let found = store.upload(upload.upload_id).await.expect("read").expect("an upload");
    assert_eq!((found.ended_at, found.upload.length), (ended_at, Some(1_000)));
    assert!(store.upload(Uuid::now_v7()).await.expect("read").is_none());
}

async fn of_senders_of_one_upload_at_once_one_is_heard(test: TestStore) {
    let other = test.again().await;
    let upload = begun(&*test.store.readings).await;
    let sent = (0..8).map(|number| {
        let store = if number % 2 == 0 { test.store.readings.clone() } else { other.readings.clone() };
        let portion = portion(&upload, 0, 10, vec![parcel("W", "2026-03-01T00:00:00Z", &[f64::from(number)])]);
        tokio::spawn(async move { store.store(&portion).await.is_ok() })
    });
    let heard = futures::future::join_all(sent).await;
    assert_eq!(heard.into_iter().filter(|sent| *sent.as_ref().expect("no panic")).count(), 1);
    other.close().await;
}

async fn nobody_reads_what_the_log_does_not_tell_of(test: TestStore) {
    let store = &*test.store.readings;
    let upload = begun(store).await;
    let apart = Parcel { apart: true, ..parcel("Unknown", "2026-01-02T00:00:00Z", &[80.0, 81.0]) };
    let (known, left) =
        (parcel("W", "2026-01-01T00:00:00Z", &[60.0]), parcel("W", "2026-01-03T00:00:00Z", &[70.0, 71.0]));
    let chunks = [known.chunk_id, apart.chunk_id, left.chunk_id];
    store.store(&portion(&upload, 0, 10, vec![known, apart, left])).await.expect("stored");
    assert!(values(store, upload.patient_id).await.is_empty());
    store.settle(chunks[0], &Settled::Received).await.expect("settled");
    store.settle(chunks[1], &Settled::Apart).await.expect("settled");
    assert_eq!(values(store, upload.patient_id).await, [60.0]);
    let unsettled = store.unsettled(time("2026-02-01T00:00:02Z"), 0, 100).await.expect("read");
    let mine: Vec<_> = unsettled.iter().filter(|chunk| chunk.upload_id == upload.upload_id).collect();
    assert_eq!((mine.len(), mine[0].chunk_id, mine[0].readings.len()), (1, chunks[2], 2));
    assert_eq!(mine[0].sent_by, "somebody");
    let behind = store.unsettled(time("2026-02-01T00:00:02Z"), mine[0].chunk, 100).await.expect("read");
    assert!(behind.iter().all(|chunk| chunk.upload_id != upload.upload_id));
    assert!(store.unsettled(time("2026-02-01T00:00:01Z"), 0, 100).await.expect("read").is_empty(), "not old enough");
    let line = |line: u64| RefusedLine {
        line,
        field: "at".to_owned(),
        rule: "consent-not-in-force".to_owned(),
        message: "withdrawn".to_owned(),
    };
    store.settle(chunks[2], &Settled::Refused(vec![line(4), line(5)])).await.expect("settled");
    store.settle(chunks[2], &Settled::Refused(vec![line(4), line(5)])).await.expect("settled again");
    assert!(store.chunk(chunks[2]).await.expect("read").is_none());
    let counts = store.upload(upload.upload_id).await.expect("read").expect("an upload").counts;
    assert_eq!(counts, Counts { lines: 5, stored: 1, apart: 2, known: 0, refused: 2 });
    // What was deleted can come again.
    let again = parcel("W", "2026-01-03T00:00:00Z", &[72.0]);
    let stored = store.store(&portion(&upload, 10, 20, vec![again])).await.expect("stored");
    assert_eq!(stored.new, [vec![0]]);
    // The device was given out between judging and telling, and another one taken back.
    let (given, taken) = (
        Parcel { apart: true, ..parcel("W-2", "2026-01-04T00:00:00Z", &[90.0, 91.0]) },
        parcel("W-3", "2026-01-04T00:00:00Z", &[95.0]),
    );
    let later = [given.chunk_id, taken.chunk_id];
    store.store(&portion(&upload, 20, 30, vec![given, taken])).await.expect("stored");
    store.settle(later[0], &Settled::Received).await.expect("settled");
    store.settle(later[1], &Settled::Apart).await.expect("settled");
    let counts = store.upload(upload.upload_id).await.expect("read").expect("an upload").counts;
    assert_eq!((counts.stored, counts.apart), (4, 3), "{counts:?}");
    // The log says what becomes of what is stored apart.
    store.apply(&Verdicts { released: vec![chunks[1]], discarded: Vec::new() }, 7).await.expect("applied");
    assert_eq!(values(store, upload.patient_id).await, [60.0, 80.0, 81.0, 90.0, 91.0]);
    // Whoever tells the log again hears what it answered at first; that is not what holds now.
    store.settle(chunks[1], &Settled::Apart).await.expect("settled");
    assert_eq!(values(store, upload.patient_id).await, [60.0, 80.0, 81.0, 90.0, 91.0]);
    store.apply(&Verdicts { released: Vec::new(), discarded: vec![chunks[1]] }, 5).await.expect("applied");
    assert_eq!(
        (values(store, upload.patient_id).await, store.followed().await.expect("read")),
        (vec![60.0, 90.0, 91.0], 7)
    );
}

async fn readings_are_paged_and_summed_up_by_their_times(test: TestStore) {
    let store = &*test.store.readings;
    let upload = begun(store).await;
    let one = parcel("W-1", "2025-12-31T23:50:00Z", &(0..20).map(f64::from).collect::<Vec<_>>());
    let mut two = parcel("W-2", "2025-12-31T23:50:00Z", &(100..120).map(f64::from).collect::<Vec<_>>());
    two.readings.iter_mut().for_each(|reading| reading.lasts = 60_000);
    let chunks = [one.chunk_id, two.chunk_id];
    store.store(&portion(&upload, 0, 10, vec![one, two])).await.expect("stored");
    for chunk in chunks {
        store.settle(chunk, &Settled::Received).await.expect("settled");
    }
    let (mut after, mut read, mut pages) = (None, Vec::new(), 0);
    loop {
        let page = store.read(&all_of(upload.patient_id), after, 7).await.expect("read");
        let Some(last) = page.last() else { break };
        (after, pages) = (Some(last.place), pages + 1);
        read.extend(page);
    }
    assert_eq!((read.len(), pages), (40, 6));
    assert!(read.is_sorted_by_key(|read| read.at));
    let mut places: Vec<_> = read.iter().map(|read| read.place).collect();
    places.dedup();
    assert_eq!(places.len(), 40, "none twice");
    assert_eq!(read.iter().filter(|read| read.device_id == device("W-2") && read.lasts == 60_000).count(), 20);
    let only = ReadingQuery {
        device_id: Some(device("W-1")),
        from: time("2025-12-31T23:55:00Z"),
        until: time("2026-01-01T00:05:00Z"),
        ..all_of(upload.patient_id)
    };
    let buckets = store.buckets(&only, 600).await.expect("summed up");
    let bucket = |from: &str, count, [min, max]: [f64; 2], mean| Bucket { from: time(from), count, min, max, mean };
    let expected =
        [bucket("2025-12-31T23:50:00Z", 5, [5.0, 9.0], 7.0), bucket("2026-01-01T00:00:00Z", 5, [10.0, 14.0], 12.0)];
    assert_eq!(buckets, expected);
    let before_1970 = parcel("W-1", "1969-12-31T23:59:30Z", &[1.0]);
    let chunk = before_1970.chunk_id;
    store.store(&portion(&upload, 10, 20, vec![before_1970])).await.expect("stored");
    store.settle(chunk, &Settled::Received).await.expect("settled");
    let old = ReadingQuery { from: time("1969-01-01T00:00:00Z"), until: time("1971-01-01T00:00:00Z"), ..only };
    let buckets = store.buckets(&old, 3_600).await.expect("summed up");
    assert_eq!(buckets, [bucket("1969-12-31T23:00:00Z", 1, [1.0, 1.0], 1.0)]);
}

testkit::on_both_engines! {
    what_comes_again_is_stored_once,
    a_portion_is_stored_where_the_upload_stands_or_not_at_all,
    of_senders_of_one_upload_at_once_one_is_heard,
    nobody_reads_what_the_log_does_not_tell_of,
    readings_are_paged_and_summed_up_by_their_times,
}

#[tokio::test]
async fn readings_are_backed_up() {
    let (folder, copied) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let url = |folder: &tempfile::TempDir| format!("sqlite:{}", folder.path().display());
    let options = event_store::StoreOptions::default();
    let store = event_store::Store::open(&url(&folder), &options).await.expect("a store");
    let upload = begun(&*store.readings).await;
    let one = parcel("W", "2026-01-01T00:00:00Z", &[60.0]);
    let chunk = one.chunk_id;
    store.readings.store(&portion(&upload, 0, 10, vec![one])).await.expect("stored");
    store.readings.settle(chunk, &Settled::Received).await.expect("settled");
    assert_eq!(store.back_up_readings(&copied.path().join("readings.db")).await.expect("a backup"), 1);
    store.close().await;
    let again = event_store::Store::open(&url(&copied), &options).await.expect("a store");
    assert_eq!(values(&*again.readings, upload.patient_id).await, [60.0]);
    again.close().await;
}
