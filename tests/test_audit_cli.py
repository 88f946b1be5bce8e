"""`clawgate audit` through a daemon, and on the database of one that does not run. Source: docs/howto/audit.md."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from clawgate.domain.audit import GENESIS, Action, Link, deed
from clawgate.stores import audit, migrations
from clawgate.system.lock import StateLock
from tests.test_cli import Daemon, Home, Run, clawgate, daemon, home

__all__ = ["clawgate", "daemon", "home"]  # fixtures
HEAD = f"3:{'a' * 64}"


@pytest.fixture
def database(home: Home) -> Path:
    """Of a daemon that has ended, with five entries."""
    path = home.state_dir / "clawgate.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrations.migrate(connection, str(path), migrations.shipped(), 0, 0)
        connection.execute("PRAGMA journal_mode = WAL")
        for number in range(1, 6):
            audit.append(connection, deed(number, Action.COMMAND, "ann", f"thing {number}"))
    return path


@pytest.fixture
def entries(database: Path) -> Iterator[sqlite3.Connection]:
    """For somebody who may write the file, and knows how."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'audit%'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        yield connection


def head_of(database: Path, seq: int) -> str:
    with closing(sqlite3.connect(database)) as connection:
        return str(Link(*connection.execute("SELECT seq, digest FROM audit WHERE seq = ?", (seq,)).fetchone()))


def test_an_untouched_log_is_intact(database: Path, clawgate: Run) -> None:
    done = clawgate("audit", "verify")
    assert (done.exit_code, done.stdout) == (0, f"The audit log is intact: 5 entries. It ends at {head_of(database, 5)}\n")
    assert clawgate("audit", "verify", "--head", head_of(database, 3)).exit_code == 0


@pytest.mark.parametrize(
    ("statement", "seq"),
    [
        ("UPDATE audit SET actor = 'bob' WHERE seq = 3", 3),
        ("UPDATE audit SET detail = '{\"x\":1}' WHERE seq = 1", 1),
        ("UPDATE audit SET at_ms = 0 WHERE seq = 5", 5),
        ("DELETE FROM audit WHERE seq = 4", 4),
        ("DELETE FROM audit WHERE seq < 3", 1),
        ("UPDATE audit_anchor SET seq = 2, digest = (SELECT digest FROM audit WHERE seq = 2); DELETE FROM audit WHERE seq < 3", 2),
    ],
)
def test_a_database_that_was_tampered_with_is_named_at_its_entry(statement: str, seq: int, entries: sqlite3.Connection, clawgate: Run) -> None:
    entries.executescript(statement)
    done = clawgate("audit", "verify")
    assert (done.exit_code, f"BROKEN at entry {seq}:" in done.stdout) == (1, True)
    told = json.loads(clawgate("audit", "verify", "--json").stdout)
    assert (told["intact"], told["broken"]["seq"]) == (False, seq)


def test_a_cut_off_end_needs_a_noted_head(entries: sqlite3.Connection, database: Path, clawgate: Run) -> None:
    noted = head_of(database, 5)
    entries.execute("DELETE FROM audit WHERE seq > 3")
    assert clawgate("audit", "verify").exit_code == 0
    done = clawgate("audit", "verify", "--head", noted)
    assert (done.exit_code, "BROKEN at entry 4:" in done.stdout) == (1, True)


def test_a_log_that_was_computed_anew_needs_a_noted_head(entries: sqlite3.Connection, database: Path, clawgate: Run) -> None:
    noted = head_of(database, 4)
    entries.execute("DELETE FROM audit")
    for number in range(1, 6):
        audit.append(entries, deed(number, Action.COMMAND, "bob", f"thing {number}"))
    assert clawgate("audit", "verify").exit_code == 0
    assert "BROKEN at entry 4: rewritten" in clawgate("audit", "verify", "--head", noted).stdout


def test_nothing_is_changed_by_looking(database: Path, clawgate: Run) -> None:
    before = database.read_bytes()
    clawgate("audit", "verify")
    assert database.read_bytes() == before


def test_a_daemon_that_is_starting_keeps_its_database_to_itself(database: Path, home: Home, clawgate: Run) -> None:
    lock = StateLock(home.state_dir)
    lock.acquire()
    try:
        done = clawgate("audit", "verify")
    finally:
        lock.release()
    assert (done.exit_code, "another clawgate" in done.stderr) == (78, True)


def test_without_a_database_there_is_a_remedy(home: Home, clawgate: Run) -> None:
    done = clawgate("audit", "verify")
    assert (done.exit_code, "start the daemon once" in done.stderr) == (78, True)


def test_another_database_holds_no_log(home: Home, clawgate: Run) -> None:
    with closing(sqlite3.connect(home.state_dir / "clawgate.db")) as connection:
        connection.execute("CREATE TABLE other (id)")
    done = clawgate("audit", "verify")
    assert (done.exit_code, "holds no audit log" in done.stderr) == (78, True)


def test_a_file_that_is_no_database_cannot_be_read(home: Home, clawgate: Run) -> None:
    (home.state_dir / "clawgate.db").write_bytes(b"x" * 5000)
    assert clawgate("audit", "verify").exit_code == 69


@pytest.mark.parametrize(("broken", "code"), [(None, 0), ({"seq": 2, "why": "edited"}, 1)])
def test_a_running_daemon_looks_itself(broken: object, code: int, daemon: Daemon, clawgate: Run) -> None:
    verdict = {"intact": not broken, "entries": 3, "anchor": f"0:{GENESIS}", "head": HEAD, "broken": broken}
    daemon.answer("GET", "/api/audit/verify", 200, verdict)
    done = clawgate("audit", "verify", "--head", HEAD)
    assert (done.exit_code, HEAD in done.stdout, daemon.requests[-1].path) == (code, True, f"/api/audit/verify?head=3%3A{'a' * 64}")


def test_what_the_daemon_cannot_say_is_no_verdict(daemon: Daemon, clawgate: Run) -> None:
    daemon.answer("GET", "/api/audit/verify", 400, {"error": "head: entries up to 9 have been pruned; note a newer head"})
    done = clawgate("audit", "verify", "--head", HEAD)
    assert (done.exit_code, "pruned" in done.stderr) == (1, True)


def test_a_head_that_is_none_is_wrong_usage(clawgate: Run) -> None:
    assert clawgate("audit", "verify", "--head", "3").exit_code == 64


def test_the_head_is_printed_to_be_noted(daemon: Daemon, clawgate: Run) -> None:
    daemon.answer("GET", "/api/audit/head", 200, {"head": HEAD, "seq": 3, "digest": "a" * 64})
    assert clawgate("audit", "head").stdout == f"{HEAD}\n"


def test_entries_are_shown_a_page_at_a_time(daemon: Daemon, clawgate: Run) -> None:
    entry = {
        "seq": 3,
        "at": "2026-01-31T12:30:45.000+00:00",
        "action": "login",
        "outcome": "ok",
        "actor": "an\x1bn",
        "subject": "console",
        "detail": "{}",
    }
    daemon.answer("GET", "/api/audit", 200, {"entries": [entry], "cursor": "3"})
    done = clawgate("audit", "show", "--action", "login", "--action", "command", "--limit", "1")
    assert daemon.requests[-1].path == "/api/audit?limit=1&action=login%2Ccommand"
    assert ("console" in done.stdout, "\x1b" in done.stdout, done.stdout.endswith("More with: --cursor 3\n")) == (True, False, True)
    daemon.answer("GET", "/api/audit", 200, {"entries": [], "cursor": None})
    assert clawgate("audit", "show").stdout == "No entries.\n"
