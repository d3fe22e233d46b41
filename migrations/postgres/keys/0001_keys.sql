-- Data keys, wrapped by the master key. Not derived, and not in the log: what is removed here makes what was sealed
-- there unreadable (docs/adr/0036).

CREATE TABLE keys.key_owners (
    -- Kind and id, such as `patient.0198f0a0-…`.
    owner        TEXT        COLLATE "C" PRIMARY KEY,
    -- From then on the owner has no keys, and never gets one again.
    destroyed_at TIMESTAMPTZ
);

CREATE TABLE keys.data_keys (
    owner          TEXT        COLLATE "C" NOT NULL REFERENCES keys.key_owners,
    version        BIGINT      NOT NULL CHECK (version > 0),
    -- The master key that it is wrapped with, and which version of it.
    master         TEXT        NOT NULL,
    master_version BIGINT      NOT NULL CHECK (master_version > 0),
    wrapped        TEXT        NOT NULL,
    made_at        TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (owner, version)
);
