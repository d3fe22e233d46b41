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
GRANT INSERT, UPDATE, DELETE ON derived.leases TO anamnesis_relay;

-- The keys: made, wrapped again and destroyed; that there was one stays.
GRANT USAGE ON SCHEMA keys TO anamnesis_keys_read;
GRANT SELECT ON keys.key_owners, keys.data_keys TO anamnesis_keys_read;
GRANT INSERT, UPDATE ON keys.key_owners TO anamnesis_keys;
GRANT INSERT, UPDATE, DELETE ON keys.data_keys TO anamnesis_keys;
