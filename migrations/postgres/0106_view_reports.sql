-- The view `reports`: documents beside the columns by which they are found.
CREATE TABLE view_reports (
    generation   BIGINT NOT NULL,
    key          TEXT NOT NULL,
    document     JSONB NOT NULL,
    trial_id     UUID,
    site_id      UUID,
    patient_id   UUID,
    subject_id   UUID,
    instrument   TEXT,
    completed_at TIMESTAMPTZ,
    PRIMARY KEY (generation, key)
);
CREATE INDEX view_reports_by_trial_id ON view_reports (generation, trial_id, key);
CREATE INDEX view_reports_by_site_id ON view_reports (generation, site_id, key);
CREATE INDEX view_reports_by_patient_id ON view_reports (generation, patient_id, key);
CREATE INDEX view_reports_by_subject_id ON view_reports (generation, subject_id, key);
CREATE INDEX view_reports_by_instrument ON view_reports (generation, instrument, key);
CREATE INDEX view_reports_by_completed_at ON view_reports (generation, completed_at, key);
