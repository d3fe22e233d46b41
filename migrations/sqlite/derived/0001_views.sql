-- The log that all of this is derived from.
CREATE TABLE origin (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    log_id   BLOB    NOT NULL
) STRICT;

-- The catalogue of views: which generation is read, and how far it stands. The tables of views are made from their
-- declarations when they are registered (docs/adr/0019).
CREATE TABLE views (
    name               TEXT    PRIMARY KEY,
    schema_version     INTEGER NOT NULL,
    generation         INTEGER NOT NULL,
    position           INTEGER NOT NULL,
    -- The event at that position: the log must still have it there. Nil at the beginning.
    event_id           BLOB    NOT NULL,
    columns            TEXT    NOT NULL,
    -- The generation that a rebuild fills beside the one that is read.
    rebuild_generation INTEGER,
    rebuild_position   INTEGER,
    rebuild_event_id   BLOB,
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
