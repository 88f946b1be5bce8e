-- A key names one item, and an item has one key at most. In the order of items a record is written beside the one before it, and what leads to it by another
-- way holds no copy of the key; only the index that recognises a second copy is in the order of keys.
CREATE TABLE message_keys (
    item_id INTEGER PRIMARY KEY,
    expires_ms INTEGER NOT NULL,
    bounded INTEGER NOT NULL,
    scope TEXT NOT NULL,
    key TEXT NOT NULL
);
-- Of a signed delivery's digest, half is kept (domain/idempotency.py).
INSERT INTO message_keys
SELECT item_id, expires_ms, bounded, scope, iif(scope LIKE 'hook:%' AND key LIKE 'digest:%', substr(key, 1, 39), key) FROM dedupe ORDER BY item_id;
CREATE UNIQUE INDEX message_keys_named ON message_keys (scope, key);
CREATE INDEX message_keys_expiry ON message_keys (expires_ms);
CREATE INDEX message_keys_bounded ON message_keys (item_id) WHERE bounded = 1;
DROP TABLE dedupe;
