-- The view `alerts`: documents beside the columns by which they are found.
CREATE TABLE view_alerts (
    generation    BIGINT NOT NULL,
    key           TEXT NOT NULL,
    document      JSONB NOT NULL,
    trial_id      UUID,
    site_id       UUID,
    patient_id    UUID,
    status        TEXT,
    severity      TEXT,
    severity_rank BIGINT,
    raised_at     TIMESTAMPTZ,
    PRIMARY KEY (generation, key)
);
CREATE INDEX view_alerts_by_trial_id ON view_alerts (generation, trial_id, key);
CREATE INDEX view_alerts_by_site_id ON view_alerts (generation, site_id, key);
CREATE INDEX view_alerts_by_patient_id ON view_alerts (generation, patient_id, key);
CREATE INDEX view_alerts_by_status ON view_alerts (generation, status, key);
CREATE INDEX view_alerts_by_severity ON view_alerts (generation, severity, key);
CREATE INDEX view_alerts_by_severity_rank ON view_alerts (generation, severity_rank, key);
CREATE INDEX view_alerts_by_raised_at ON view_alerts (generation, raised_at, key);
