-- When the turn under way, or the one that answered, was started (0 = at once, with the accept), and whom it asked (domain/attempts.py).
ALTER TABLE inbox ADD COLUMN started_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE inbox ADD COLUMN provider TEXT;

-- Attempts that ended without an answer, or whose item has moved on since; the others are told from the item's row.
CREATE TABLE attempts (
    item_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    error TEXT,
    retry_ms INTEGER,
    provider TEXT,
    model TEXT,
    PRIMARY KEY (item_id, number)
) WITHOUT ROWID;
