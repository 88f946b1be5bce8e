"""MEMORY.md is written a little later, once for many changes, and one at a time. Source: rantaiclaw.md §10 (memory)."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from clawgate.domain.messages import MemoryEntry
from clawgate.services.memory_projection import MemoryProjection
from clawgate.testing.clock import ManualClock
from clawgate.testing.store import InlineStore


class SlowFile:
    """A file that is written when the test says so."""

    def __init__(self) -> None:
        self.under_way: list[Deferred[None]] = []
        self.texts: list[str] = []

    def write(self, text: str, is_empty: bool) -> Deferred[None]:
        """Begins."""
        self.texts.append(text)
        self.under_way.append(Deferred())
        return self.under_way[-1]


def make() -> tuple[MemoryProjection, SlowFile, ManualClock, InlineStore]:
    clock, file = ManualClock(), SlowFile()
    store = InlineStore(clock)
    store.start()
    return MemoryProjection(store.memory, file, clock), file, clock, store


def test_a_change_while_it_writes_is_written_after_it() -> None:
    projection, file, clock, store = make()
    projection.changed()
    clock.advance(1)
    store.memory.put(MemoryEntry(key="k", content="tea", category="core"))
    projection.changed()
    clock.advance(5)
    assert len(file.texts) == 1
    file.under_way[0].callback(None)
    clock.advance(1)
    assert file.texts[1].endswith("- tea\n")


def test_a_failed_write_does_not_end_it() -> None:
    projection, file, clock, _ = make()
    projection.changed()
    clock.advance(1)
    file.under_way[0].errback(OSError("read-only file system"))
    projection.changed()
    clock.advance(1)
    assert len(file.texts) == 2


def test_stopping_waits_for_the_file() -> None:
    projection, file, clock, _ = make()
    projection.changed()
    clock.advance(1)
    projection.changed()
    done: list[None] = []
    Deferred.fromCoroutine(projection.stop()).addCallback(done.append)
    assert (done, clock.pending) == ([], 0)
    file.under_way[0].callback(None)
    assert (done, len(file.texts)) == ([], 2)
    file.under_way[1].callback(None)
    assert done == [None]


def test_nothing_is_written_without_a_workspace() -> None:
    clock = ManualClock()
    store = InlineStore(clock)
    store.start()
    MemoryProjection(store.memory, None, clock).changed()
    assert clock.pending == 0
