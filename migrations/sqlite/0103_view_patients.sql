-- The view `patients`: documents beside the columns by which they are found.
CREATE TABLE view_patients (
    generation    INTEGER NOT NULL,
    key           TEXT NOT NULL,
    document      TEXT NOT NULL,
    registered_at TEXT,
    PRIMARY KEY (generation, key)
) STRICT;
CREATE INDEX view_patients_by_registered_at ON view_patients (generation, registered_at, key);
