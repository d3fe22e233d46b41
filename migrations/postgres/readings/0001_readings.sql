-- Readings of wearables. Not derived: the log tells of each chunk how many readings it holds and, by a hash, which
-- (docs/adr/0047).

CREATE TABLE readings.uploads (
    upload_id  UUID        PRIMARY KEY,
    trial_id   UUID        NOT NULL,
    site_id    UUID        NOT NULL,
    patient_id UUID        NOT NULL,
    -- What the readings are to be taken for, as JSON.
    parameters TEXT        NOT NULL,
    -- The account that sends it.
    sent_by    TEXT        NOT NULL,
    -- The names of the columns, where the first line gave them.
    header     TEXT,
    -- Bytes that there will be, where that is known.
    length     BIGINT      CHECK (length >= 0),
    -- Bytes that were taken; what they held of a line that is not whole yet is kept here.
    received   BIGINT      NOT NULL DEFAULT 0 CHECK (received >= 0),
    rest       BYTEA       NOT NULL DEFAULT '',
    -- Whether that line is too long and its rest is passed over.
    skipping   BOOLEAN     NOT NULL DEFAULT FALSE,
    -- Lines that were looked at, and what became of the readings in them.
    lines      BIGINT      NOT NULL DEFAULT 0,
    stored     BIGINT      NOT NULL DEFAULT 0,
    apart      BIGINT      NOT NULL DEFAULT 0,
    known      BIGINT      NOT NULL DEFAULT 0,
    refused    BIGINT      NOT NULL DEFAULT 0,
    begun_at   TIMESTAMPTZ NOT NULL,
    ended_at   TIMESTAMPTZ
);

CREATE TABLE readings.refused_lines (
    upload_id UUID   NOT NULL,
    line      BIGINT NOT NULL CHECK (line >= 0),
    field     TEXT   COLLATE "C" NOT NULL,
    rule      TEXT   COLLATE "C" NOT NULL,
    message   TEXT   COLLATE "C" NOT NULL,
    PRIMARY KEY (upload_id, line, field, rule, message)
);

-- What one device measures of one patient in one trial.
CREATE TABLE readings.series (
    series     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    patient_id UUID   NOT NULL,
    trial_id   UUID   NOT NULL,
    kind       TEXT   COLLATE "C" NOT NULL,
    device_id  UUID   NOT NULL,
    UNIQUE (patient_id, trial_id, kind, device_id)
);

-- Readings that were stored together: one event each.
CREATE TABLE readings.chunks (
    chunk       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chunk_id    UUID        NOT NULL UNIQUE,
    upload_id   UUID        NOT NULL,
    trial_id    UUID        NOT NULL,
    patient_id  UUID        NOT NULL,
    device_id   UUID        NOT NULL,
    device      TEXT        NOT NULL,
    clock_ahead BIGINT,
    -- Whether it is counted among the readings that are stored apart.
    apart       BOOLEAN     NOT NULL,
    first_at    TIMESTAMPTZ NOT NULL,
    last_at     TIMESTAMPTZ NOT NULL,
    -- 0: the log does not tell of it yet; 1: received; 2: stored apart.
    state       SMALLINT    NOT NULL DEFAULT 0 CHECK (state IN (0, 1, 2)),
    stored_at   TIMESTAMPTZ NOT NULL
);

CREATE INDEX chunks_unsettled ON readings.chunks (patient_id, trial_id, chunk) WHERE state <> 1;
CREATE INDEX chunks_untold ON readings.chunks (chunk) WHERE state = 0;

-- By months, each made when its first reading comes: old ones can be moved elsewhere as a whole.
CREATE TABLE readings.readings (
    series BIGINT           NOT NULL,
    at     TIMESTAMPTZ      NOT NULL,
    -- How long the span is that was measured, in milliseconds; 0 for a moment.
    lasts  BIGINT           NOT NULL DEFAULT 0 CHECK (lasts >= 0),
    value  DOUBLE PRECISION NOT NULL,
    chunk  BIGINT           NOT NULL,
    PRIMARY KEY (series, at, lasts)
) PARTITION BY RANGE (at);

-- Makes the partition of a month, by its first day. As the owner of the tables: whoever stores readings may make no others.
CREATE FUNCTION readings.make_month(month DATE) RETURNS VOID
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    name TEXT := 'readings_' || to_char(month, 'YYYY_MM');
BEGIN
    -- Two that make it at once would refuse each other.
    PERFORM pg_advisory_xact_lock(hashtext('readings.make_month'));
    IF to_regclass(format('readings.%I', name)) IS NOT NULL THEN
        RETURN;
    END IF;
    -- Made by itself and put there: readers and writers of the others go on.
    EXECUTE format('CREATE TABLE readings.%I (LIKE readings.readings INCLUDING ALL)', name);
    EXECUTE format(
        'ALTER TABLE readings.readings ATTACH PARTITION readings.%I FOR VALUES FROM (%L) TO (%L)',
        name,
        to_char(month, 'YYYY-MM-01') || ' 00:00:00+00',
        to_char(month + interval '1 month', 'YYYY-MM-01') || ' 00:00:00+00');
END $$;

REVOKE EXECUTE ON FUNCTION readings.make_month(DATE) FROM PUBLIC;

-- Up to where the log was followed for what becomes of readings that are stored apart.
CREATE TABLE readings.followed (
    one      SMALLINT PRIMARY KEY CHECK (one = 1),
    position BIGINT   NOT NULL CHECK (position >= 0)
);

INSERT INTO readings.followed (one, position) VALUES (1, 0);
