-- Less is written for each command (docs/adr/0016-what-the-log-need-not-keep-twice.md).

-- Before anything is copied: what an older process appended meanwhile would not be in the copy. In the order in
-- which an append takes them.
LOCK TABLE log_head, events, commands IN ACCESS EXCLUSIVE MODE;

-- A command's receipt is not kept beside its events: they are the last `event_count` up to `position`.
CREATE TABLE commands_by_position (
    command_id  UUID        PRIMARY KEY,
    fingerprint BYTEA       NOT NULL,
    -- The command's last event, or the head where it had none.
    position    BIGINT      NOT NULL CHECK (position >= 0),
    recorded_at TIMESTAMPTZ NOT NULL,
    event_count SMALLINT    NOT NULL CHECK (event_count >= 0)
);
INSERT INTO commands_by_position
SELECT command_id, fingerprint, (receipt::json ->> 'position')::bigint, (receipt::json ->> 'recorded_at')::timestamptz,
    json_array_length(receipt::json -> 'events')
FROM commands;
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM commands LEFT JOIN commands_by_position AS taken USING (command_id)
        WHERE ARRAY(SELECT event ->> 'event_id'
                FROM json_array_elements(receipt::json -> 'events') WITH ORDINALITY AS named(event, place)
                ORDER BY place)
            IS DISTINCT FROM ARRAY(SELECT event_id::text FROM events
                WHERE position > taken.position - event_count AND position <= taken.position
                    AND events.command_id = taken.command_id
                ORDER BY position)
    ) THEN
        RAISE EXCEPTION 'a receipt names other events than its command has';
    END IF;
END
$$;
DROP TABLE commands;
ALTER TABLE commands_by_position RENAME TO commands;
ALTER INDEX commands_by_position_pkey RENAME TO commands_pkey;
CREATE TRIGGER commands_are_immutable BEFORE UPDATE OR DELETE ON commands
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER commands_are_kept BEFORE TRUNCATE ON commands
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- An event's id holds its position, so nothing else need find it. Ids that do not are those given before.
CREATE TABLE earlier_event_ids (
    event_id UUID   PRIMARY KEY,
    position BIGINT NOT NULL
);
INSERT INTO earlier_event_ids SELECT event_id, position FROM events;
CREATE TRIGGER earlier_event_ids_are_immutable BEFORE UPDATE OR DELETE ON earlier_event_ids
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER earlier_event_ids_are_kept BEFORE TRUNCATE ON earlier_event_ids
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE events DROP CONSTRAINT events_event_id_key;
