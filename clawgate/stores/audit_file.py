"""The audit log of a database that no daemon has open. Ring: edge. Blocking; for the command line, which holds the state directory's lock meanwhile."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from urllib.parse import quote

from clawgate.domain.audit import Link, Verdict
from clawgate.domain.errors import Invalid, StoreUnavailable
from clawgate.stores import audit
from clawgate.stores.migrations import APPLICATION_ID


def verified_file(path: str, noted: Link | None) -> Verdict:
    """Whether the log in the file is as it was written; nothing is changed.

    Raises:
        Invalid: there is no such file, or it is not a database of a clawgate that keeps an audit log. StoreUnavailable: it cannot be read.
        BadRequest: the noted head has been pruned.
    """
    if not os.path.exists(path):
        raise Invalid(path, "is not there", "Let `store.url` name the database, or start the daemon once")
    try:
        with closing(sqlite3.connect(f"file:{quote(os.path.abspath(path))}?mode=ro", uri=True, isolation_level=None)) as connection:
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if application != APPLICATION_ID or "audit" not in tables:
                raise Invalid(path, "holds no audit log", "Start the daemon of this version once, or name another file")
            return audit.verified(connection, noted)
    except sqlite3.Error as problem:
        raise StoreUnavailable(f"{path} cannot be read: {problem}") from problem
