-- Commands that process managers have decided to send and that have not come to an end.
CREATE TABLE saga_steps (
    -- Derived from instance, trigger and step: the same step is sent once.
    command_id     BLOB PRIMARY KEY,
    instance_id    BLOB NOT NULL,
    -- Steps of one instance are sent in this order.
    sequence       INTEGER NOT NULL,
    name           TEXT NOT NULL,
    trigger_id     BLOB NOT NULL,
    causation_id   BLOB,
    correlation_id BLOB NOT NULL,
    command        TEXT NOT NULL,
    -- `pending`, or `dead` while an operator has to look at it.
    status         TEXT NOT NULL,
    attempts       INTEGER NOT NULL
) STRICT;
CREATE INDEX saga_steps_by_status ON saga_steps (status, sequence, command_id);
