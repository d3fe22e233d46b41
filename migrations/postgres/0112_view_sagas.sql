-- The view `sagas`: documents beside the columns by which they are found.
CREATE TABLE view_sagas (
    generation    BIGINT NOT NULL,
    key           TEXT NOT NULL,
    document      JSONB NOT NULL,
    saga          TEXT,
    status        TEXT,
    trial_id      UUID,
    patient_id    UUID,
    waiting_since TIMESTAMPTZ,
    due_at        TIMESTAMPTZ,
    PRIMARY KEY (generation, key)
);
CREATE INDEX view_sagas_by_saga ON view_sagas (generation, saga, key);
CREATE INDEX view_sagas_by_status ON view_sagas (generation, status, key);
CREATE INDEX view_sagas_by_trial_id ON view_sagas (generation, trial_id, key);
CREATE INDEX view_sagas_by_patient_id ON view_sagas (generation, patient_id, key);
CREATE INDEX view_sagas_by_waiting_since ON view_sagas (generation, waiting_since, key);
CREATE INDEX view_sagas_by_due_at ON view_sagas (generation, due_at, key);
