-- What a turn was asked with, what its tools did, and small facts that must survive a restart.

-- JSON of domain/messages.py TurnOptions; NULL = none.
ALTER TABLE inbox ADD COLUMN options TEXT;

-- The journal of tool calls: intent, then result (domain/journal.py).
CREATE TABLE tool_steps (
    item_id INTEGER NOT NULL,
    step INTEGER NOT NULL,
    round INTEGER NOT NULL,
    state TEXT NOT NULL,
    idempotent INTEGER NOT NULL,
    ok INTEGER,
    updated_ms INTEGER NOT NULL,
    call_id TEXT NOT NULL,
    tool TEXT NOT NULL,
    said TEXT NOT NULL,
    arguments TEXT NOT NULL,
    result TEXT,
    PRIMARY KEY (item_id, step)
) WITHOUT ROWID;

-- JSON by kind and key; expires_ms 0 = never.
CREATE TABLE facts (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    expires_ms INTEGER NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE INDEX facts_expiry ON facts (expires_ms) WHERE expires_ms > 0;
