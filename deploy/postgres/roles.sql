-- The roles of an installation. Once, as PostgreSQL's administrator, in the database, before the first `anamnesis migrate`;
-- then give each role that logs in a way to do so (ALTER ROLE … PASSWORD, or pg_hba.conf). See
-- docs/guides/least-privilege.md.

-- Owns the schemas; migrates and does nothing else.
CREATE ROLE anamnesis_owner LOGIN;

-- Rights, which nobody logs in with.
CREATE ROLE anamnesis_log_read NOLOGIN;
CREATE ROLE anamnesis_log_append NOLOGIN IN ROLE anamnesis_log_read;
CREATE ROLE anamnesis_derived_read NOLOGIN;
CREATE ROLE anamnesis_derived_write NOLOGIN IN ROLE anamnesis_derived_read;

CREATE ROLE anamnesis_keys_read NOLOGIN;
CREATE ROLE anamnesis_keys NOLOGIN IN ROLE anamnesis_keys_read;

CREATE ROLE anamnesis_readings_read NOLOGIN;
CREATE ROLE anamnesis_readings NOLOGIN IN ROLE anamnesis_readings_read;

-- Whoever appends has keys: what it appends is known again by MACs under the installation's secret.
-- Whoever keeps views counts who was allocated to what, which is sealed: with keys that others made.
-- Whoever answers requests appends: what somebody tried, or looked at, is an event, too.
-- Each process as one of these: `command-api`, `query-api`, `projector`, `saga`, `relay`, `outbound`; `serve` for all in one.
CREATE ROLE anamnesis_commands LOGIN IN ROLE anamnesis_log_append, anamnesis_derived_read, anamnesis_keys, anamnesis_readings;
CREATE ROLE anamnesis_queries LOGIN IN ROLE anamnesis_log_append, anamnesis_derived_read, anamnesis_keys, anamnesis_readings_read;
CREATE ROLE anamnesis_views LOGIN IN ROLE anamnesis_log_read, anamnesis_derived_write, anamnesis_keys_read;
CREATE ROLE anamnesis_sagas LOGIN IN ROLE anamnesis_log_append, anamnesis_derived_write, anamnesis_keys;
CREATE ROLE anamnesis_relay LOGIN IN ROLE anamnesis_log_read, anamnesis_derived_read;
CREATE ROLE anamnesis_outbound LOGIN IN ROLE anamnesis_log_append, anamnesis_derived_read, anamnesis_keys;
CREATE ROLE anamnesis_serve LOGIN IN ROLE anamnesis_log_append, anamnesis_derived_write, anamnesis_keys, anamnesis_readings;

-- Tables of views are made by whoever keeps the views, and are for everybody who reads.
ALTER DEFAULT PRIVILEGES FOR ROLE anamnesis_views GRANT SELECT ON TABLES TO anamnesis_derived_read;
ALTER DEFAULT PRIVILEGES FOR ROLE anamnesis_sagas GRANT SELECT ON TABLES TO anamnesis_derived_read;
ALTER DEFAULT PRIVILEGES FOR ROLE anamnesis_serve GRANT SELECT ON TABLES TO anamnesis_derived_read;

-- The owner makes the schemas.
DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO anamnesis_owner', current_database()); END $$;
