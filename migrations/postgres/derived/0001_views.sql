-- The log that all of this is derived from.
CREATE TABLE derived.origin (
    only_row BOOLEAN PRIMARY KEY CHECK (only_row),
    log_id   UUID    NOT NULL
);

-- The catalogue of views: which generation is read, and how far it stands. The tables of views are made from their
-- declarations when they are registered (docs/adr/0019).
CREATE TABLE derived.views (
    name               TEXT   PRIMARY KEY,
    schema_version     BIGINT NOT NULL,
    generation         BIGINT NOT NULL,
    position           BIGINT NOT NULL,
    -- The event at that position: the log must still have it there. Nil at the beginning.
    event_id           UUID   NOT NULL,
    columns            TEXT   NOT NULL,
    -- The generation that a rebuild fills beside the one that is read.
    rebuild_generation BIGINT,
    rebuild_position   BIGINT,
    rebuild_event_id   UUID,
    rebuild_version    BIGINT,
    rebuild_columns    TEXT,
    -- Why the view stands still, where it does.
    failure            TEXT
);

-- Who is the one active process of its kind.
CREATE TABLE derived.leases (
    name       TEXT        PRIMARY KEY,
    holder     UUID        NOT NULL,
    -- Up by one with every change of holder.
    token      BIGINT      NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);
