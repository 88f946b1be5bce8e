"""The store that `make bench` fills is one that a daemon could have left behind."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred

from clawgate.domain.inbox import State
from clawgate.testing.clock import ManualClock
from clawgate.testing.store import InlineStore
from tests.bench import filled

SIZE = filled.Size(items=3_000, devices=40, sessions=30, mirrored=5)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> InlineStore:
    path = tmp_path / "clawgate.db"
    filled.fill(path, SIZE, clock.wall_ms())
    with closing(sqlite3.connect(path)) as connection:
        return InlineStore(clock, image=connection.serialize())


@ensureDeferred
async def test_it_holds_what_was_asked_for_and_nothing_is_purged_soon(store: InlineStore, clock: ManualClock) -> None:
    await store.start()
    clock.advance(3600)
    assert await store.inbox.purge(clock.wall_ms(), 7 * 24 * 3600) == 0
    counts = await store.inbox.counts()
    assert (sum(counts.values()), counts[State.DEAD], counts[State.UNCERTAIN], counts[State.DROPPED]) == (3_000, 1, 1, 1)
    assert len(await store.devices.to_mirror(clock.wall_ms(), 0)) == 5
    assert len(await store.devices.alive(clock.wall_ms())) == 40


@ensureDeferred
async def test_a_device_is_found_by_its_token_and_a_conversation_goes_on(store: InlineStore) -> None:
    await store.start()
    assert await store.devices.by_hash(filled.token_hash(7)) is not None
    history = await store.inbox.history("c3", "f" * 15, 500)
    assert {item.conversation for item in history} == {"c3"}
    assert len(await store.sessions.messages("s3", 10)) == 2
