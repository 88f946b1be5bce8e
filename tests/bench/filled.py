"""A store that has been in use for long: inbox, keys, devices, sessions and what was remembered, as a daemon finds them at its start."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from clawgate.domain import ids
from clawgate.domain.devices import Device
from clawgate.domain.inbox import Item, State
from clawgate.domain.messages import MemoryEntry, TurnOptions
from clawgate.stores import dedupe_rows, devices, inbox_rows, memory, session_rows
from clawgate.stores.migrations import migrate, shipped

_DAY_MS = 24 * 3600 * 1000
_QUESTION = "What did the people of the second floor decide about the new rooms, and who tells the others? " * 2
_ANSWER = "They decided to wait until the end of the month. Ann tells the others as soon as the list is complete. " * 2


class Size(msgspec.Struct, frozen=True):
    """How many rows there are of what.

    Attributes:
        mirrored: devices whose hash stands in config.toml, too.
    """

    items: int = 1_000_000
    devices: int = 100_000
    sessions: int = 100_000
    mirrored: int = 1_000

    @property
    def keys(self) -> int:
        """Messages of platforms: every tenth; as many as are remembered for a day."""
        return self.items // 10

    @property
    def remembered(self) -> int:
        """Messages remembered by themselves, up to `memory.max_auto_saved`."""
        return min(self.items, 100_000)


SMALL = Size(10_000, 1_000, 1_000, 100)


def fill(path: Path, size: Size, now_ms: int) -> None:
    """Makes the database.

    Args:
        path: does not exist yet.
        now_ms: wall clock; everything is so young at that time that nothing is purged for a day.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o600)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for setting in ("synchronous = OFF", "journal_mode = OFF", "cache_size = -200000"):
            connection.execute(f"PRAGMA {setting}")
        migrate(connection, str(path), shipped(), 0, 0)
        connection.execute("BEGIN")
        connection.executemany(inbox_rows.INSERT, (inbox_rows.to_row(item) for item in _items(size, now_ms)))
        connection.execute("UPDATE inbox SET ready = 0 WHERE conversation IS NOT NULL")  # what ended is not next in its conversation
        connection.executemany(dedupe_rows.INSERT, _keys(size, now_ms))
        connection.executemany(devices.INSERT, (devices.to_row(device) for device in _devices(size, now_ms)))
        connection.executemany(memory.PUT, (memory.to_row(entry) for entry in _remembered(size, now_ms)))
        for number in range(size.sessions):
            _session(connection, number, now_ms)
        connection.execute("COMMIT")


def _accepted_ms(number: int, count: int, now_ms: int) -> int:
    """Over the last five days, evenly."""
    return now_ms - 5 * _DAY_MS + 5 * _DAY_MS * number // count


def _items(size: Size, now_ms: int) -> Iterator[Item]:
    """One in a thousand was given up, dead or uncertain; a third belongs to a conversation, a tenth to a session."""
    for number in range(size.items):
        ms = _accepted_ms(number, size.items, now_ms)
        state = {1: State.DEAD, 2: State.UNCERTAIN, 3: State.DROPPED}.get(number % 3_000, State.DONE)
        session = f"s{number % size.sessions}" if number % 10 == 9 else ""
        yield Item(
            id=ids.to_text(ids.next_id(0, ms, number & 0xFFFF)),
            state=state,
            source="whatsapp" if number % 10 == 0 else "webhook",
            principal=_device_id(number % size.devices),
            text=f"{number}: {_QUESTION}",
            accepted_ms=ms,
            updated_ms=ms + 900,
            conversation=f"c{number % size.sessions}" if number % 3 == 0 else None,
            promised=number % 2 == 0,
            keyed=number % 10 == 0,
            attempts=1,
            options=TurnOptions(session=session) if session else None,
            model="a-model",
            error="agent_failed" if state is State.DEAD else None,
            answer=f"{number}: {_ANSWER}" if state is State.DONE else None,
        )


def _keys(size: Size, now_ms: int) -> Iterator[tuple[object, ...]]:
    for place in range(size.keys):
        number = 10 * place
        ms = _accepted_ms(number, size.items, now_ms)
        yield "channel:whatsapp", f"wamid.{number:024x}", ids.next_id(0, ms, number & 0xFFFF), now_ms + _DAY_MS + place, 0


def _devices(size: Size, now_ms: int) -> Iterator[Device]:
    for number in range(size.devices):
        yield Device(
            id=_device_id(number),
            token_hash=token_hash(number),
            name=f"phone {number}",
            device_type="mobile",
            paired_ms=now_ms - 90 * _DAY_MS + number,
            last_seen_ms=now_ms - number,
            ip_address="192.0.2.1",
            mirrored=number < size.mirrored,
        )


def token_hash(number: int) -> str:
    """What is kept of the token of the device of this number."""
    return hashlib.sha256(token(number).encode()).hexdigest()


def token(number: int) -> str:
    """The token of the device of this number."""
    return f"zc_{hashlib.sha256(b'device %d' % number).hexdigest()}"


def _device_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


def _remembered(size: Size, now_ms: int) -> Iterator[MemoryEntry]:
    for number in range(size.remembered):
        spread = hashlib.sha256(b"memory %d" % number).hexdigest()
        yield MemoryEntry(
            key=f"webhook_msg_{spread[:8]}-{spread[8:12]}-4{spread[13:16]}-8{spread[17:20]}-{spread[20:32]}",
            content=f"{number}: {_QUESTION}",
            created_ms=now_ms - _DAY_MS + number,
            principal=_device_id(number % size.devices),
        )


def _session(connection: sqlite3.Connection, number: int, now_ms: int) -> None:
    """Question and answer, once."""
    at_ms = now_ms - 5 * _DAY_MS + number
    row = (f"s{number}", f"About room {number}", "a-model", _device_id(number % 100), at_ms, "webhook")
    key = connection.execute(session_rows.CREATE, row).lastrowid
    for role, text in (("user", _QUESTION), ("assistant", _ANSWER)):
        connection.execute(session_rows.ADD, (key, role, at_ms, f"{number}: {text}"))
    connection.execute(session_rows.COUNT, (2, key))
