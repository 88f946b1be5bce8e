"""When the file, the disk or the process fails: nothing is promised that was not committed, and the store comes back."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from counting import Counting
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred

from clawgate.domain.errors import BadRequest, Conflict, Invalid, StoreUnavailable
from clawgate.domain.inbox import State
from clawgate.ports.stores import Accepted
from clawgate.stores.migrations import Migration, shipped
from clawgate.stores.sqlite import SqliteStore
from clawgate.testing.sqlite_stores import SqliteStores
from clawgate.testing.store_builders import NOW_MS, OWNER, a_device, a_key, a_send, an_entry, an_item, completed, item_id, refusal, run


@contextmanager
def _locked(store_path: str) -> Iterator[None]:
    with closing(sqlite3.connect(store_path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


async def _outcomes(under_way: list[Deferred[Accepted]]) -> list[object]:
    outcomes: list[object] = []
    for one in under_way:
        try:
            outcomes.append((await one).item.id)
        except StoreUnavailable as error:
            outcomes.append(type(error))
    return outcomes


def _impatient(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA busy_timeout = 20")


@ensureDeferred
async def test_a_locked_file_refuses_writes_and_then_recovers(opener: SqliteStores) -> None:
    meter = Counting()
    store = await opener.open(on_open=_impatient, meter=meter)
    with _locked(str(opener.path)):
        under_way = [store.inbox.accept(an_item(number)) for number in range(3)]
        assert [StoreUnavailable] * 3 == await _outcomes(under_way)
        assert "locked" in store.health().problem
        assert await store.inbox.get(item_id(0)) is None
    await store.inbox.accept(an_item(7))
    assert store.health().problem == ""
    assert (await store.inbox.counts())[State.RECEIVED] == 1
    assert meter.counted == {"store_failures_total": 3, "store_commits_total": 1}


@ensureDeferred
async def test_a_full_disk_refuses_writes_and_then_recovers(opener: SqliteStores) -> None:
    connections: list[sqlite3.Connection] = []
    store = await opener.open(on_open=connections.append)
    (connection,) = connections
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 40}")
    accepted = refused = 0
    for start in range(0, 400, 40):
        under_way = [store.inbox.accept(an_item(start + number, text="x" * 3_000)) for number in range(40)]
        for number, one in enumerate(under_way):
            try:
                await one
            except StoreUnavailable as error:
                refused += 1
                assert "full" in error.detail  # noqa: PT017 (the accepts before it succeed)
                assert await store.inbox.get(item_id(start + number)) is None
            else:
                accepted += 1
                assert await store.inbox.get(item_id(start + number)) is not None
    assert accepted > 5
    assert refused > 300
    assert "full" in store.health().problem
    connection.execute("PRAGMA max_page_count = 100000")
    await store.inbox.accept(an_item(1_000))
    assert store.health().problem == ""
    assert accepted + 1 == (await store.inbox.counts())[State.RECEIVED]


@ensureDeferred
async def test_failed_accepts_leave_no_trace_in_the_bounds(opener: SqliteStores) -> None:
    store = await opener.open(on_open=_impatient, high_water=2, idempotency_max_keys=2)
    with _locked(str(opener.path)):
        for number in range(5):
            assert StoreUnavailable == await refusal(store.inbox.accept(an_item(number), a_key(f"k{number}")))
    for number in range(2):
        assert not (await store.inbox.accept(an_item(number), a_key(f"k{number}"))).is_duplicate


@ensureDeferred
async def test_one_bad_row_of_a_batch_fails_alone(opener: SqliteStores) -> None:
    store = await opener.open()
    await store.inbox.accept(an_item(3))
    under_way = [store.inbox.accept(an_item(number, text="\ud800" if number == 1 else "fine")) for number in range(6)]
    found = [await refusal(one) if number in (1, 3) else (await one).item.id for number, one in enumerate(under_way)]
    assert [item_id(0), BadRequest, item_id(2), Conflict, item_id(4), item_id(5)] == found
    assert (store.health().problem, (await store.inbox.counts())[State.RECEIVED]) == ("", 5)


@ensureDeferred
async def test_a_batch_of_all_kinds_with_one_bad_row_does_each_of_the_others_once(opener: SqliteStores) -> None:
    store = await opener.open(idempotency_max_keys=3)
    running = await run(store, an_item(1))
    device = store.devices.add(a_device("phone"))
    keyed = [store.inbox.accept(an_item(number, keyed=True), a_key(f"k{number}")) for number in (10, 11)]
    bad = store.inbox.accept(an_item(12, text="\ud800"))
    done = store.inbox.settle(running.id, completed(), NOW_MS, [a_send(20, running)])
    remembered = store.inbox.accept(an_item(13), None, an_entry("k", "v"))
    assert BadRequest == await refusal(bad)
    await device
    assert [(await one).is_duplicate for one in keyed] == [False, False]
    assert (await done).item.state == State.DONE
    await remembered
    assert len(await store.outbox.sends_of(running.id)) == 1
    assert {state: count for state, count in (await store.inbox.counts()).items() if count} == {State.RECEIVED: 3, State.DONE: 1}
    assert not (await store.inbox.accept(an_item(14, keyed=True), a_key("k14"))).is_duplicate


@ensureDeferred
async def test_a_full_queue_refuses_at_once(opener: SqliteStores) -> None:
    store = await opener.open(queue_max=3)
    under_way = [store.inbox.accept(an_item(number)) for number in range(5)]
    assert store.health().queue_depth == 3
    assert [one.called for one in under_way[3:]] == [True, True]
    assert [item_id(0), item_id(1), item_id(2), StoreUnavailable, StoreUnavailable] == await _outcomes(under_way)
    assert store.health().queue_depth == 0


@ensureDeferred
async def test_stop_commits_what_is_queued_and_then_everything_is_refused(opener: SqliteStores) -> None:
    store = await opener.open()
    under_way = [store.inbox.accept(an_item(number)) for number in range(50)]
    read = store.inbox.get(item_id(0))
    stopped = [store.stop(), store.stop()]
    late = store.inbox.accept(an_item(99))
    assert [item_id(number) for number in range(50)] == await _outcomes(under_way)
    assert StoreUnavailable == await refusal(late)
    for one in stopped:
        await one
    assert read.called
    assert [StoreUnavailable] * 2 == [await refusal(store.inbox.get(item_id(0))), await refusal(store.devices.add(a_device("phone")))]
    again = await opener.open()
    assert (await again.inbox.counts())[State.RECEIVED] == 50


@ensureDeferred
async def test_nothing_works_before_start(opener: SqliteStores) -> None:
    store = opener.make()
    assert [StoreUnavailable] * 2 == [await refusal(store.inbox.get(item_id(0))), await refusal(store.memory.put(an_entry("k", "v")))]
    await store.stop()
    assert not opener.path.exists()


@ensureDeferred
async def test_stopping_while_it_starts_ends_in_stopped(opener: SqliteStores) -> None:
    store = opener.make()
    started, stopped = store.start(), store.stop()
    await started
    await stopped
    assert StoreUnavailable == await refusal(store.inbox.accept(an_item(1)))


@ensureDeferred
async def test_what_was_committed_survives_a_process_that_never_stopped(opener: SqliteStores) -> None:
    lost = await opener.open()
    await lost.inbox.accept(an_item(1, keyed=True), a_key("k"))
    await lost.inbox.claim("lost", NOW_MS, 1)
    store = await opener.open(high_water=1)
    assert await store.inbox.recover(OWNER, NOW_MS) == {State.RECEIVED: 1}
    assert (await store.inbox.accept(an_item(2, keyed=True), a_key("k"))).is_duplicate
    assert [item_id(1)] == [item.id for item in await store.inbox.claim(OWNER, NOW_MS, 5)]


@ensureDeferred
async def test_the_bounds_are_counted_again_after_a_restart(opener: SqliteStores) -> None:
    first = await opener.open()
    await first.inbox.accept(an_item(1, keyed=True), a_key("k1"))
    await first.stop()
    store = await opener.open(high_water=2, idempotency_max_keys=1)
    assert (await refusal(store.inbox.accept(an_item(2), a_key("k2")))).__name__ == "Overloaded"
    await store.inbox.accept(an_item(3))
    assert (await refusal(store.inbox.accept(an_item(4)))).__name__ == "Overloaded"


@ensureDeferred
async def test_below_the_free_space_watermark_new_items_are_refused_until_there_is_room(opener: SqliteStores) -> None:
    free = [50]
    store = await opener.open(min_free_bytes=100, free_bytes=lambda path: free[0])
    error = await refusal(store.inbox.accept(an_item(1)))
    assert (StoreUnavailable, 50) == (error, store.health().free_bytes)
    assert "50 bytes free" in store.health().problem
    await store.memory.put(an_entry("k", "what is already here may be finished"))
    free[0] = 200
    assert StoreUnavailable == await refusal(store.inbox.accept(an_item(1)))  # asked of the disk at most once a second
    opener.clock.advance(1)
    assert StoreUnavailable == await refusal(store.inbox.accept(an_item(1)))  # has the writer look
    await store.memory.get("k")
    while store.health().free_bytes != 200:
        await store.memory.get("k")
    await store.inbox.accept(an_item(1))
    assert (store.health().problem, store.health().free_bytes) == ("", 200)


async def _looked(store: SqliteStore, opener: SqliteStores, tries: int = 1_000) -> str:
    """What health says once the writer has looked at the file again."""
    before = store.health().problem
    opener.clock.advance(1)
    while store.health().problem == before and tries:
        await store.memory.put(an_entry("k", "has the writer look"))
        tries -= 1
    return store.health().problem


@ensureDeferred
async def test_nothing_is_promised_into_a_file_that_was_removed(opener: SqliteStores) -> None:
    store = await opener.open()
    aside = opener.path.with_suffix(".aside")
    opener.path.rename(aside)
    assert "was removed or replaced" in await _looked(store, opener)
    assert await refusal(store.inbox.accept(an_item(1))) is StoreUnavailable
    assert await refusal(store.memory.get("k")) is StoreUnavailable  # the first read: its connection makes no file there
    assert not opener.path.exists()
    opener.path.write_bytes(b"")
    opener.clock.advance(1)
    assert await refusal(store.inbox.accept(an_item(1))) is StoreUnavailable
    aside.rename(opener.path)
    assert await _looked(store, opener) == ""
    assert (await store.inbox.accept(an_item(1))).item.id == an_item(1).id
    assert await store.memory.get("k") is not None


@ensureDeferred
async def test_the_file_and_its_directory_are_private(opener: SqliteStores) -> None:
    store = await opener.open()
    await store.inbox.accept(an_item(1))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (opener.path.parent, *opener.path.parent.iterdir())}
    assert modes == {"state": 0o700, "clawgate.db": 0o600, "clawgate.db-wal": 0o600, "clawgate.db-shm": 0o600}


@ensureDeferred
async def test_readers_cannot_write(opener: SqliteStores) -> None:
    store = await opener.open()
    assert isinstance(store, SqliteStore)
    refused = store._readers.read(lambda connection: connection.execute("DELETE FROM inbox"))
    assert StoreUnavailable == await refusal(refused)


@ensureDeferred
async def test_a_read_that_fails_halfway_leaves_no_old_moment_for_the_next(opener: SqliteStores) -> None:
    store = await opener.open()
    assert isinstance(store, SqliteStore)

    def fails(connection: sqlite3.Connection) -> None:
        connection.execute("SAVEPOINT looking")
        connection.execute("SELECT count(*) FROM inbox").fetchone()
        raise sqlite3.OperationalError("disk I/O error")

    assert StoreUnavailable == await refusal(store._readers.read(fails))
    await store.inbox.accept(an_item(1))
    assert (await store.inbox.counts())[State.RECEIVED] == 1


# --- schema


def _schema(path: str) -> tuple[int, list[str]]:
    with closing(sqlite3.connect(path)) as connection:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return version, [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]


_NEWEST = shipped()[-1].number
_SECOND = Migration(_NEWEST + 1, "CREATE TABLE second (id INTEGER PRIMARY KEY); INSERT INTO second VALUES (7);")


@ensureDeferred
async def test_a_new_database_needs_no_backup(opener: SqliteStores) -> None:
    store = await opener.open(migrations=(*shipped(), _SECOND))
    await store.stop()
    assert _SECOND.number == _schema(str(opener.path))[0]
    assert [path.name for path in opener.path.parent.iterdir()] == ["clawgate.db"]


@ensureDeferred
async def test_an_older_database_is_copied_and_then_migrated(opener: SqliteStores) -> None:
    older = await opener.open()
    await older.inbox.accept(an_item(1))
    await older.stop()
    store = await opener.open(migrations=(*shipped(), _SECOND))
    assert await store.inbox.get(item_id(1)) is not None
    backup = opener.path.with_name(f"clawgate.db.backup-v{_NEWEST}-{opener.clock.wall_ms()}")
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert (_schema(str(backup))[0], "second" in _schema(str(backup))[1]) == (_NEWEST, False)
    await store.stop()
    assert (_schema(str(opener.path))[0], "second" in _schema(str(opener.path))[1]) == (_NEWEST + 1, True)
    restored = await opener.open(backup)
    assert await restored.inbox.get(item_id(1)) is not None


@ensureDeferred
async def test_only_the_newest_backups_are_kept(opener: SqliteStores) -> None:
    migrations = shipped()
    await (await opener.open()).stop()
    for _ in range(4):
        opener.clock.advance(1)
        migrations = (*migrations, Migration(migrations[-1].number + 1, f"CREATE TABLE t{len(migrations)} (id INTEGER)"))
        await (await opener.open(migrations=migrations, backups_kept=2)).stop()
    backups = {path.name.split("-")[1] for path in opener.path.parent.glob("*.backup-*")}
    assert backups == {f"v{_NEWEST + 2}", f"v{_NEWEST + 3}"}


@ensureDeferred
async def test_a_failed_migration_leaves_the_database_as_it_was(opener: SqliteStores) -> None:
    await (await opener.open()).stop()
    before = _schema(str(opener.path))
    broken = Migration(_NEWEST + 1, "CREATE TABLE second (id INTEGER); INSERT INTO nowhere VALUES (1);")
    assert StoreUnavailable == await refusal(opener.make(migrations=(*shipped(), broken)).start())
    assert before == _schema(str(opener.path))
    await opener.open()


@ensureDeferred
async def test_a_newer_schema_is_refused_with_the_remedy(opener: SqliteStores) -> None:
    await (await opener.open(migrations=(*shipped(), _SECOND))).stop()
    with pytest.raises(Invalid, match=f"has schema {_NEWEST + 1}, this clawgate knows {_NEWEST}") as caught:
        await opener.make().start()
    assert "newer clawgate" in caught.value.remedy
    assert "backup" in caught.value.remedy


@pytest.mark.parametrize("content", ["CREATE TABLE theirs (id INTEGER)", "PRAGMA user_version = 1; CREATE TABLE inbox (id INTEGER)"])
@ensureDeferred
async def test_another_programs_database_is_left_alone(opener: SqliteStores, content: str) -> None:
    opener.path.parent.mkdir()
    with closing(sqlite3.connect(opener.path)) as theirs:
        theirs.executescript(content)
    before = opener.path.read_bytes()
    with pytest.raises(Invalid, match="another program"):
        await opener.make().start()
    assert before == opener.path.read_bytes()


@ensureDeferred
async def test_a_file_that_is_no_database_is_refused(opener: SqliteStores) -> None:
    opener.path.parent.mkdir()
    opener.path.write_text("dear diary\n" * 200)
    with pytest.raises(Invalid, match="not an SQLite database"):
        await opener.make().start()


@ensureDeferred
async def test_a_path_that_cannot_be_made_is_refused_with_its_name(opener: SqliteStores) -> None:
    (opener.directory / "file").write_text("in the way")
    with pytest.raises(Invalid, match=r"file/clawgate\.db"):
        await opener.make(opener.directory / "file" / "clawgate.db").start()


def test_migrations_are_numbered_without_gaps() -> None:
    numbers = [migration.number for migration in shipped()]
    assert numbers == list(range(1, len(numbers) + 1))
