-- Less is written for each command (docs/adr/0016-what-the-log-need-not-keep-twice.md).

-- A command's receipt is not kept beside its events: they are the last `event_count` up to `position`.
CREATE TABLE commands_by_position (
    command_id  BLOB    PRIMARY KEY,
    fingerprint BLOB    NOT NULL,
    -- The command's last event, or the head where it had none.
    position    INTEGER NOT NULL CHECK (position >= 0),
    recorded_at INTEGER NOT NULL,
    event_count INTEGER NOT NULL CHECK (event_count >= 0)
) STRICT, WITHOUT ROWID;
-- Times were text, with no, three or six digits after the second.
INSERT INTO commands_by_position
SELECT command_id, fingerprint, receipt ->> '$.position',
    unixepoch(substr(receipt ->> '$.recorded_at', 1, 19)) * 1000000
        + CAST(substr(rtrim(substr(receipt ->> '$.recorded_at', 21), 'Z') || '000000', 1, 6) AS INTEGER),
    json_array_length(receipt, '$.events')
FROM commands;
-- Refuses to go on where a receipt names other events than the command has.
CREATE TABLE receipts_of_other_events (
    count INTEGER NOT NULL CONSTRAINT "a receipt names other events than its command has" CHECK (count = 0)
) STRICT;
INSERT INTO receipts_of_other_events
SELECT count(*) FROM commands LEFT JOIN commands_by_position AS taken USING (command_id)
WHERE (SELECT group_concat(replace(value ->> '$.event_id', '-', '')) FROM json_each(receipt, '$.events'))
    IS NOT (SELECT group_concat(lower(hex(event_id))) FROM (SELECT event_id FROM events
        WHERE events.position > taken.position - event_count AND events.position <= taken.position
            AND events.command_id = taken.command_id
        ORDER BY events.position));
DROP TABLE receipts_of_other_events;
DROP TABLE commands;
ALTER TABLE commands_by_position RENAME TO commands;
CREATE TRIGGER commands_are_immutable BEFORE UPDATE ON commands
BEGIN SELECT RAISE(ABORT, 'rows of commands are never changed or removed'); END;
CREATE TRIGGER commands_are_kept BEFORE DELETE ON commands
BEGIN SELECT RAISE(ABORT, 'rows of commands are never changed or removed'); END;

-- An event's id holds its position, so nothing else need find it. Ids that do not are those given before.
CREATE TABLE earlier_event_ids (
    event_id BLOB    PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO earlier_event_ids SELECT event_id, position FROM events;
CREATE TRIGGER earlier_event_ids_are_immutable BEFORE UPDATE ON earlier_event_ids
BEGIN SELECT RAISE(ABORT, 'rows of earlier_event_ids are never changed or removed'); END;
CREATE TRIGGER earlier_event_ids_are_kept BEFORE DELETE ON earlier_event_ids
BEGIN SELECT RAISE(ABORT, 'rows of earlier_event_ids are never changed or removed'); END;
CREATE TABLE events_by_position (
    position       INTEGER PRIMARY KEY,
    stream_type    TEXT    NOT NULL,
    stream_id      BLOB    NOT NULL,
    version        INTEGER NOT NULL CHECK (version > 0),
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
INSERT INTO events_by_position SELECT * FROM events;
DROP TABLE events;
ALTER TABLE events_by_position RENAME TO events;
CREATE INDEX events_by_trial ON events (trial_id, position) WHERE trial_id IS NOT NULL;
CREATE INDEX events_by_site ON events (site_id, position) WHERE site_id IS NOT NULL;
CREATE INDEX events_by_patient ON events (patient_id, position) WHERE patient_id IS NOT NULL;
CREATE TRIGGER events_are_immutable BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'rows of events are never changed or removed'); END;
CREATE TRIGGER events_are_kept BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'rows of events are never changed or removed'); END;
