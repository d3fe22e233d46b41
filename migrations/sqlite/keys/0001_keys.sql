-- Data keys, wrapped by the master key. Not derived, and not in the log: what is removed here makes what was sealed
-- there unreadable (docs/adr/0036). Times are microseconds since 1970 in UTC.

CREATE TABLE key_owners (
    -- Kind and id, such as `patient.0198f0a0-…`.
    owner        TEXT    PRIMARY KEY,
    -- From then on the owner has no keys, and never gets one again.
    destroyed_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE data_keys (
    owner          TEXT    NOT NULL REFERENCES key_owners,
    version        INTEGER NOT NULL CHECK (version > 0),
    -- The master key that it is wrapped with, and which version of it.
    master         TEXT    NOT NULL,
    master_version INTEGER NOT NULL CHECK (master_version > 0),
    wrapped        TEXT    NOT NULL,
    made_at        INTEGER NOT NULL,
    PRIMARY KEY (owner, version)
) STRICT, WITHOUT ROWID;
