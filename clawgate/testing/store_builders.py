"""Records for tests of stores, and the door a store is opened through. Ring: testing."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol

from clawgate.domain import inbox
from clawgate.domain.delivery import Send
from clawgate.domain.devices import Device
from clawgate.domain.errors import GatewayError
from clawgate.domain.inbox import Item, State
from clawgate.domain.messages import DedupeKey, MemoryEntry
from clawgate.ports.stores import Settled, Store

NOW_MS = 1_800_000_000_000
OWNER = "boot-1"


class OpenStore(Protocol):
    """Opens an empty store with these bounds; whoever passes it in also stops what it opened."""

    def __call__(self, *, idempotency_max_keys: int = 100, high_water: int = 1_000) -> Awaitable[Store]:
        """A started store."""


def item_id(number: int, at_ms: int = NOW_MS) -> str:
    """The id of the `number`th item of a millisecond."""
    return f"{(at_ms << 20) + number:016x}"


def an_item(number: int, *, at_ms: int = NOW_MS, **fields: Any) -> Item:  # Any: whatever fields an item has
    """A promised item; `number` orders items of one millisecond."""
    values: dict[str, Any] = {"source": "webhook", "principal": "open", "text": f"question {number}", "promised": True} | fields  # Any: as above
    return Item(id=item_id(number, at_ms), accepted_ms=at_ms, **values)


def a_send(number: int, item: Item, *, target: str = "+491", channel: str = "linq", part: int = 1) -> Send:
    """A part of an item's reply."""
    return Send(id=item_id(number), item_id=item.id, channel=channel, target=target, text=f"part {part}", part=part)


def a_device(name: str, **fields: Any) -> Device:  # Any: whatever fields a device has
    """A device whose hash is made of its name."""
    values: dict[str, Any] = {"token_hash": name.encode().hex().ljust(64, "0"), "name": name} | fields  # Any: as above
    return Device(id=name, **values)


def an_entry(key: str, content: str, created_ms: int = NOW_MS) -> MemoryEntry:
    """A remembered text."""
    return MemoryEntry(key=key, content=content, created_ms=created_ms)


def a_key(key: str, scope: str = "key:alice", retention_seconds: int = 300) -> DedupeKey:
    """An idempotency key of Alice's, unless told otherwise."""
    return DedupeKey(scope, key, retention_seconds)


def completed(owner: str = OWNER, answer: str = "an answer") -> inbox.Completed:
    """The turn ended well."""
    return inbox.Completed(owner, answer, "model-1")


def failed(*, retryable: bool = False, owner: str = OWNER, delay_seconds: float = 2.0) -> inbox.Failed:
    """The turn ended badly."""
    return inbox.Failed(owner, "timeout" if retryable else "auth", retryable, delay_seconds, 5)


async def run(store: Store, item: Item) -> Item:
    """Accepts the item and claims it, which must be the only one startable."""
    await store.inbox.accept(item)
    (running,) = await store.inbox.claim(OWNER, NOW_MS, 10)
    assert running.id == item.id
    return running


async def answered(store: Store, item: Item, *sends: Send) -> Settled:
    """Accepts, runs and completes the item, with the parts of its reply."""
    await run(store, item)
    return await store.inbox.settle(item.id, completed(), NOW_MS, sends)


async def refusal(refused: Awaitable[object]) -> type[GatewayError]:
    """The class of the error that the store answers with."""
    try:
        await refused
    except GatewayError as error:
        return type(error)
    raise AssertionError("it was not refused")


async def state_of(store: Store, item: Item) -> State:
    """The state of a stored item."""
    stored = await store.inbox.get(item.id)
    assert stored is not None
    return stored.state
