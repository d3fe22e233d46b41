-- The log: the only truth. Its tables grow and never change.
-- Ids are 16 bytes, times are microseconds since 1970 in UTC.

CREATE TABLE log_head (
    -- One head per partition of the log; today there is one partition.
    partition   INTEGER PRIMARY KEY,
    position    INTEGER NOT NULL CHECK (position >= 0),
    -- When the newest event was stored; never goes back.
    recorded_at INTEGER NOT NULL
) STRICT;
INSERT INTO log_head VALUES (0, 0, 0);

CREATE TABLE events (
    position       INTEGER PRIMARY KEY,
    stream_type    TEXT    NOT NULL,
    stream_id      BLOB    NOT NULL,
    version        INTEGER NOT NULL CHECK (version > 0),
    event_id       BLOB    NOT NULL UNIQUE,
    event_type     TEXT    NOT NULL,
    schema_version INTEGER NOT NULL,
    -- The exact bytes as written (JSON), so that a hash of them can be checked years later.
    payload        BLOB    NOT NULL,
    occurred_at    INTEGER NOT NULL,
    recorded_at    INTEGER NOT NULL,
    actor          TEXT    NOT NULL,
    command_id     BLOB    NOT NULL,
    correlation_id BLOB    NOT NULL,
    causation_id   BLOB,
    trace_context  TEXT,
    trial_id       BLOB,
    site_id        BLOB,
    patient_id     BLOB,
    UNIQUE (stream_id, stream_type, version)
) STRICT;
CREATE INDEX events_by_trial ON events (trial_id, position) WHERE trial_id IS NOT NULL;
CREATE INDEX events_by_site ON events (site_id, position) WHERE site_id IS NOT NULL;
CREATE INDEX events_by_patient ON events (patient_id, position) WHERE patient_id IS NOT NULL;

CREATE TABLE commands (
    command_id  BLOB PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    receipt     TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER events_are_immutable BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'rows of events are never changed or removed'); END;
CREATE TRIGGER events_are_kept BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'rows of events are never changed or removed'); END;
CREATE TRIGGER commands_are_immutable BEFORE UPDATE ON commands
BEGIN SELECT RAISE(ABORT, 'rows of commands are never changed or removed'); END;
CREATE TRIGGER commands_are_kept BEFORE DELETE ON commands
BEGIN SELECT RAISE(ABORT, 'rows of commands are never changed or removed'); END;

-- Folded states that save reading long streams; may be deleted at any time.
CREATE TABLE snapshots (
    stream_type   TEXT    NOT NULL,
    stream_id     BLOB    NOT NULL,
    version       INTEGER NOT NULL,
    state_version INTEGER NOT NULL,
    state         BLOB    NOT NULL,
    PRIMARY KEY (stream_id, stream_type)
) STRICT, WITHOUT ROWID;
