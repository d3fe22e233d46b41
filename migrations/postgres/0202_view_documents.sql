-- A document is kept as it was written, and given back without being put together again: nobody asks the
-- database for what is inside (docs/adr/0015). And the indexes of a partition need not begin with its generation.
-- First the catalogue, as whoever moves views does: what still runs waits instead of crossing.
LOCK TABLE views IN ACCESS EXCLUSIVE MODE;
DO $$
DECLARE
    view text;
    read text;
    indexed text;
    dropped regclass;
BEGIN
    FOR view IN
        SELECT unnest(ARRAY['view_adverse_events', 'view_alerts', 'view_consents', 'view_dead_letters',
            'view_patient_timeline', 'view_patients', 'view_reports', 'view_sagas', 'view_sites', 'view_subjects',
            'view_trial_enrolment', 'view_visits'])
    LOOP
        -- A rebuild that was on its way begins again; whatever it left, a partition by then or not, goes.
        SELECT view || '_g' || generation INTO read FROM views WHERE 'view_' || name = view;
        FOR dropped IN
            SELECT oid::regclass FROM pg_class
            WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
                AND relname ~ ('^' || view || '_g[0-9]+$') AND relname IS DISTINCT FROM read
        LOOP
            EXECUTE format('DROP TABLE %s', dropped);
        END LOOP;
        FOR dropped IN SELECT indexrelid::regclass FROM pg_index WHERE indrelid = view::regclass AND NOT indisprimary
        LOOP
            EXECUTE format('DROP INDEX %s', dropped);
        END LOOP;
        EXECUTE format('ALTER TABLE %I ALTER COLUMN document TYPE json USING document::text::json', view);
        FOR indexed IN
            SELECT attname FROM pg_attribute
            WHERE attrelid = view::regclass AND attnum > 0 AND NOT attisdropped
                AND attname NOT IN ('generation', 'key', 'document')
            ORDER BY attnum
        LOOP
            EXECUTE format('CREATE INDEX %I ON %I (%I, key)', view || '_by_' || indexed, view, indexed);
        END LOOP;
    END LOOP;
    UPDATE views SET rebuild_generation = NULL, rebuild_position = NULL, rebuild_version = NULL, rebuild_columns = NULL;
END $$;
