-- The first schema. Ring: edge. Times are wall-clock milliseconds; item and send ids are the integers of domain/ids.py.
-- Long texts stand last in their rows, so that what is read often does not lie behind overflow pages.

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- ready: may be started as far as order is concerned. Always 1 without a conversation. Of a conversation's open items exactly one is ready: the running
-- one, else the one with the lowest id.
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY,
    state TEXT NOT NULL,
    ready INTEGER NOT NULL,
    promised INTEGER NOT NULL,
    keyed INTEGER NOT NULL,
    journalled INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    accepted_ms INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    owner TEXT NOT NULL,
    source TEXT NOT NULL,
    principal TEXT NOT NULL,
    conversation TEXT,
    reply_channel TEXT,
    reply_target TEXT,
    model TEXT,
    error TEXT,
    text TEXT NOT NULL,
    answer TEXT
);
CREATE INDEX inbox_state ON inbox (state, id);
CREATE INDEX inbox_startable ON inbox (id) WHERE state = 'received' AND ready = 1;
CREATE INDEX inbox_due ON inbox (due_ms) WHERE state = 'waiting' AND ready = 1;
CREATE INDEX inbox_line ON inbox (conversation, id) WHERE conversation IS NOT NULL AND state IN ('received', 'running', 'waiting');
CREATE INDEX inbox_busy ON inbox (conversation) WHERE conversation IS NOT NULL AND state = 'running';
CREATE UNIQUE INDEX inbox_lead ON inbox (conversation) WHERE conversation IS NOT NULL AND ready = 1 AND state IN ('received', 'running', 'waiting');
CREATE INDEX inbox_answered ON inbox (conversation, id) WHERE conversation IS NOT NULL AND answer IS NOT NULL;

-- bounded: an idempotency key (scope "key:…"), of which only so many are remembered.
CREATE TABLE dedupe (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    item_id INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    bounded INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
) WITHOUT ROWID;
CREATE INDEX dedupe_item ON dedupe (item_id);
CREATE INDEX dedupe_expiry ON dedupe (expires_ms);
CREATE INDEX dedupe_bounded ON dedupe (item_id) WHERE bounded = 1;

-- head: the one part of its target's line that may go out: the one being sent, else the pending one with the lowest id.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,
    item_id INTEGER NOT NULL,
    part INTEGER NOT NULL,
    state TEXT NOT NULL,
    head INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    channel TEXT NOT NULL,
    target TEXT NOT NULL,
    receipt TEXT,
    error TEXT,
    text TEXT NOT NULL
);
CREATE INDEX outbox_item ON outbox (item_id, id);
CREATE INDEX outbox_line ON outbox (channel, target, id) WHERE state IN ('pending', 'sending');
CREATE INDEX outbox_busy ON outbox (channel, target) WHERE state = 'sending';
CREATE UNIQUE INDEX outbox_head ON outbox (channel, target) WHERE head = 1 AND state IN ('pending', 'sending');
CREATE INDEX outbox_startable ON outbox (channel, id) WHERE state = 'pending' AND head = 1;

CREATE TABLE devices (
    id TEXT PRIMARY KEY,
    token_hash TEXT NOT NULL UNIQUE,
    name TEXT,
    device_type TEXT,
    scopes TEXT NOT NULL,
    paired_ms INTEGER NOT NULL,
    last_seen_ms INTEGER NOT NULL,
    ip_address TEXT,
    expires_ms INTEGER NOT NULL,
    revoked_ms INTEGER NOT NULL,
    mirrored INTEGER NOT NULL
);

-- Hashes that a rotation replaced: known and dead for ever, so that no old file brings them back.
CREATE TABLE retired_hashes (
    token_hash TEXT PRIMARY KEY,
    device_id TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE memory (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    category TEXT NOT NULL,
    session TEXT,
    created_ms INTEGER NOT NULL,
    content TEXT NOT NULL
);
CREATE INDEX memory_newest ON memory (created_ms, id);
