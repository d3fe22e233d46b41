-- The log: the only truth. Its tables grow and never change.
-- Ids are 16 bytes, times are microseconds since 1970 in UTC.

CREATE TABLE log_head (
    -- One head per partition of the log; today there is one partition.
    partition   INTEGER PRIMARY KEY,
    position    INTEGER NOT NULL CHECK (position >= 0),
    -- When the newest event was stored; never goes back.
    recorded_at INTEGER NOT NULL,
    -- Up to here references are merged in (docs/adr/0017).
    merged      INTEGER NOT NULL CHECK (merged >= 0),
    -- Which log this is, made once.
    log_id      BLOB    NOT NULL,
    -- Up by one whenever the log is taken up again after a loss.
    epoch       INTEGER NOT NULL CHECK (epoch > 0)
) STRICT;
INSERT INTO log_head VALUES (0, 0, 0, 0, randomblob(16), 1);
CREATE TRIGGER log_head_is_kept BEFORE DELETE ON log_head
BEGIN SELECT RAISE(ABORT, 'the row of log_head is never removed'); END;
CREATE TRIGGER log_head_is_not_replaced BEFORE INSERT ON log_head
BEGIN SELECT RAISE(ABORT, 'the row of log_head is never removed'); END;

CREATE TABLE events (
    position       INTEGER PRIMARY KEY,
    stream_type    TEXT    NOT NULL,
    stream_id      BLOB    NOT NULL,
    version        INTEGER NOT NULL CHECK (version > 0),
    -- Ends in the position, so nothing else need find it (docs/adr/0016).
    event_id       BLOB    NOT NULL,
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
-- The newest events are looked through; without reading their payloads.
CREATE INDEX events_newest ON events (position, trial_id, site_id, patient_id);
CREATE TRIGGER events_are_immutable BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'rows of events are never changed or removed'); END;
CREATE TRIGGER events_are_kept BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'rows of events are never changed or removed'); END;
-- `INSERT OR REPLACE` removes the row in its way without a word to the trigger above.
CREATE TRIGGER events_are_not_replaced BEFORE INSERT ON events
WHEN EXISTS (SELECT 1 FROM events WHERE position = NEW.position) OR EXISTS (
    SELECT 1 FROM events WHERE stream_id = NEW.stream_id AND stream_type = NEW.stream_type AND version = NEW.version)
BEGIN SELECT RAISE(ABORT, 'rows of events are never changed or removed'); END;

-- Where the events about a trial, a site and a patient are, up to `log_head.merged`.
CREATE TABLE events_of_trial (
    trial_id BLOB    NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (trial_id, position)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER events_of_trial_are_immutable BEFORE UPDATE ON events_of_trial
BEGIN SELECT RAISE(ABORT, 'rows of events_of_trial are never changed or removed'); END;
CREATE TRIGGER events_of_trial_are_kept BEFORE DELETE ON events_of_trial
BEGIN SELECT RAISE(ABORT, 'rows of events_of_trial are never changed or removed'); END;
CREATE TABLE events_of_site (
    site_id BLOB    NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (site_id, position)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER events_of_site_are_immutable BEFORE UPDATE ON events_of_site
BEGIN SELECT RAISE(ABORT, 'rows of events_of_site are never changed or removed'); END;
CREATE TRIGGER events_of_site_are_kept BEFORE DELETE ON events_of_site
BEGIN SELECT RAISE(ABORT, 'rows of events_of_site are never changed or removed'); END;
CREATE TABLE events_of_patient (
    patient_id BLOB    NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (patient_id, position)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER events_of_patient_are_immutable BEFORE UPDATE ON events_of_patient
BEGIN SELECT RAISE(ABORT, 'rows of events_of_patient are never changed or removed'); END;
CREATE TRIGGER events_of_patient_are_kept BEFORE DELETE ON events_of_patient
BEGIN SELECT RAISE(ABORT, 'rows of events_of_patient are never changed or removed'); END;

-- A command's receipt is not kept beside its events: they are the last `event_count` up to `position` (docs/adr/0016).
CREATE TABLE commands (
    command_id  BLOB    PRIMARY KEY,
    fingerprint BLOB    NOT NULL,
    -- The command's last event, or the head where it had none.
    position    INTEGER NOT NULL CHECK (position >= 0),
    recorded_at INTEGER NOT NULL,
    event_count INTEGER NOT NULL CHECK (event_count >= 0),
    -- Why it was refused, where a refusal leaves a receipt (docs/adr/0027).
    refusal     TEXT
) STRICT, WITHOUT ROWID;
CREATE TRIGGER commands_are_immutable BEFORE UPDATE ON commands
BEGIN SELECT RAISE(ABORT, 'rows of commands are never changed or removed'); END;
CREATE TRIGGER commands_are_kept BEFORE DELETE ON commands
BEGIN SELECT RAISE(ABORT, 'rows of commands are never changed or removed'); END;
CREATE TRIGGER commands_are_not_replaced BEFORE INSERT ON commands
WHEN EXISTS (SELECT 1 FROM commands WHERE command_id = NEW.command_id)
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

-- How far consumers have come whose effect is outside the database.
CREATE TABLE checkpoints (
    name     TEXT    PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT;
