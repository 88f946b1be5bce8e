-- Questions about tool calls outlive the process that asked them (domain/journal.py): state = 'asked'; the id is '' while nobody was asked.
ALTER TABLE tool_steps ADD COLUMN approval_id TEXT NOT NULL DEFAULT '';
ALTER TABLE tool_steps ADD COLUMN asked_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tool_steps ADD COLUMN expires_ms INTEGER NOT NULL DEFAULT 0;
CREATE INDEX tool_steps_asked ON tool_steps (approval_id) WHERE state = 'asked';
