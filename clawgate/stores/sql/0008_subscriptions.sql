-- Events for subscribers outside (domain/subscriptions.py).

-- condition, reason, attempts, due_ms …: how it stands with the head of its line. depth: deliveries in line; most: how many there may be.
-- missed: events that found the line full; missed_told: how many of them the subscriber has been told about.
CREATE TABLE subscriptions (
    name TEXT PRIMARY KEY,
    condition TEXT NOT NULL DEFAULT 'active',
    reason TEXT NOT NULL DEFAULT '',
    attempts INTEGER NOT NULL DEFAULT 0,
    due_ms INTEGER NOT NULL DEFAULT 0,
    pace_ms INTEGER NOT NULL DEFAULT 0,
    failing_since_ms INTEGER NOT NULL DEFAULT 0,
    last_status INTEGER,
    last_error TEXT NOT NULL DEFAULT '',
    last_attempt_ms INTEGER NOT NULL DEFAULT 0,
    last_success_ms INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT 0,
    depth INTEGER NOT NULL DEFAULT 0,
    most INTEGER NOT NULL DEFAULT 0,
    missed INTEGER NOT NULL DEFAULT 0,
    missed_told INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- Which subscription asks for which kind now.
CREATE TABLE subscription_wishes (
    kind TEXT NOT NULL,
    subscription TEXT NOT NULL,
    has_answer INTEGER NOT NULL,
    PRIMARY KEY (kind, subscription)
) WITHOUT ROWID;

-- id: of the delivery, on the wire; random, so that none comes twice even after a backup was restored.
CREATE TABLE subscription_queue (
    number INTEGER PRIMARY KEY,
    subscription TEXT NOT NULL,
    id TEXT NOT NULL UNIQUE DEFAULT ('msg_' || lower(hex(randomblob(16)))),
    kind TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX subscription_queue_line ON subscription_queue (subscription, number);

CREATE TABLE subscription_attempts (
    number INTEGER PRIMARY KEY,
    subscription TEXT NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    status INTEGER,
    error TEXT NOT NULL
);
CREATE INDEX subscription_attempts_line ON subscription_attempts (subscription, number);
