-- The catalogue of views: which generation is read, and how far it stands. The tables of views are made from their
-- declarations when they are registered (docs/adr/0019).
CREATE TABLE views (
    name               TEXT    PRIMARY KEY,
    schema_version     INTEGER NOT NULL,
    generation         INTEGER NOT NULL,
    position           INTEGER NOT NULL,
    columns            TEXT    NOT NULL,
    -- The generation that a rebuild fills beside the one that is read.
    rebuild_generation INTEGER,
    rebuild_position   INTEGER,
    rebuild_version    INTEGER,
    rebuild_columns    TEXT,
    -- Why the view stands still, where it does.
    failure            TEXT
) STRICT;

-- Who is the one active process of its kind.
CREATE TABLE leases (
    name       TEXT    PRIMARY KEY,
    holder     BLOB    NOT NULL,
    -- Up by one with every change of holder.
    token      INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

-- How far consumers have come whose effect is outside the database.
CREATE TABLE checkpoints (
    name     TEXT    PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT;
