"""Rows of sessions and their statements. Ring: edge. Schema: sql/0003_sessions.sql; the records: domain/sessions.py."""

from __future__ import annotations

import sqlite3

from twisted.logger import Logger

from clawgate.domain.caller import UNBOUND, Scope
from clawgate.domain.inbox import Item
from clawgate.domain.sessions import SOURCE, Message, Session, title_of
from clawgate.domain.turn import Role

_log = Logger()
_COLUMNS = "id, title, model, principal, started_ms, source, message_count"
_OWN = "(?1 IS NULL OR principal = ?1)"

CREATE = "INSERT INTO sessions (id, title, model, principal, started_ms, source, message_count) VALUES (?, ?, ?, ?, ?, ?, 0)"
OWNER = "SELECT number, principal FROM sessions WHERE id = ?"
SCOPES = "SELECT scopes FROM devices WHERE id = ? AND revoked_ms = 0"
ADD = "INSERT INTO session_messages (session, role, at_ms, content) VALUES (?, ?, ?, ?)"
COUNT = "UPDATE sessions SET message_count = message_count + ? WHERE number = ?"

GET = f"SELECT {_COLUMNS} FROM sessions WHERE id = ?"  # noqa: S608
NEWEST = f"SELECT {_COLUMNS} FROM sessions ORDER BY started_ms DESC, number DESC LIMIT ? OFFSET ?"  # noqa: S608
NEWEST_OWN = f"SELECT {_COLUMNS} FROM sessions WHERE principal = ? ORDER BY started_ms DESC, number DESC LIMIT ? OFFSET ?"  # noqa: S608
ACTIVE = (
    f"SELECT {_COLUMNS}, coalesce((SELECT at_ms FROM session_messages WHERE session = number ORDER BY session DESC, id DESC LIMIT 1), started_ms) AS last_ms "  # noqa: S608
    f"FROM sessions WHERE {_OWN} ORDER BY last_ms DESC, number DESC LIMIT ?2"
)
TOTAL = f"SELECT count(*) FROM sessions WHERE {_OWN}"  # noqa: S608
EXACT = f"SELECT {_COLUMNS} FROM sessions WHERE id = ?2 AND {_OWN}"  # noqa: S608
BEGINNING = f"SELECT {_COLUMNS} FROM sessions WHERE id >= ?2 AND id < ?2 || char(1114111) AND {_OWN} ORDER BY id LIMIT 1"  # noqa: S608
COUNT_BEGINNING = f"SELECT count(*) FROM sessions WHERE id >= ?2 AND id < ?2 || char(1114111) AND {_OWN}"  # noqa: S608
MESSAGES = "SELECT role, content, at_ms FROM session_messages WHERE session = (SELECT number FROM sessions WHERE id = ?) ORDER BY session DESC, id DESC LIMIT ?"
RENAME = "UPDATE sessions SET title = ? WHERE id = ?"
NUMBER = "SELECT number FROM sessions WHERE id = ?"
REMOVE_MESSAGES = "DELETE FROM session_messages WHERE session = ?"
REMOVE = "DELETE FROM sessions WHERE number = ?"
SUMS = "SELECT count(*), total(message_count) FROM (SELECT message_count FROM sessions ORDER BY started_ms DESC, number DESC LIMIT ?)"
SUMS_OWN = "SELECT count(*), total(message_count) FROM (SELECT message_count FROM sessions WHERE principal = ? ORDER BY started_ms DESC, number DESC LIMIT ?)"

PROBE = "SELECT rowid FROM session_search WHERE session_search MATCH ? LIMIT 1"
RANKED = """
WITH best AS MATERIALIZED (
    SELECT rowid AS id, bm25(session_search, 1.0, 0.0) AS score FROM session_search WHERE session_search MATCH ? ORDER BY score, rowid DESC LIMIT ?
)
SELECT sessions.id, sessions.title, session_messages.role, session_messages.content, session_messages.at_ms, best.score
FROM best JOIN session_messages ON session_messages.id = best.id JOIN sessions ON sessions.number = session_messages.session
ORDER BY best.score, best.id DESC
"""
"""The best matches. The time it takes grows with the messages that hold any of the words, found or not."""
RECENT = """
WITH found AS MATERIALIZED (SELECT rowid AS id FROM session_search WHERE session_search MATCH ? ORDER BY rowid DESC LIMIT ?)
SELECT sessions.id, sessions.title, session_messages.role, session_messages.content, session_messages.at_ms
FROM found JOIN session_messages ON session_messages.id = found.id JOIN sessions ON sessions.number = session_messages.session
ORDER BY found.id DESC
"""
"""The newest matches."""
LAST = "SELECT max(id) FROM session_messages"


def from_row(row: tuple[str, str | None, str, str, int, str, int]) -> Session:
    """The session of a row in the order of `_COLUMNS`."""
    session_id, title, model, principal, started_ms, source, count = row
    return Session(id=session_id, title=title, model=model, principal=principal, started_ms=started_ms, source=source, message_count=count)


def message(role: str, content: str, at_ms: int) -> Message:
    """The message of a row."""
    return Message(Role(role), content, at_ms)


def save(connection: sqlite3.Connection, item: Item, now_ms: int) -> None:
    """Saves question and answer of a turn in its session, which is made by the first of them.

    Args:
        item: answered; its options name the session.
        now_ms: when the answer was committed.
    """
    assert item.options is not None  # the caller looked
    session = _session(connection, item, item.options.session)
    if session is None:
        return
    for role, at_ms, content in ((Role.USER, item.accepted_ms, item.text), (Role.ASSISTANT, now_ms, item.answer or "")):
        connection.execute(ADD, (session, role.value, at_ms, content))
    connection.execute(COUNT, (2, session))


def _session(connection: sqlite3.Connection, item: Item, session_id: str) -> int | None:
    found = connection.execute(OWNER, (session_id,)).fetchone()
    if found is None:
        row = (session_id, title_of(item.text), item.model or "", item.principal, item.accepted_ms, SOURCE)
        return connection.execute(CREATE, row).lastrowid
    number, principal = found
    if principal != item.principal and not _sees_everything(connection, item.principal):
        # Two callers named one new session at once: the second must not end up in, or read, what the first says.
        _log.warn("the turn {item} is not saved: its session belongs to somebody else", item=item.id)
        return None
    return int(number)


def _sees_everything(connection: sqlite3.Connection, principal: str) -> bool:
    if principal in UNBOUND:
        return True
    row = connection.execute(SCOPES, (principal,)).fetchone()
    return row is not None and Scope.ADMIN.value in row[0].split()
