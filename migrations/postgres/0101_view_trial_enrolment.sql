-- The view `trial_enrolment`: documents beside the columns by which they are found.
CREATE TABLE view_trial_enrolment (
    generation    BIGINT NOT NULL,
    key           TEXT NOT NULL,
    document      JSONB NOT NULL,
    protocol      TEXT,
    status        TEXT,
    registered_at TIMESTAMPTZ,
    enrolled      BIGINT,
    PRIMARY KEY (generation, key)
);
CREATE INDEX view_trial_enrolment_by_protocol ON view_trial_enrolment (generation, protocol, key);
CREATE INDEX view_trial_enrolment_by_status ON view_trial_enrolment (generation, status, key);
CREATE INDEX view_trial_enrolment_by_registered_at ON view_trial_enrolment (generation, registered_at, key);
CREATE INDEX view_trial_enrolment_by_enrolled ON view_trial_enrolment (generation, enrolled, key);
