-- The view `dead_letters`: documents beside the columns by which they are found.
CREATE TABLE view_dead_letters (
    generation BIGINT NOT NULL,
    key        TEXT NOT NULL,
    document   JSONB NOT NULL,
    saga       TEXT,
    status     TEXT,
    failed_at  TIMESTAMPTZ,
    PRIMARY KEY (generation, key)
);
CREATE INDEX view_dead_letters_by_saga ON view_dead_letters (generation, saga, key);
CREATE INDEX view_dead_letters_by_status ON view_dead_letters (generation, status, key);
CREATE INDEX view_dead_letters_by_failed_at ON view_dead_letters (generation, failed_at, key);
