-- Sessions and their messages, and full-text indexes over them and over what is remembered (domain/sessions.py, domain/memory.py).

CREATE TABLE sessions (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    principal TEXT NOT NULL,
    source TEXT NOT NULL,
    model TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    message_count INTEGER NOT NULL,
    title TEXT
);
CREATE INDEX sessions_newest ON sessions (started_ms, number);
CREATE INDEX sessions_own ON sessions (principal, started_ms, number);

CREATE TABLE session_messages (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    role TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    content TEXT NOT NULL
);
CREATE INDEX session_messages_line ON session_messages (session, id);

-- Contentless: the texts are in the tables. `owner` and `tags` hold one word for each thing to filter by (`o` and `c` before the UTF-8 bytes in
-- hexadecimal), so that a filter is one more term of the match and nothing has to be looked up row by row. Prefixes of up to three characters are
-- indexed, because `a*` would otherwise visit every word there is.
CREATE VIRTUAL TABLE session_search USING fts5 (content, owner, content = '', tokenize = 'unicode61 remove_diacritics 2', prefix = '1 2 3');
CREATE TRIGGER session_messages_added AFTER INSERT ON session_messages BEGIN
    INSERT INTO session_search (rowid, content, owner) SELECT new.id, new.content, 'o' || hex(principal) FROM sessions WHERE number = new.session;
END;
-- The session's row goes after its messages: the index needs the very words it was given.
CREATE TRIGGER session_messages_removed AFTER DELETE ON session_messages BEGIN
    INSERT INTO session_search (session_search, rowid, content, owner)
    SELECT 'delete', old.id, old.content, 'o' || hex(principal) FROM sessions WHERE number = old.session;
END;

-- Whose a memory is; NULL = everybody's. Up to here the session of a core memory was its principal.
ALTER TABLE memory ADD COLUMN principal TEXT;
UPDATE memory SET principal = session, session = NULL WHERE category = 'core';
CREATE INDEX memory_category ON memory (category, created_ms, id);

-- "conversation" is what is remembered by itself, with every message: it is not indexed, since that would slow every accept.
CREATE VIRTUAL TABLE memory_search USING fts5 (content, tags, content = '', tokenize = 'unicode61 remove_diacritics 2');
CREATE TRIGGER memory_added AFTER INSERT ON memory WHEN new.category <> 'conversation' BEGIN
    INSERT INTO memory_search (rowid, content, tags)
    VALUES (new.id, new.content, 'c' || hex(new.category) || ' ' || iif(new.principal IS NULL, 'shared', 'o' || hex(new.principal)));
END;
-- Fires for a replaced row too, as `recursive_triggers` is on.
CREATE TRIGGER memory_removed AFTER DELETE ON memory WHEN old.category <> 'conversation' BEGIN
    INSERT INTO memory_search (memory_search, rowid, content, tags)
    VALUES ('delete', old.id, old.content, 'c' || hex(old.category) || ' ' || iif(old.principal IS NULL, 'shared', 'o' || hex(old.principal)));
END;
INSERT INTO memory_search (rowid, content, tags)
SELECT id, content, 'c' || hex(category) || ' ' || iif(principal IS NULL, 'shared', 'o' || hex(principal)) FROM memory WHERE category <> 'conversation';
