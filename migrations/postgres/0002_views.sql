-- The catalogue of views: which generation is read, and how far it stands. The tables of views are made from their
-- declarations when they are registered (docs/adr/0019).
CREATE TABLE views (
    name               TEXT   PRIMARY KEY,
    schema_version     BIGINT NOT NULL,
    generation         BIGINT NOT NULL,
    position           BIGINT NOT NULL,
    columns            TEXT   NOT NULL,
    -- The generation that a rebuild fills beside the one that is read.
    rebuild_generation BIGINT,
    rebuild_position   BIGINT,
    rebuild_version    BIGINT,
    rebuild_columns    TEXT,
    -- Why the view stands still, where it does.
    failure            TEXT
);

-- Who is the one active process of its kind.
CREATE TABLE leases (
    name       TEXT        PRIMARY KEY,
    holder     UUID        NOT NULL,
    -- Up by one with every change of holder.
    token      BIGINT      NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);

-- How far consumers have come whose effect is outside the database.
CREATE TABLE checkpoints (
    name     TEXT   PRIMARY KEY,
    position BIGINT NOT NULL
);
