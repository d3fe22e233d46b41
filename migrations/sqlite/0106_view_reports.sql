-- The view `reports`: documents beside the columns by which they are found.
CREATE TABLE view_reports (
    generation   INTEGER NOT NULL,
    key          TEXT NOT NULL,
    document     TEXT NOT NULL,
    trial_id     TEXT,
    site_id      TEXT,
    patient_id   TEXT,
    subject_id   TEXT,
    instrument   TEXT,
    completed_at TEXT,
    PRIMARY KEY (generation, key)
) STRICT;
CREATE INDEX view_reports_by_trial_id ON view_reports (generation, trial_id, key);
CREATE INDEX view_reports_by_site_id ON view_reports (generation, site_id, key);
CREATE INDEX view_reports_by_patient_id ON view_reports (generation, patient_id, key);
CREATE INDEX view_reports_by_subject_id ON view_reports (generation, subject_id, key);
CREATE INDEX view_reports_by_instrument ON view_reports (generation, instrument, key);
CREATE INDEX view_reports_by_completed_at ON view_reports (generation, completed_at, key);
