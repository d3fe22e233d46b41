-- The view `adverse_events`: documents beside the columns by which they are found.
CREATE TABLE view_adverse_events (
    generation  BIGINT NOT NULL,
    key         TEXT NOT NULL,
    document    JSONB NOT NULL,
    trial_id    UUID,
    site_id     UUID,
    patient_id  UUID,
    subject_id  UUID,
    severity    TEXT,
    serious     BOOLEAN,
    reported_at TIMESTAMPTZ,
    PRIMARY KEY (generation, key)
);
CREATE INDEX view_adverse_events_by_trial_id ON view_adverse_events (generation, trial_id, key);
CREATE INDEX view_adverse_events_by_site_id ON view_adverse_events (generation, site_id, key);
CREATE INDEX view_adverse_events_by_patient_id ON view_adverse_events (generation, patient_id, key);
CREATE INDEX view_adverse_events_by_subject_id ON view_adverse_events (generation, subject_id, key);
CREATE INDEX view_adverse_events_by_severity ON view_adverse_events (generation, severity, key);
CREATE INDEX view_adverse_events_by_serious ON view_adverse_events (generation, serious, key);
CREATE INDEX view_adverse_events_by_reported_at ON view_adverse_events (generation, reported_at, key);
