"""The durable store by default: one SQLite file. Ring: edge. Implements `ports.stores.Store`. Source: design §3 (durable store), §7.

writer.py        the one thread that writes: queue, group commit
operations.py    what a batch is and how it is committed
readers.py       threads that read
migrations.py    schema, and the copy made before it changes
transitions.py   the rules of inbox and outbox, on rows
inbox.py outbox.py devices.py memory.py journal.py facts.py …    the ports
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger

from clawgate.domain.errors import GatewayError, Invalid, StoreUnavailable
from clawgate.ports import stores
from clawgate.ports.audit import AuditRows
from clawgate.ports.clock import Clock
from clawgate.ports.cron import CronRows
from clawgate.ports.events import Meter
from clawgate.ports.journal import Facts, Journal
from clawgate.ports.knowledge import Knowledge
from clawgate.ports.sessions import Sessions
from clawgate.ports.stores import StoreHealth
from clawgate.ports.subscriptions import SubscriptionRows
from clawgate.ports.tasks import TaskRows
from clawgate.stores import inbox_rows, memory, migrations, outbox_rows
from clawgate.stores.audit import SqliteAudit
from clawgate.stores.cron import SqliteCron
from clawgate.stores.dedupe_rows import Keys
from clawgate.stores.devices import SqliteDevices
from clawgate.stores.facts import SqliteFacts
from clawgate.stores.inbox import SqliteInbox
from clawgate.stores.journal import SqliteJournal
from clawgate.stores.knowledge import SqliteKnowledge
from clawgate.stores.memory import SqliteMemory
from clawgate.stores.migrations import Migration
from clawgate.stores.outbox import SqliteOutbox
from clawgate.stores.readers import Readers
from clawgate.stores.sessions import SqliteSessions
from clawgate.stores.subscriptions import SqliteSubscriptions
from clawgate.stores.tasks import SqliteTasks
from clawgate.stores.transitions import Transitions
from clawgate.stores.writer import Writer

_log = Logger()
_BUSY_MS = 2_000
_WAL_BYTES_KEPT = 64 * 1024 * 1024
_CHECKPOINT_PAGES = 4_000
_CACHE_KIB = 16_000
_LOOK_SECONDS = 1.0
_DEFAULT_KEYS = 10_000


def free_bytes_at(path: str) -> int:
    """Bytes that an ordinary user may still write on the file system of `path`."""
    disk = os.statvfs(os.path.dirname(path) or ".")
    return disk.f_bavail * disk.f_frsize


def file_at(path: str) -> tuple[int, int] | None:
    """Device and inode of the file, None when there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _leave_as_is(connection: sqlite3.Connection) -> None:
    """Nothing more to set on a new connection."""


class SqliteStore:
    """One SQLite file with everything in it. One life: `start`, `stop`.

    Args:
        path: the database's file; its directory is made when it is missing.
        queue_max: writes that may wait for the writer.
        idempotency_max_keys: idempotency keys remembered; 0 = 10000.
        high_water: open items above which new ones are refused.
        min_free_bytes: free disk space below which new items are refused.
        backups_kept: copies kept from before migrations.
        migrations: steps of the schema; None = those in the package.
        on_open: last word on the settings of the writing connection, in its thread.
        free_bytes: asks the file system of a path.
        readers, writer: how reads and writes are carried out; a test has them done at once.
    """

    inbox: stores.Inbox
    outbox: stores.Outbox
    devices: stores.Devices
    memory: stores.Memory
    journal: Journal
    facts: Facts
    knowledge: Knowledge
    tasks: TaskRows
    cron: CronRows
    sessions: Sessions
    subscriptions: SubscriptionRows
    newest_id: int
    audit: AuditRows

    def __init__(
        self,
        path: str,
        reactor: IReactorFromThreads,
        clock: Clock,
        *,
        queue_max: int,
        idempotency_max_keys: int,
        high_water: int,
        min_free_bytes: int,
        backups_kept: int,
        meter: Meter | None = None,
        migrations: Sequence[Migration] | None = None,
        on_open: Callable[[sqlite3.Connection], None] = _leave_as_is,
        free_bytes: Callable[[str], int] = free_bytes_at,
        readers: type[Readers] = Readers,
        writer: type[Writer] = Writer,
    ) -> None:
        self._path, self._clock, self._min_free_bytes, self._backups_kept = path, clock, min_free_bytes, backups_kept
        self._migrations, self._on_open, self._ask_free_bytes = migrations, on_open, free_bytes
        self._free_bytes, self._looked_at, self._open_at_start = 0, -_LOOK_SECONDS, 0
        self.newest_id = 0
        self._file: tuple[int, int] | None = None
        self._is_elsewhere = False
        keys = Keys(idempotency_max_keys or _DEFAULT_KEYS)
        self._readers = readers(reactor, self._connect_to_read)
        self._writer = writer(reactor, self._open, self._look, keys.forget, queue_max, self._readers, meter)
        transitions = Transitions(keys)
        self._inbox = SqliteInbox(self._writer, self._readers, transitions, high_water, self._refusal)
        self.inbox = self._inbox
        self.outbox = SqliteOutbox(self._writer, self._readers, transitions)
        self.devices = SqliteDevices(self._writer, self._readers)
        self.memory = SqliteMemory(self._writer, self._readers)
        self.journal = SqliteJournal(self._writer, self._readers)
        self.facts = SqliteFacts(self._writer, self._readers)
        self.knowledge = SqliteKnowledge(self._writer, self._readers)
        self.tasks = SqliteTasks(self._writer, self._readers)
        self.cron = SqliteCron(self._writer, self._readers)
        self.sessions = SqliteSessions(self._writer, self._readers)
        self.subscriptions = subscriptions = SqliteSubscriptions(self._writer, self._readers)
        self._writer.committed = subscriptions.committed
        self.audit = SqliteAudit(self._writer, self._readers)

    def start(self) -> Deferred[None]:
        """`ports.stores.Store.start`.

        Raises (errback):
            Invalid: the file is of a newer schema, of another program, or cannot be made.
            StoreUnavailable: it is locked or broken, or the copy before a migration could not be made.
        """
        return self._writer.start().addCallback(self._started)

    def _started(self, _: None) -> None:
        self._inbox.open_items += self._open_at_start
        self._readers.start()

    def stop(self) -> Deferred[None]:
        """`ports.stores.Store.stop`."""
        return self._writer.stop()

    def health(self) -> StoreHealth:
        """`ports.stores.Store.health`."""
        self._look_again()
        return StoreHealth(self._writer.problem or self._shortage(), self._writer.depth, self._free_bytes)

    def _refusal(self) -> GatewayError | None:
        shortage = self._shortage()
        if not shortage:
            return None
        self._look_again()  # nothing else may be writing: space that was freed would never be noticed
        return StoreUnavailable("the file or its disk takes nothing more", detail=shortage)

    def _shortage(self) -> str:
        if self._is_elsewhere:  # what is committed into an unlinked file is gone with the process
            return f"{self._path} was removed or replaced while it was open; put it back, or restart"
        if self._free_bytes >= self._min_free_bytes:
            return ""
        return f"{self._free_bytes} bytes free at {self._path}, store.min_free_bytes is {self._min_free_bytes}"

    def _look_again(self) -> None:
        if self._clock.monotonic() - self._looked_at >= _LOOK_SECONDS:
            self._writer.look_soon()

    # --- in the writer's thread

    def _look(self) -> None:
        now = self._clock.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            self._is_elsewhere = self._file is not None and file_at(self._path) != self._file
            try:
                self._free_bytes = self._ask_free_bytes(self._path)
            except OSError as problem:
                _log.warn("free space of {path} is not known: {problem}", path=self._path, problem=str(problem))

    def _open(self) -> sqlite3.Connection:
        try:
            os.makedirs(os.path.dirname(self._path) or ".", mode=0o700, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except OSError as problem:
            raise Invalid(
                self._path, problem.strerror or str(problem), "Let `store.url` name a file in a directory that the daemon may write"
            ) from problem
        self._file = file_at(self._path)
        connection = self._connect()
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            connection.execute("PRAGMA temp_store = MEMORY")  # where the triggers of subscriptions are
            self._on_open(connection)
            steps = migrations.shipped() if self._migrations is None else self._migrations
            migrations.migrate(connection, self._path, steps, self._backups_kept, self._clock.wall_ms())
            # Only now: another program's file is refused before anything in it changes.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES_KEPT}")
            self._open_at_start = connection.execute(inbox_rows.COUNT_OPEN).fetchone()[0]
            self.newest_id = max(connection.execute(newest).fetchone()[0] or 0 for newest in (inbox_rows.NEWEST, outbox_rows.NEWEST))
        except BaseException as problem:
            connection.close()
            if isinstance(problem, sqlite3.DatabaseError) and "not a database" in str(problem):
                raise Invalid(self._path, "is not an SQLite database", "Move it away, or let `store.url` name another file") from problem
            raise
        return connection

    def _connect(self) -> sqlite3.Connection:
        # Each connection is used by one thread; another one closes the readers' after those have ended.
        connection = sqlite3.connect(self._path, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("PRAGMA recursive_triggers = ON")  # a replaced row leaves the full-text index too
        return connection

    # --- in a reader's thread

    def _connect_to_read(self) -> sqlite3.Connection:
        if self._file is not None and file_at(self._path) != self._file:  # SQLite would make an empty file there, and ask that one from now on
            raise StoreUnavailable(detail=f"{self._path} was removed or replaced while it was open")
        connection = self._connect()
        memory.prepare(connection)
        connection.execute("PRAGMA query_only = ON")
        return connection
