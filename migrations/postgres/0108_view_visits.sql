-- The view `visits`: documents beside the columns by which they are found.
CREATE TABLE view_visits (
    generation  BIGINT NOT NULL,
    key         TEXT NOT NULL,
    document    JSONB NOT NULL,
    trial_id    UUID,
    site_id     UUID,
    patient_id  UUID,
    subject_id  UUID,
    attended_on TEXT,
    PRIMARY KEY (generation, key)
);
CREATE INDEX view_visits_by_trial_id ON view_visits (generation, trial_id, key);
CREATE INDEX view_visits_by_site_id ON view_visits (generation, site_id, key);
CREATE INDEX view_visits_by_patient_id ON view_visits (generation, patient_id, key);
CREATE INDEX view_visits_by_subject_id ON view_visits (generation, subject_id, key);
CREATE INDEX view_visits_by_attended_on ON view_visits (generation, attended_on, key);
