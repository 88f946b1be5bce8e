"""Opening a database: schema, migrations, the copy made before them. Ring: edge. Source: design §3, §7 ("a database of a newer schema is refused").

`PRAGMA user_version` is the number of the last migration; migrations only go forward. An existing database is copied before it is changed:
`NAME.backup-v<old>-<milliseconds>` beside it.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from importlib import resources

import msgspec

from clawgate.domain.errors import Invalid

APPLICATION_ID = 0x636C6177
"""Marks the file as clawgate's ("claw")."""
_NAME = re.compile(r"(\d{4})_\w+\.sql")


class Migration(msgspec.Struct, frozen=True):
    """One step of the schema; `number` counts from 1 without gaps."""

    number: int
    sql: str


def shipped() -> tuple[Migration, ...]:
    """The migrations in the package, in order."""
    found = []
    for entry in resources.files("clawgate.stores.sql").iterdir():
        match = _NAME.fullmatch(entry.name)
        if match is not None:
            found.append(Migration(int(match[1]), entry.read_text("utf-8")))
    return tuple(sorted(found, key=lambda migration: migration.number))


def migrate(connection: sqlite3.Connection, path: str, migrations: Sequence[Migration], backups_kept: int, now_ms: int) -> None:
    """Brings the database to the newest of `migrations`.

    Args:
        path: the database's file; the copy is made beside it.
        backups_kept: 0 = no copy is made.
        now_ms: wall clock, for the copy's name.

    Raises:
        Invalid: the file belongs to a newer clawgate or to another program.
        sqlite3.Error: the copy or a migration failed; the database is as it was.
    """
    version, application = _pragma(connection, "user_version"), _pragma(connection, "application_id")
    is_new = not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    newest = migrations[-1].number
    if version > newest:
        raise Invalid(
            path, f"has schema {version}, this clawgate knows {newest}", "Install the newer clawgate, or restore the backup made before its migration"
        )
    if not is_new and application != APPLICATION_ID:
        raise Invalid(path, "is the database of another program", "Let `store.url` name another file")
    if version < newest and not is_new and backups_kept > 0:
        _back_up(connection, f"{path}.backup-v{version}-{now_ms}")
        _prune(path, backups_kept)
    pending = [migration.sql for migration in migrations if migration.number > version]
    if pending:
        _apply(connection, pending, newest)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _apply(connection: sqlite3.Connection, pending: Sequence[str], newest: int) -> None:
    """All of them or none: a release that cannot finish leaves a database that the one before can open, and the disk is waited for once."""
    script = "\n;".join(pending)
    try:
        connection.executescript(f"BEGIN IMMEDIATE;\n{script}\n;PRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {newest};\nCOMMIT;")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _back_up(connection: sqlite3.Connection, path: str) -> None:
    partial = path + ".partial"
    os.close(os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
    with closing(sqlite3.connect(partial)) as copy:
        connection.backup(copy)
    os.replace(partial, path)


def _prune(path: str, kept: int) -> None:
    directory, name = os.path.split(path)
    pattern = re.compile(re.escape(name) + r"\.backup-v\d+-(\d+)")
    made = {entry: int(match[1]) for entry in os.listdir(directory or ".") if (match := pattern.fullmatch(entry))}
    for entry in sorted(made, key=made.__getitem__)[:-kept]:
        os.unlink(os.path.join(directory, entry))
