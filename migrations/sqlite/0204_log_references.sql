-- References are merged in (docs/adr/0017-references-are-merged-in.md).

-- Where the events about a trial, a site and a patient are, up to `log_head.merged`.
CREATE TABLE events_of_trial (
    trial_id BLOB    NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (trial_id, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE events_of_site (
    site_id  BLOB    NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (site_id, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE events_of_patient (
    patient_id BLOB    NOT NULL,
    position   INTEGER NOT NULL,
    PRIMARY KEY (patient_id, position)
) STRICT, WITHOUT ROWID;
INSERT INTO events_of_trial SELECT trial_id, position FROM events WHERE trial_id IS NOT NULL ORDER BY 1, 2;
INSERT INTO events_of_site SELECT site_id, position FROM events WHERE site_id IS NOT NULL ORDER BY 1, 2;
INSERT INTO events_of_patient SELECT patient_id, position FROM events WHERE patient_id IS NOT NULL ORDER BY 1, 2;
CREATE TRIGGER events_of_trial_are_immutable BEFORE UPDATE ON events_of_trial
BEGIN SELECT RAISE(ABORT, 'rows of events_of_trial are never changed or removed'); END;
CREATE TRIGGER events_of_trial_are_kept BEFORE DELETE ON events_of_trial
BEGIN SELECT RAISE(ABORT, 'rows of events_of_trial are never changed or removed'); END;
CREATE TRIGGER events_of_site_are_immutable BEFORE UPDATE ON events_of_site
BEGIN SELECT RAISE(ABORT, 'rows of events_of_site are never changed or removed'); END;
CREATE TRIGGER events_of_site_are_kept BEFORE DELETE ON events_of_site
BEGIN SELECT RAISE(ABORT, 'rows of events_of_site are never changed or removed'); END;
CREATE TRIGGER events_of_patient_are_immutable BEFORE UPDATE ON events_of_patient
BEGIN SELECT RAISE(ABORT, 'rows of events_of_patient are never changed or removed'); END;
CREATE TRIGGER events_of_patient_are_kept BEFORE DELETE ON events_of_patient
BEGIN SELECT RAISE(ABORT, 'rows of events_of_patient are never changed or removed'); END;
DROP INDEX events_by_trial;
DROP INDEX events_by_site;
DROP INDEX events_by_patient;
-- The newest events are looked through; without reading their payloads.
CREATE INDEX events_newest ON events (position, trial_id, site_id, patient_id);

ALTER TABLE log_head ADD COLUMN merged INTEGER NOT NULL DEFAULT 0 CHECK (merged >= 0);
UPDATE log_head SET merged = position;
CREATE TRIGGER log_head_is_kept BEFORE DELETE ON log_head
BEGIN SELECT RAISE(ABORT, 'the row of log_head is never removed'); END;
