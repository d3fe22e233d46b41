-- The view `consents`: documents beside the columns by which they are found.
CREATE TABLE view_consents (
    generation INTEGER NOT NULL,
    key        TEXT NOT NULL,
    document   TEXT NOT NULL,
    trial_id   TEXT,
    site_id    TEXT,
    patient_id TEXT,
    status     TEXT,
    signed_at  TEXT,
    PRIMARY KEY (generation, key)
) STRICT;
CREATE INDEX view_consents_by_trial_id ON view_consents (generation, trial_id, key);
CREATE INDEX view_consents_by_site_id ON view_consents (generation, site_id, key);
CREATE INDEX view_consents_by_patient_id ON view_consents (generation, patient_id, key);
CREATE INDEX view_consents_by_status ON view_consents (generation, status, key);
CREATE INDEX view_consents_by_signed_at ON view_consents (generation, signed_at, key);
