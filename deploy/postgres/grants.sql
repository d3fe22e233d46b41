-- What each role may. As anamnesis_owner, after every `anamnesis migrate`: running it again changes nothing.

-- The log: read by all, appended to by some, changed by nobody.
GRANT USAGE ON SCHEMA log TO anamnesis_log_read;
GRANT SELECT ON ALL TABLES IN SCHEMA log TO anamnesis_log_read;
GRANT INSERT ON log.events, log.commands TO anamnesis_log_append;
GRANT UPDATE ON log.log_head TO anamnesis_log_append;
-- What can be made again: kept states of streams, and how far the relay has come.
GRANT INSERT, UPDATE, DELETE ON log.snapshots, log.checkpoints TO anamnesis_log_append;
GRANT INSERT, UPDATE ON log.checkpoints TO anamnesis_relay;

-- What is derived: whoever keeps it makes and removes its tables.
GRANT USAGE ON SCHEMA derived TO anamnesis_derived_read;
GRANT SELECT ON ALL TABLES IN SCHEMA derived TO anamnesis_derived_read;
GRANT CREATE ON SCHEMA derived TO anamnesis_derived_write;
GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA derived TO anamnesis_derived_write;
GRANT INSERT, UPDATE, DELETE ON derived.leases TO anamnesis_relay, anamnesis_outbound;
-- What is carried out follows from what process managers keep: whoever keeps views does not write it.
DO $$
DECLARE kept regclass;
BEGIN
    FOR kept IN SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'derived' AND c.relkind IN ('r', 'p') AND c.relname ~ '^(saga_|view_sagas)' LOOP
        EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON %s FROM anamnesis_derived_write', kept);
        EXECUTE format('GRANT INSERT, UPDATE, DELETE ON %s TO anamnesis_sagas, anamnesis_serve', kept);
    END LOOP;
END $$;

-- The keys: made, wrapped again and destroyed; that there was one stays.
GRANT USAGE ON SCHEMA keys TO anamnesis_keys_read;
GRANT SELECT ON keys.key_owners, keys.data_keys TO anamnesis_keys_read;
GRANT INSERT, UPDATE ON keys.key_owners TO anamnesis_keys;
GRANT INSERT, UPDATE, DELETE ON keys.data_keys TO anamnesis_keys;

-- Readings of wearables: added, never changed; deleted where the log does not want them.
GRANT USAGE ON SCHEMA readings TO anamnesis_readings_read;
GRANT SELECT ON ALL TABLES IN SCHEMA readings TO anamnesis_readings_read;
GRANT INSERT, UPDATE ON readings.uploads, readings.series TO anamnesis_readings;
GRANT INSERT ON readings.refused_lines TO anamnesis_readings;
GRANT INSERT, UPDATE, DELETE ON readings.chunks TO anamnesis_readings;
GRANT INSERT, DELETE ON readings.readings TO anamnesis_readings;
GRANT UPDATE ON readings.followed TO anamnesis_readings;
GRANT EXECUTE ON FUNCTION readings.make_month(DATE) TO anamnesis_readings;
