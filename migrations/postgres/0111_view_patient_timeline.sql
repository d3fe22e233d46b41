-- The view `patient_timeline`: documents beside the columns by which they are found.
CREATE TABLE view_patient_timeline (
    generation     BIGINT NOT NULL,
    key            TEXT NOT NULL,
    document       JSONB NOT NULL,
    patient_id     UUID,
    trial_id       UUID,
    event_type     TEXT,
    event_position BIGINT,
    occurred_at    TIMESTAMPTZ,
    PRIMARY KEY (generation, key)
);
CREATE INDEX view_patient_timeline_by_patient_id ON view_patient_timeline (generation, patient_id, key);
CREATE INDEX view_patient_timeline_by_trial_id ON view_patient_timeline (generation, trial_id, key);
CREATE INDEX view_patient_timeline_by_event_type ON view_patient_timeline (generation, event_type, key);
CREATE INDEX view_patient_timeline_by_event_position ON view_patient_timeline (generation, event_position, key);
CREATE INDEX view_patient_timeline_by_occurred_at ON view_patient_timeline (generation, occurred_at, key);
