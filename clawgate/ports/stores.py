"""What lasts: named atomic operations on rows. Ring: ports.

Every method returns a Deferred that fires only after COMMIT (a read: after the read), and errbacks with `StoreUnavailable` when the commit did not
happen; then nothing of it happened. A transition reads the record, applies the domain's `step` and writes the result in one transaction, so two callers
can never both win. The contract suite in `clawgate.testing.store_contract` holds for every implementation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain import delivery, inbox
from clawgate.domain.attempts import Attempt, Outcome
from clawgate.domain.audit import Deed
from clawgate.domain.delivery import Send
from clawgate.domain.devices import Device
from clawgate.domain.inbox import Effect, Item, State
from clawgate.domain.memory import MemoryHit, MemoryPage
from clawgate.domain.messages import DedupeKey, MemoryEntry
from clawgate.ports.audit import AuditRows
from clawgate.ports.cron import CronRows
from clawgate.ports.journal import Facts, Journal
from clawgate.ports.knowledge import Knowledge
from clawgate.ports.sessions import Sessions
from clawgate.ports.subscriptions import SubscriptionRows
from clawgate.ports.tasks import TaskRows


class Accepted(msgspec.Struct, frozen=True):
    """What became of an accept: the stored item, and whether it is an earlier one under the same key."""

    item: Item
    is_duplicate: bool


class FactKey(msgspec.Struct, frozen=True):
    """Which fact (`ports.journal.Facts`) is meant, and the value it must still have."""

    kind: str
    key: str
    value: str


class Settled(msgspec.Struct, frozen=True):
    """The committed record after a transition, the effects that are now to be performed, and how the attempt ended if it ended one."""

    item: Item
    effects: tuple[Effect, ...]
    attempt: Outcome | None = None


class Page(msgspec.Struct, frozen=True):
    """Items, newest first, and the cursor of the next page ("" = that was the last)."""

    items: tuple[Item, ...]
    cursor: str


class Inbox(Protocol):
    """Items and the dedupe records that point at them."""

    def accept(
        self,
        item: Item,
        dedupe: DedupeKey | None = None,
        memory: MemoryEntry | None = None,
        *,
        sends: Sequence[Send] = (),
        spends: FactKey | None = None,
    ) -> Deferred[Accepted]:
        """Stores a new item, or finds the one its key names.

        Args:
            sends: the parts of its reply, for an item that is answered already; its state is then `DONE`, and the high-water mark does not hold it back.
            spends: a fact that is removed in the same commit; not for a copy.

        A key is remembered until its item has an outcome and `retention_seconds` since acceptance are over. At the bound of idempotency keys
        (scopes "key:…") the oldest finished one makes room.

        Raises (errback):
            Overloaded: the inbox is over its high-water mark, or the bound of keys is full of running work.
            Conflict: the fact to be spent is gone.
        """

    def find(self, dedupe: DedupeKey, now_ms: int) -> Deferred[Item | None]:
        """The item that a key names now, or None."""

    def claim(self, owner: str, now_ms: int, limit: int, asked: Sequence[str] = ()) -> Deferred[tuple[Item, ...]]:
        """Marks up to `limit` startable items running under `owner` and returns them in order of acceptance.

        Startable: received, or waiting and due; and first in its conversation's line.

        Args:
            asked: ids of items that somebody waits for; those of them that are received and startable come first, and on top of `limit`.
        """

    def settle(self, item_id: str, event: inbox.Event, now_ms: int, sends: Sequence[Send] = ()) -> Deferred[Settled]:
        """Applies `event`; with `Completed`, stores the reply's parts in the same commit. `RESEND` re-queues the item's unsettled parts.

        Raises (errback):
            NotFound: no such item. Conflict: the event does not apply.
        """

    def complete(self, item: Item, event: inbox.Completed, now_ms: int) -> Deferred[Settled]:
        """`settle` with `Completed` for an item that is known to be running and has no reply to send: one grouped statement."""

    def get(self, item_id: str) -> Deferred[Item | None]:
        """The item, or None."""

    def attempts(self, item_id: str) -> Deferred[tuple[Attempt, ...]]:
        """The item's attempts, oldest first, at most `MOST_KEPT` ended ones; () when there is no such item."""

    def page(self, states: frozenset[State], since_ms: int, cursor: str, limit: int) -> Deferred[Page]:
        """Items in any of `states` (empty = all) accepted at or after `since_ms`, newest first."""

    def history(self, conversation: str, before_id: str, limit: int) -> Deferred[tuple[Item, ...]]:
        """The last `limit` answered items of a conversation before `before_id`, oldest first."""

    def open_in(self, conversation: str, limit: int) -> Deferred[tuple[Item, ...]]:
        """The first `limit` open items of a conversation, oldest first."""

    def counts(self, states: Iterable[State] = State) -> Deferred[dict[State, int]]:
        """Items in each of these states, 0 where there are none. It takes as long as there are items: who does not need the ended ones leaves them out."""

    def oldest_open_ms(self) -> Deferred[int | None]:
        """When the oldest open item was accepted, or None."""

    def next_due_ms(self) -> Deferred[int | None]:
        """When the next waiting item is due, or None."""

    def mend_waits(self, now_ms: int) -> Deferred[int]:
        """The wall clock may have been set back: items put off later than now are due after their own wait, counted from now. Returns how many."""

    def recover(self, owner: str, now_ms: int) -> Deferred[dict[State, int]]:
        """At start: applies `OwnerLost` to everything that runs under another owner or was held for a waiting caller.

        Returns how many items went to which state.
        """

    def purge(self, now_ms: int, item_retention_seconds: int, stopped_retention_seconds: int | None = None) -> Deferred[int]:
        """Forgets ended items older than the retention, and dedupe records that have run out. Returns rows removed.

        An item goes with its attempts, its journal and the parts of its reply; never while a dedupe record names it or a part is on its way.

        Args:
            stopped_retention_seconds: for those that wait for a person (`STOPPED`); None = as the others.
        """


class Outbox(Protocol):
    """The parts of replies on their way."""

    def claim_sends(self, channel: str, now_ms: int, limit: int) -> Deferred[tuple[Send, ...]]:
        """Marks up to `limit` due parts sending (`Started`), at most one per target and only the first of its line; in id order."""

    def settle_send(self, send_id: str, event: delivery.Event, now_ms: int) -> Deferred[Send]:
        """Applies `event` to the part, and what follows from it to its item, in one commit."""

    def sends_of(self, item_id: str) -> Deferred[tuple[Send, ...]]:
        """The parts of an item's reply, in order."""

    def next_send_due_ms(self, channel: str) -> Deferred[int | None]:
        """When the channel's next pending part is due, or None."""

    def mend_waits(self, now_ms: int) -> Deferred[int]:
        """`Inbox.mend_waits` for pending parts of every channel."""

    def recover_sends(self, retry_safe: frozenset[str], now_ms: int) -> Deferred[int]:
        """At start: `Unanswered(again=channel in retry_safe)` for every part found sending. Returns how many."""


class Devices(Protocol):
    """Paired devices."""

    def add(self, device: Device, deed: Deed | None = None) -> Deferred[None]:
        """Stores a new device. A hash that exists already, revoked or not, is a `Conflict`.

        Args:
            deed: written into the audit log in the same commit.
        """

    def replace(self, device: Device, deed: Deed | None = None) -> Deferred[None]:
        """Stores the device's new record under its id (rotation, narrowing, revocation, mirroring); `deed` as `add`. Raises NotFound.

        A device that is revoked stays so, also when a record read before says otherwise.
        """

    def by_hash(self, token_hash: str) -> Deferred[Device | None]:
        """The device with this hash, dead or alive, or None."""

    def by_id(self, device_id: str) -> Deferred[Device | None]:
        """The device with this id, dead or alive, or None."""

    def alive(self, now_ms: int) -> Deferred[tuple[Device, ...]]:
        """Devices whose token opens something, newest first."""

    def to_mirror(self, now_ms: int, most: int) -> Deferred[tuple[Device, ...]]:
        """Living devices for a list of `most` hashes: all that are mirrored, however many, and of the others the first that were paired."""

    def mark_mirrored(self, device_ids: Sequence[str]) -> Deferred[None]:
        """Says of these devices that their hashes have been written to the file."""

    def paired_until(self, now_ms: int) -> Deferred[int | None]:
        """When the last living device runs out (wall clock, milliseconds; 0 = never), None when there is none."""

    def known(self, hashes: Iterable[str]) -> Deferred[frozenset[str]]:
        """Those of the hashes that belong or ever belonged to a device, revoked and rotated ones included."""

    def touch(self, seen: dict[str, int]) -> Deferred[None]:
        """Writes `last_seen_ms` of several device ids at once."""


class Memory(Protocol):
    """Remembered texts."""

    def put(self, entry: MemoryEntry) -> Deferred[None]:
        """Stores or replaces the text under its key."""

    def find(self, words: str, limit: int) -> Deferred[tuple[MemoryEntry, ...]]:
        """Entries that contain every word of `words` (any case; hostile text is text), newest first."""

    def get(self, key: str) -> Deferred[MemoryEntry | None]:
        """The entry, or None."""

    def trim(self, category: str, keep: int) -> Deferred[int]:
        """Forgets all but the newest `keep` entries of a category. Returns how many went."""

    def page(self, category: str | None, reader: str | None, limit: int, offset: int) -> Deferred[MemoryPage]:
        """Entries of a category (None = all), newest first.

        Args:
            reader: the principal whose entries, and everybody's, are there; None = all are.
        """

    def search(self, query: str, category: str | None, reader: str | None, limit: int) -> Deferred[tuple[MemoryHit, ...]]:
        """Entries that hold any word of `query`, best first; then those whose text holds every one of them somewhere, newest first, without a score.

        What is remembered by itself (category "conversation") is found the second way only.
        """

    def is_empty(self, category: str) -> bool:
        """Whether there is certainly nothing of a category (not "conversation"); free of I/O, so False says only that one has to look."""

    def related(self, words: Sequence[str], category: str, reader: str, limit: int) -> Deferred[tuple[MemoryEntry, ...]]:
        """Entries of a category (not "conversation") that hold any of the words, best first."""

    def create(self, entry: MemoryEntry, writer: str | None) -> Deferred[None]:
        """`put` by a principal, which may replace only its own entries; None = anybody's.

        Raises (errback):
            Conflict: the key is somebody else's.
        """

    def remove(self, key: str, writer: str | None) -> Deferred[MemoryEntry | None]:
        """Forgets an entry, in the limits of `create`. Returns it, or None when there was none."""


class StoreHealth(msgspec.Struct, frozen=True):
    """How the store is: `problem` is "" when it is well."""

    problem: str
    queue_depth: int
    free_bytes: int


class Store(Protocol):
    """One durable store with everything in it.

    Attributes:
        newest_id: the highest number that names an item or a part, as of the start; 0 = there is none.
    """

    inbox: Inbox
    outbox: Outbox
    devices: Devices
    memory: Memory
    journal: Journal
    facts: Facts
    knowledge: Knowledge
    tasks: TaskRows
    cron: CronRows
    sessions: Sessions
    subscriptions: SubscriptionRows
    newest_id: int
    audit: AuditRows

    def start(self) -> Deferred[None]:
        """Opens it, refuses a newer schema (`Invalid`), migrates an older one after a backup."""

    def stop(self) -> Deferred[None]:
        """Commits what is queued and closes it."""

    def health(self) -> StoreHealth:
        """How it is now; free of I/O."""
