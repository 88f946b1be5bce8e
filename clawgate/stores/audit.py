"""The audit log on SQLite. Ring: edge. Implements `ports.audit.AuditRows`. Schema: sql/0009_audit.sql; the chain: domain/audit.py.

The chain is made inside of the writer's transaction: there is one writer, so the last row is the one to follow on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain import audit
from clawgate.domain.audit import Deed, Entry, Link, Verdict
from clawgate.domain.errors import StoreUnavailable
from clawgate.stores.readers import Readers, snapshot
from clawgate.stores.writer import Writer

_COLUMNS = "seq, at_ms, action, actor, subject, outcome, detail, prev, digest"
INSERT = f"INSERT INTO audit ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
LAST = "SELECT seq, digest FROM audit ORDER BY seq DESC LIMIT 1"
ANCHOR = "SELECT seq, digest FROM audit_anchor"
ALL = f"SELECT {_COLUMNS} FROM audit ORDER BY seq"  # noqa: S608
NEWEST = f"SELECT {_COLUMNS} FROM (SELECT {_COLUMNS} FROM audit ORDER BY seq DESC LIMIT ?) ORDER BY seq"  # noqa: S608
FIRST_YOUNG = "SELECT seq FROM audit WHERE at_ms >= ? ORDER BY seq LIMIT 1"
LAST_OLD = "SELECT seq, digest FROM (SELECT seq, digest FROM audit WHERE seq < ? ORDER BY seq LIMIT ?) ORDER BY seq DESC LIMIT 1"
MOVE_ANCHOR = "UPDATE audit_anchor SET seq = ?, digest = ?"
PRUNE = "DELETE FROM audit WHERE seq <= ?"
_BEYOND = 1 << 62


class SqliteAudit(msgspec.Struct, eq=False):
    """The audit log."""

    writer: Writer
    readers: Readers

    def append(self, deed: Deed) -> Deferred[Link]:
        """`ports.audit.AuditRows.append`."""
        return self.writer.call(partial(append, deed=deed))

    def head(self) -> Deferred[Link]:
        """`ports.audit.AuditRows.head`."""
        return self.readers.read(_head)

    def page(self, since_ms: int, actions: frozenset[str], before: int, limit: int) -> Deferred[tuple[Entry, ...]]:
        """`ports.audit.AuditRows.page`."""
        return self.readers.read(partial(_page, since_ms=since_ms, actions=tuple(sorted(actions)), before=before or _BEYOND, limit=limit))

    def verify(self, noted: Link | None) -> Deferred[Verdict]:
        """`ports.audit.AuditRows.verify`."""
        return self.readers.read(partial(verified, noted=noted))

    def check_end(self, entries: int) -> Deferred[Verdict]:
        """`ports.audit.AuditRows.check_end`."""
        return self.readers.read(partial(_check_end, entries=entries))

    def prune(self, before_ms: int, now_ms: int, most: int) -> Deferred[int]:
        """`ports.audit.AuditRows.prune`."""
        return self.writer.call(partial(_prune, before_ms=before_ms, now_ms=now_ms, most=most))


def record(connection: sqlite3.Connection, deed: Deed | None) -> None:
    """`append` for operations that are recorded unless the log is switched off."""
    if deed is not None:
        append(connection, deed)


def append(connection: sqlite3.Connection, deed: Deed) -> Link:
    """Adds a deed in the transaction that is open.

    Raises:
        StoreUnavailable: the log takes nothing.
    """
    entry = audit.chained(deed, _head(connection))
    try:
        connection.execute(INSERT, to_row(entry))
    except sqlite3.IntegrityError as problem:
        raise StoreUnavailable("the audit log takes nothing", detail=str(problem)) from problem
    return entry.link


def to_row(entry: Entry) -> tuple[object, ...]:
    """The parameters of `INSERT`."""
    return (entry.seq, entry.at_ms, entry.action, entry.actor, entry.subject, entry.outcome, entry.detail, entry.prev, entry.digest)


def verified(connection: sqlite3.Connection, noted: Link | None = None) -> Verdict:
    """Whether the log is as it was written; anchor and entries are read in one snapshot. Raises BadRequest: as `domain.audit.verify`."""
    with _tampered(connection):
        return audit.verify(_entries(connection.execute(ALL)), _anchor(connection), noted)


def _head(connection: sqlite3.Connection) -> Link:
    row = connection.execute(LAST).fetchone()
    return _anchor(connection) if row is None else Link(*row)


def _anchor(connection: sqlite3.Connection) -> Link:
    row = connection.execute(ANCHOR).fetchone()
    return Link() if row is None else Link(*row)


def _entries(cursor: sqlite3.Cursor) -> Iterator[Entry]:
    for seq, at_ms, *texts in cursor:
        action, actor, subject, outcome, detail, prev, digest = map(str, texts)  # a tampered column may hold anything
        yield Entry(seq=seq, at_ms=at_ms, action=action, actor=actor, subject=subject, outcome=outcome, detail=detail, prev=prev, digest=digest)


@contextmanager
def _tampered(connection: sqlite3.Connection) -> Iterator[None]:
    """What is read inside is of one moment, and need not be UTF-8."""
    connection.text_factory = _text
    try:
        with snapshot(connection):
            yield
    finally:
        connection.text_factory = str


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _page(connection: sqlite3.Connection, since_ms: int, actions: tuple[str, ...], before: int, limit: int) -> tuple[Entry, ...]:
    wanted = f"AND action IN ({', '.join('?' * len(actions))}) " if actions else ""
    sql = f"SELECT {_COLUMNS} FROM audit WHERE seq < ? AND at_ms >= ? {wanted}ORDER BY seq DESC LIMIT ?"  # noqa: S608
    with _tampered(connection):
        return tuple(_entries(connection.execute(sql, (before, since_ms, *actions, limit))))


def _check_end(connection: sqlite3.Connection, entries: int) -> Verdict:
    with _tampered(connection):
        found, anchor = tuple(_entries(connection.execute(NEWEST, (entries,)))), _anchor(connection)
    if not found or found[0].seq <= anchor.seq + 1:
        return audit.follow(found, anchor)
    return audit.follow(found, Link(found[0].seq - 1, found[0].prev))


def _prune(connection: sqlite3.Connection, before_ms: int, now_ms: int, most: int) -> int:
    young = connection.execute(FIRST_YOUNG, (before_ms,)).fetchone()
    row = connection.execute(LAST_OLD, (_BEYOND if young is None else young[0], most)).fetchone()
    if row is None:
        return 0
    anchor = Link(*row)
    connection.execute(MOVE_ANCHOR, (anchor.seq, anchor.digest))
    gone = connection.execute(PRUNE, (anchor.seq,)).rowcount
    append(connection, audit.pruned(now_ms, anchor, gone))
    return gone
