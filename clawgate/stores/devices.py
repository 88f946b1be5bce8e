"""Paired devices on SQLite. Ring: edge. Implements `ports.stores.Devices`. The record: domain/devices.py.

A hash that was ever known stays known: a revoked device keeps its row, and a hash that a rotation replaced is retired, so that an old config file brings
neither back (design §4.10).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from functools import partial

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain.audit import Deed
from clawgate.domain.caller import Scope
from clawgate.domain.devices import Device
from clawgate.domain.errors import Conflict, NotFound
from clawgate.stores import audit
from clawgate.stores.operations import Params
from clawgate.stores.readers import Readers, snapshot
from clawgate.stores.writer import Writer

Row = tuple[str, str, str | None, str | None, str, int, int, str | None, int, int, int]

_COLUMNS = "id, token_hash, name, device_type, scopes, paired_ms, last_seen_ms, ip_address, expires_ms, revoked_ms, mirrored"
INSERT = f"INSERT INTO devices ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
UPDATE = (
    "UPDATE devices SET token_hash = ?2, name = ?3, device_type = ?4, scopes = ?5, paired_ms = ?6, last_seen_ms = ?7, ip_address = ?8, expires_ms = ?9, "
    "revoked_ms = CASE WHEN revoked_ms > 0 THEN revoked_ms ELSE ?10 END, mirrored = ?11 WHERE id = ?1"
)
"""A revoked device stays revoked, whatever a writer that had read it before believes."""
BY_HASH = f"SELECT {_COLUMNS} FROM devices WHERE token_hash = ?"  # noqa: S608
BY_ID = f"SELECT {_COLUMNS} FROM devices WHERE id = ?"  # noqa: S608
ALIVE = f"SELECT {_COLUMNS} FROM devices WHERE revoked_ms = 0 AND (expires_ms = 0 OR expires_ms > ?) ORDER BY paired_ms DESC, rowid DESC"  # noqa: S608
MIRRORED = f"SELECT {_COLUMNS} FROM devices WHERE mirrored = 1 AND revoked_ms = 0 AND (expires_ms = 0 OR expires_ms > ?)"  # noqa: S608
UNMIRRORED = (
    f"SELECT {_COLUMNS} FROM devices WHERE mirrored = 0 AND revoked_ms = 0 AND (expires_ms = 0 OR expires_ms > ?) "  # noqa: S608
    "ORDER BY paired_ms, rowid LIMIT ?"
)
MARK_MIRRORED = "UPDATE devices SET mirrored = 1 WHERE id = ?"
PAIRED_UNTIL = (
    "SELECT coalesce((SELECT 0 FROM devices WHERE revoked_ms = 0 AND expires_ms = 0 LIMIT 1), "
    "(SELECT max(expires_ms) FROM devices WHERE revoked_ms = 0 AND expires_ms > ?))"
)
KNOWN = (
    "SELECT value FROM json_each(?) WHERE EXISTS (SELECT 1 FROM devices WHERE token_hash = value) "
    "OR EXISTS (SELECT 1 FROM retired_hashes WHERE token_hash = value)"
)
TOUCH = "UPDATE devices SET last_seen_ms = ? WHERE id = ? AND last_seen_ms < ?"
RETIRE = "INSERT OR IGNORE INTO retired_hashes (token_hash, device_id) VALUES (?, ?)"
IS_RETIRED = "SELECT 1 FROM retired_hashes WHERE token_hash = ?"


class SqliteDevices(msgspec.Struct, eq=False):
    """Paired devices."""

    writer: Writer
    readers: Readers

    def add(self, device: Device, deed: Deed | None = None) -> Deferred[None]:
        """`ports.stores.Devices.add`."""
        return self.writer.call(partial(_add, device=device, deed=deed))

    def replace(self, device: Device, deed: Deed | None = None) -> Deferred[None]:
        """`ports.stores.Devices.replace`; a hash that is another's, or was ever retired, is a `Conflict`."""
        return self.writer.call(partial(_replace, device=device, deed=deed))

    def by_hash(self, token_hash: str) -> Deferred[Device | None]:
        """`ports.stores.Devices.by_hash`."""
        return self.readers.read(partial(_maybe, sql=BY_HASH, value=token_hash))

    def by_id(self, device_id: str) -> Deferred[Device | None]:
        """`ports.stores.Devices.by_id`."""
        return self.readers.read(partial(_maybe, sql=BY_ID, value=device_id))

    def alive(self, now_ms: int) -> Deferred[tuple[Device, ...]]:
        """`ports.stores.Devices.alive`."""
        return self.readers.read(lambda connection: tuple(map(from_row, connection.execute(ALIVE, (now_ms,)))))

    def to_mirror(self, now_ms: int, most: int) -> Deferred[tuple[Device, ...]]:
        """`ports.stores.Devices.to_mirror`."""
        return self.readers.read(partial(_to_mirror, now_ms=now_ms, most=most))

    def mark_mirrored(self, device_ids: Sequence[str]) -> Deferred[None]:
        """`ports.stores.Devices.mark_mirrored`."""
        return self.writer.call(partial(_many, sql=MARK_MIRRORED, rows=[(device_id,) for device_id in device_ids]))

    def paired_until(self, now_ms: int) -> Deferred[int | None]:
        """`ports.stores.Devices.paired_until`."""
        return self.readers.read(partial(_paired_until, now_ms=now_ms))

    def known(self, hashes: Iterable[str]) -> Deferred[frozenset[str]]:
        """`ports.stores.Devices.known`."""
        asked = msgspec.json.encode(list(hashes)).decode()
        return self.readers.read(lambda connection: frozenset(value for (value,) in connection.execute(KNOWN, (asked,))))

    def touch(self, seen: dict[str, int]) -> Deferred[None]:
        """`ports.stores.Devices.touch`; never moves a time back."""
        rows = [(seen_ms, device_id, seen_ms) for device_id, seen_ms in seen.items()]
        return self.writer.call(partial(_many, sql=TOUCH, rows=rows))


def to_row(device: Device) -> Params:
    """The parameters of `INSERT` and `UPDATE`."""
    scopes = " ".join(sorted(device.scopes))
    head = (device.id, device.token_hash, device.name, device.device_type, scopes, device.paired_ms, device.last_seen_ms)
    return (*head, device.ip_address, device.expires_ms, device.revoked_ms, device.mirrored)


def from_row(row: Row) -> Device:
    """The device of a row in the order of `_COLUMNS`."""
    device_id, token_hash, name, device_type, scopes, paired_ms, last_seen_ms, ip_address, expires_ms, revoked_ms, mirrored = row
    return Device(
        id=device_id,
        token_hash=token_hash,
        name=name,
        device_type=device_type,
        scopes=frozenset(Scope(scope) for scope in scopes.split()),
        paired_ms=paired_ms,
        last_seen_ms=last_seen_ms,
        ip_address=ip_address,
        expires_ms=expires_ms,
        revoked_ms=revoked_ms,
        mirrored=bool(mirrored),
    )


def _maybe(connection: sqlite3.Connection, sql: str, value: str) -> Device | None:
    row = connection.execute(sql, (value,)).fetchone()
    return None if row is None else from_row(row)


def _add(connection: sqlite3.Connection, device: Device, deed: Deed | None) -> None:
    _refuse_retired(connection, device)
    _write(connection, INSERT, device)
    audit.record(connection, deed)


def _replace(connection: sqlite3.Connection, device: Device, deed: Deed | None) -> None:
    before = _maybe(connection, BY_ID, device.id)
    if before is None:
        raise NotFound(f"no device {device.id}")
    if before.token_hash != device.token_hash:
        _refuse_retired(connection, device)
        connection.execute(RETIRE, (before.token_hash, before.id))
    _write(connection, UPDATE, device)
    audit.record(connection, deed)


def _refuse_retired(connection: sqlite3.Connection, device: Device) -> None:
    if connection.execute(IS_RETIRED, (device.token_hash,)).fetchone() is not None:
        raise Conflict("this token was replaced by another")


def _write(connection: sqlite3.Connection, sql: str, device: Device) -> None:
    try:
        connection.execute(sql, to_row(device))
    except sqlite3.IntegrityError as problem:
        raise Conflict("a device with this token or id exists", detail=str(problem)) from problem


def _many(connection: sqlite3.Connection, sql: str, rows: Sequence[Params]) -> None:
    connection.executemany(sql, rows)


def _to_mirror(connection: sqlite3.Connection, now_ms: int, most: int) -> tuple[Device, ...]:
    with snapshot(connection):
        mirrored = connection.execute(MIRRORED, (now_ms,)).fetchall()
        others = connection.execute(UNMIRRORED, (now_ms, most - len(mirrored))).fetchall() if len(mirrored) < most else []
    return tuple(map(from_row, (*mirrored, *others)))


def _paired_until(connection: sqlite3.Connection, now_ms: int) -> int | None:
    until_ms: int | None = connection.execute(PAIRED_UNTIL, (now_ms,)).fetchone()[0]
    return until_ms
