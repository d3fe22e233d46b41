-- The log: the only truth. Its tables grow and never change.

CREATE TABLE log.log_head (
    -- One head per partition of the log; today there is one partition.
    partition   SMALLINT    PRIMARY KEY,
    position    BIGINT      NOT NULL CHECK (position >= 0),
    -- When the newest event was stored; never goes back.
    recorded_at TIMESTAMPTZ NOT NULL,
    -- Which log this is, made once.
    log_id      UUID        NOT NULL,
    -- Up by one whenever the log is taken up again after a loss.
    epoch       BIGINT      NOT NULL CHECK (epoch > 0)
);
INSERT INTO log.log_head VALUES (0, 0, TIMESTAMPTZ '1970-01-01 00:00:00+00', gen_random_uuid(), 1);

CREATE TABLE log.events (
    position       BIGINT      PRIMARY KEY,
    stream_type    TEXT        NOT NULL,
    stream_id      UUID        NOT NULL,
    version        BIGINT      NOT NULL CHECK (version > 0),
    -- Ends in the position, so nothing else need find it (docs/adr/0016).
    event_id       UUID        NOT NULL,
    event_type     TEXT        NOT NULL,
    schema_version SMALLINT    NOT NULL,
    -- The exact bytes as written (JSON), so that a hash of them can be checked years later.
    payload        BYTEA       NOT NULL,
    occurred_at    TIMESTAMPTZ NOT NULL,
    recorded_at    TIMESTAMPTZ NOT NULL,
    actor          TEXT        NOT NULL,
    command_id     UUID        NOT NULL,
    correlation_id UUID        NOT NULL,
    causation_id   UUID,
    trace_context  TEXT,
    trial_id       UUID,
    site_id        UUID,
    patient_id     UUID,
    UNIQUE (stream_id, stream_type, version)
);
CREATE INDEX events_by_trial ON log.events (trial_id, position) WHERE trial_id IS NOT NULL;
CREATE INDEX events_by_site ON log.events (site_id, position) WHERE site_id IS NOT NULL;
CREATE INDEX events_by_patient ON log.events (patient_id, position) WHERE patient_id IS NOT NULL;

-- A command's receipt is not kept beside its events: they are the last `event_count` up to `position` (docs/adr/0016).
CREATE TABLE log.commands (
    command_id  UUID        PRIMARY KEY,
    fingerprint BYTEA       NOT NULL,
    -- The command's last event, or the head where it had none.
    position    BIGINT      NOT NULL CHECK (position >= 0),
    recorded_at TIMESTAMPTZ NOT NULL,
    event_count SMALLINT    NOT NULL CHECK (event_count >= 0),
    -- Why it was refused, where a refusal leaves a receipt (docs/adr/0027).
    refusal     TEXT
);

CREATE FUNCTION log.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed or removed', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER events_are_immutable BEFORE UPDATE OR DELETE ON log.events
    FOR EACH ROW EXECUTE FUNCTION log.refuse_change();
CREATE TRIGGER events_are_kept BEFORE TRUNCATE ON log.events
    FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();
CREATE TRIGGER commands_are_immutable BEFORE UPDATE OR DELETE ON log.commands
    FOR EACH ROW EXECUTE FUNCTION log.refuse_change();
CREATE TRIGGER commands_are_kept BEFORE TRUNCATE ON log.commands
    FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();

-- Folded states that save reading long streams; may be deleted at any time.
CREATE TABLE log.snapshots (
    stream_type   TEXT     NOT NULL,
    stream_id     UUID     NOT NULL,
    version       BIGINT   NOT NULL,
    state_version SMALLINT NOT NULL,
    state         BYTEA    NOT NULL,
    PRIMARY KEY (stream_id, stream_type)
);

-- How far consumers have come whose effect is outside the database.
CREATE TABLE log.checkpoints (
    name     TEXT   PRIMARY KEY,
    position BIGINT NOT NULL
);
