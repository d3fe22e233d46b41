-- The view `subjects`: documents beside the columns by which they are found.
CREATE TABLE view_subjects (
    generation     BIGINT NOT NULL,
    key            TEXT NOT NULL,
    document       JSONB NOT NULL,
    trial_id       UUID,
    site_id        UUID,
    patient_id     UUID,
    subject_number TEXT,
    status         TEXT,
    screened_at    TIMESTAMPTZ,
    PRIMARY KEY (generation, key)
);
CREATE INDEX view_subjects_by_trial_id ON view_subjects (generation, trial_id, key);
CREATE INDEX view_subjects_by_site_id ON view_subjects (generation, site_id, key);
CREATE INDEX view_subjects_by_patient_id ON view_subjects (generation, patient_id, key);
CREATE INDEX view_subjects_by_subject_number ON view_subjects (generation, subject_number, key);
CREATE INDEX view_subjects_by_status ON view_subjects (generation, status, key);
CREATE INDEX view_subjects_by_screened_at ON view_subjects (generation, screened_at, key);
