-- Every generation of a view becomes a partition of its table: one that is filled beside the one that is
-- read needs no index until it is read, and is removed at once (docs/adr/0013).
-- And text is compared byte by byte, as SQLite does: faster, the same on every machine, and no upgrade of the
-- operating system's locales can make an index wrong.
DO $$
DECLARE
    view text;
    texts text;
    read bigint;
BEGIN
    FOR view IN
        SELECT unnest(ARRAY['view_adverse_events', 'view_alerts', 'view_consents', 'view_dead_letters',
            'view_patient_timeline', 'view_patients', 'view_reports', 'view_sagas', 'view_sites', 'view_subjects',
            'view_trial_enrolment', 'view_visits'])
    LOOP
        EXECUTE format('ALTER TABLE %I RENAME TO %I', view, view || '_before');
        SELECT string_agg(format('ALTER COLUMN %I TYPE text COLLATE "C"', attname), ', ') INTO texts
        FROM pg_attribute
        WHERE attrelid = (view || '_before')::regclass AND atttypid = 'text'::regtype AND NOT attisdropped;
        EXECUTE format('ALTER TABLE %I %s', view || '_before', texts);
        EXECUTE format(
            'CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING INDEXES) PARTITION BY LIST (generation)',
            view, view || '_before');
        SELECT generation INTO read FROM views WHERE 'view_' || name = view;
        IF read IS NULL THEN
            EXECUTE format('DROP TABLE %I', view || '_before');
        ELSE
            EXECUTE format('DELETE FROM %I WHERE generation <> %s', view || '_before', read);
            EXECUTE format('ALTER TABLE %I RENAME TO %I', view || '_before', view || '_g' || read);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES IN (%s)', view, view || '_g' || read, read);
        END IF;
    END LOOP;
    -- A rebuild that was on its way begins again.
    UPDATE views SET rebuild_generation = NULL, rebuild_position = NULL, rebuild_version = NULL, rebuild_columns = NULL;
END $$;
