-- The view `consents`: documents beside the columns by which they are found.
CREATE TABLE view_consents (
    generation BIGINT NOT NULL,
    key        TEXT NOT NULL,
    document   JSONB NOT NULL,
    trial_id   UUID,
    site_id    UUID,
    patient_id UUID,
    status     TEXT,
    signed_at  TIMESTAMPTZ,
    PRIMARY KEY (generation, key)
);
CREATE INDEX view_consents_by_trial_id ON view_consents (generation, trial_id, key);
CREATE INDEX view_consents_by_site_id ON view_consents (generation, site_id, key);
CREATE INDEX view_consents_by_patient_id ON view_consents (generation, patient_id, key);
CREATE INDEX view_consents_by_status ON view_consents (generation, status, key);
CREATE INDEX view_consents_by_signed_at ON view_consents (generation, signed_at, key);
