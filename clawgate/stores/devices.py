"""Paired devices on SQLite. Ring: edge. Implements `ports.stores.Devices`. The record: domain/devices.py.

A hash that was ever known stays known: a revoked device keeps its row, and a hash that a rotation replaced is retired, so that an old config file brings
neither back (design §4.10).
"""

from __future__ import annotations

import sqlite3
from functools import partial

from attrs import define
from twisted.internet.defer import Deferred

from clawgate.domain.audit import Deed
from clawgate.domain.caller import Scope
from clawgate.domain.devices import Device
from clawgate.domain.errors import Conflict, NotFound
from clawgate.stores import audit
from clawgate.stores.operations import Params
from clawgate.stores.readers import Readers
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
HASHES = "SELECT token_hash, 0 FROM retired_hashes UNION ALL SELECT token_hash, revoked_ms = 0 FROM devices"
TOUCH = "UPDATE devices SET last_seen_ms = ? WHERE id = ? AND last_seen_ms < ?"
RETIRE = "INSERT OR IGNORE INTO retired_hashes (token_hash, device_id) VALUES (?, ?)"
IS_RETIRED = "SELECT 1 FROM retired_hashes WHERE token_hash = ?"


@define(eq=False)
class SqliteDevices:
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

    def all_hashes(self) -> Deferred[dict[str, bool]]:
        """`ports.stores.Devices.all_hashes`; hashes that a rotation replaced are there, and dead."""
        return self.readers.read(lambda connection: {token_hash: bool(alive) for token_hash, alive in connection.execute(HASHES)})

    def touch(self, seen: dict[str, int]) -> Deferred[None]:
        """`ports.stores.Devices.touch`; never moves a time back."""
        rows = [(seen_ms, device_id, seen_ms) for device_id, seen_ms in seen.items()]
        return self.writer.call(partial(_touch, rows=rows))


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


def _touch(connection: sqlite3.Connection, rows: list[tuple[int, str, int]]) -> None:
    connection.executemany(TOUCH, rows)
