-- The view `patient_timeline`: documents beside the columns by which they are found.
CREATE TABLE view_patient_timeline (
    generation     INTEGER NOT NULL,
    key            TEXT NOT NULL,
    document       TEXT NOT NULL,
    patient_id     TEXT,
    trial_id       TEXT,
    event_type     TEXT,
    event_position INTEGER,
    occurred_at    TEXT,
    PRIMARY KEY (generation, key)
) STRICT;
CREATE INDEX view_patient_timeline_by_patient_id ON view_patient_timeline (generation, patient_id, key);
CREATE INDEX view_patient_timeline_by_trial_id ON view_patient_timeline (generation, trial_id, key);
CREATE INDEX view_patient_timeline_by_event_type ON view_patient_timeline (generation, event_type, key);
CREATE INDEX view_patient_timeline_by_event_position ON view_patient_timeline (generation, event_position, key);
CREATE INDEX view_patient_timeline_by_occurred_at ON view_patient_timeline (generation, occurred_at, key);
