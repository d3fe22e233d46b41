-- The view `patients`: documents beside the columns by which they are found.
CREATE TABLE view_patients (
    generation    BIGINT NOT NULL,
    key           TEXT NOT NULL,
    document      JSONB NOT NULL,
    registered_at TIMESTAMPTZ,
    PRIMARY KEY (generation, key)
);
CREATE INDEX view_patients_by_registered_at ON view_patients (generation, registered_at, key);
