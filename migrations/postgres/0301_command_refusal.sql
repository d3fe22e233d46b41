-- A process manager's step that a rule refused leaves a receipt, too (docs/adr/0027): the refusal as JSON.
ALTER TABLE commands ADD COLUMN refusal TEXT;
