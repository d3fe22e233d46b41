-- Every process manager stands on its own (docs/adr/0028): its place in the log, its steps.
-- How far a process manager has folded the log.
CREATE TABLE saga_cursors (
    saga             TEXT PRIMARY KEY,
    -- The version of the states that it keeps; where the program's is higher they are folded again.
    state_version    INTEGER NOT NULL,
    position         INTEGER NOT NULL,
    -- The event at that position, as in views.
    event_id         BLOB    NOT NULL,
    -- Up by one with every change: whoever changes it has seen the one before.
    revision         INTEGER NOT NULL,
    -- Triggers that led to steps so far: steps are sent in this order.
    triggers         INTEGER NOT NULL,
    -- An event that concerns all of a trial, and the key of the last instance that it was folded onto.
    fan_out_position INTEGER,
    fan_out_after    TEXT
) STRICT;

-- Commands that process managers have decided to send and that have not come to an end.
CREATE TABLE saga_steps (
    -- Derived from instance, trigger and step: the same step is sent once.
    command_id     BLOB PRIMARY KEY,
    saga           TEXT NOT NULL,
    instance_id    BLOB NOT NULL,
    -- Steps of one instance are sent in the order of trigger and place.
    sequence       INTEGER NOT NULL,
    place          INTEGER NOT NULL,
    name           TEXT NOT NULL,
    trigger_id     BLOB NOT NULL,
    causation_id   BLOB,
    correlation_id BLOB NOT NULL,
    trace_context  TEXT,
    command        TEXT NOT NULL,
    -- The state of the instance when the step was decided: what a refusal means is decided on it.
    state          TEXT NOT NULL,
    -- `pending`, or `dead` while an operator has to look at it.
    status         TEXT NOT NULL,
    attempts       INTEGER NOT NULL
) STRICT;
CREATE INDEX saga_steps_by_order ON saga_steps (saga, status, sequence, place, command_id);
