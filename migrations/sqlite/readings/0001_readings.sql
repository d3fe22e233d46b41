-- Readings of wearables. Not derived: the log tells of each chunk how many readings it holds and, by a hash, which
-- (docs/adr/0047). Times are microseconds since 1970 in UTC.

CREATE TABLE uploads (
    upload_id  BLOB    PRIMARY KEY,
    trial_id   BLOB    NOT NULL,
    site_id    BLOB    NOT NULL,
    patient_id BLOB    NOT NULL,
    -- What the readings are to be taken for, as JSON.
    parameters TEXT    NOT NULL,
    -- The account that sends it.
    sent_by    TEXT    NOT NULL,
    -- The names of the columns, where the first line gave them.
    header     TEXT,
    -- Bytes that there will be, where that is known.
    length     INTEGER CHECK (length >= 0),
    -- Bytes that were taken; what they held of a line that is not whole yet is kept here.
    received   INTEGER NOT NULL DEFAULT 0 CHECK (received >= 0),
    rest       BLOB    NOT NULL DEFAULT x'',
    -- Whether that line is too long and its rest is passed over.
    skipping   INTEGER NOT NULL DEFAULT 0,
    -- Lines that were looked at, and what became of the readings in them.
    lines      INTEGER NOT NULL DEFAULT 0,
    stored     INTEGER NOT NULL DEFAULT 0,
    apart      INTEGER NOT NULL DEFAULT 0,
    known      INTEGER NOT NULL DEFAULT 0,
    refused    INTEGER NOT NULL DEFAULT 0,
    begun_at   INTEGER NOT NULL,
    ended_at   INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE refused_lines (
    upload_id BLOB    NOT NULL,
    line      INTEGER NOT NULL CHECK (line >= 0),
    field     TEXT    NOT NULL,
    rule      TEXT    NOT NULL,
    message   TEXT    NOT NULL,
    PRIMARY KEY (upload_id, line, field, rule, message)
) STRICT, WITHOUT ROWID;

-- What one device measures of one patient in one trial.
CREATE TABLE series (
    series     INTEGER PRIMARY KEY,
    patient_id BLOB    NOT NULL,
    trial_id   BLOB    NOT NULL,
    kind       TEXT    NOT NULL,
    device_id  BLOB    NOT NULL,
    UNIQUE (patient_id, trial_id, kind, device_id)
) STRICT;

-- Readings that were stored together: one event each.
CREATE TABLE chunks (
    chunk       INTEGER PRIMARY KEY AUTOINCREMENT,
    chunk_id    BLOB    NOT NULL UNIQUE,
    upload_id   BLOB    NOT NULL,
    trial_id    BLOB    NOT NULL,
    patient_id  BLOB    NOT NULL,
    device_id   BLOB    NOT NULL,
    device      TEXT    NOT NULL,
    clock_ahead INTEGER,
    -- Whether it is counted among the readings that are stored apart.
    apart       INTEGER NOT NULL,
    first_at    INTEGER NOT NULL,
    last_at     INTEGER NOT NULL,
    -- 0: the log does not tell of it yet; 1: received; 2: stored apart.
    state       INTEGER NOT NULL DEFAULT 0 CHECK (state IN (0, 1, 2)),
    stored_at   INTEGER NOT NULL
) STRICT;

CREATE INDEX chunks_unsettled ON chunks (patient_id, trial_id, chunk) WHERE state <> 1;
CREATE INDEX chunks_untold ON chunks (chunk) WHERE state = 0;

CREATE TABLE readings (
    series INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    -- How long the span is that was measured, in milliseconds; 0 for a moment.
    lasts  INTEGER NOT NULL DEFAULT 0 CHECK (lasts >= 0),
    value  REAL    NOT NULL,
    chunk  INTEGER NOT NULL,
    PRIMARY KEY (series, at, lasts)
) STRICT, WITHOUT ROWID;

-- Up to where the log was followed for what becomes of readings that are stored apart.
CREATE TABLE followed (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    position INTEGER NOT NULL CHECK (position >= 0)
) STRICT;

INSERT INTO followed (one, position) VALUES (1, 0);
