-- The knowledge base: documents, their passages, the index over these, groups (domain/knowledge.py).

CREATE TABLE kb_documents (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    filename TEXT NOT NULL,
    kind TEXT NOT NULL,
    categories TEXT NOT NULL,
    headings TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    chars INTEGER NOT NULL,
    words INTEGER NOT NULL,
    chunks INTEGER NOT NULL,
    pages INTEGER,
    low_text INTEGER NOT NULL,
    hidden INTEGER NOT NULL DEFAULT 0,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
);

-- What was uploaded, apart from the rest so that lists do not read it.
CREATE TABLE kb_originals (
    seq INTEGER PRIMARY KEY,
    data BLOB NOT NULL
);

CREATE TABLE kb_chunks (
    id INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    position INTEGER NOT NULL,
    title TEXT NOT NULL,
    section TEXT NOT NULL,
    content TEXT NOT NULL
);
CREATE UNIQUE INDEX kb_chunks_order ON kb_chunks (seq, position);

CREATE VIRTUAL TABLE kb_index USING fts5(
    title, section, content,
    content = 'kb_chunks', content_rowid = 'id',
    tokenize = 'porter unicode61 remove_diacritics 2'
);
CREATE TRIGGER kb_chunk_added AFTER INSERT ON kb_chunks BEGIN
    INSERT INTO kb_index (rowid, title, section, content) VALUES (new.id, new.title, new.section, new.content);
END;
CREATE TRIGGER kb_chunk_removed AFTER DELETE ON kb_chunks BEGIN
    INSERT INTO kb_index (kb_index, rowid, title, section, content) VALUES ('delete', old.id, old.title, old.section, old.content);
END;

CREATE TABLE kb_groups (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    color TEXT NOT NULL,
    created_ms INTEGER NOT NULL
);

CREATE TABLE kb_members (
    group_seq INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (group_seq, seq)
) WITHOUT ROWID;
CREATE INDEX kb_members_document ON kb_members (seq);
