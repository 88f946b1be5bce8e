"""The audit log, as its file has it (docs/howto/audit.md): whole, and with an entry for what it has to hold one for."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from clawgate.domain.audit import Link
from clawgate.stores.audit_file import verified_file

_COMMITTED_WITH = (
    ("device_paired", "SELECT id FROM devices", "SELECT subject FROM audit WHERE action = 'device_paired'"),
    ("device_revoked", "SELECT id FROM devices WHERE revoked_ms > 0", "SELECT subject FROM audit WHERE action = 'device_revoked'"),
)
"""Deeds whose entry is in the commit of the deed: by the rows, and by the log."""


def verified(database: Path, noted: Link | None) -> tuple[Link, list[str]]:
    """The end of the log, and what is wrong with it; `noted` is where it ended before."""
    verdict = verified_file(str(database), noted)
    return verdict.head, [] if verdict.broken is None else [f"the log is broken: {verdict.broken}"]


def unrecorded(database: Path) -> list[str]:
    """What is wrong with the log, and deeds without an entry, and entries without a deed."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        done = [(action, set(connection.execute(rows)), set(connection.execute(log))) for action, rows, log in _COMMITTED_WITH]
    return verified(database, None)[1] + [f"{action}: {one}" for action, rows, log in done for one in rows ^ log]


def entries(database: Path) -> int:
    """How many there are."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        found: int = connection.execute("SELECT count(*) FROM audit").fetchone()[0]
        return found
