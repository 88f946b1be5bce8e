"""Whatever happens in whatever order: one of a conversation's open items is next, and one of a target's parts."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import count, groupby

from hypothesis import given, settings
from hypothesis import strategies as st

from clawgate.domain import delivery, inbox
from clawgate.domain.errors import GatewayError
from clawgate.stores.dedupe_rows import COUNT_BOUNDED, Keys
from clawgate.stores.migrations import migrate, shipped
from clawgate.stores.operations import Call, Committer
from clawgate.stores.transitions import Transitions
from clawgate.testing.inbox_table import EVENTS
from clawgate.testing.store_builders import NOW_MS, OWNER, a_key, a_send, an_item

_SEND_EVENTS: tuple[delivery.Event, ...] = (
    delivery.Delivered(),
    delivery.Rejected("no"),
    delivery.Unanswered(),
    delivery.NotDelivered("busy", 0, 2),
    delivery.Resend(),
)
_numbers = st.integers(0, 7)
_actions = st.one_of(
    st.tuples(st.just("accept"), st.sampled_from([inbox.State.RECEIVED, inbox.State.RUNNING]), st.sampled_from(["c", "c", "d", None])),
    st.tuples(st.just("claim"), st.integers(0, 3), st.frozensets(_numbers, max_size=2)),
    st.tuples(st.just("event"), _numbers, st.sampled_from(EVENTS)),
    st.tuples(st.just("reply"), st.none(), st.none()),
    st.tuples(st.just("send"), st.integers(0, 15), st.sampled_from(_SEND_EVENTS)),
    st.tuples(st.just("sends"), st.integers(0, 3), st.none()),
    st.tuples(st.just("recover"), st.none(), st.none()),
)


class _Store:
    """The rules on rows, committed one by one."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection, self.keys = connection, Keys(3)
        self.rules = Transitions(self.keys)
        self.committer = Committer(connection, self.keys.forget)
        self.items, self.sends = count(), count()

    def do(self, what: str, first: object, second: object) -> None:
        call = Call(lambda connection: self._do(connection, what, first, second))
        self.committer.commit([call])
        assert call.error is None or isinstance(call.error, GatewayError)

    def _do(self, connection: sqlite3.Connection, what: str, first: object, second: object) -> None:
        number = (NOW_MS << 20) + first if isinstance(first, int) else 0
        if what == "accept" and isinstance(first, inbox.State):
            index = next(self.items)
            owner = OWNER if first is inbox.State.RUNNING else ""
            item = an_item(index, state=first, owner=owner, conversation=second, promised=bool(index % 2), keyed=not index % 3)
            self.rules.accept(connection, item=item, dedupe=a_key(str(index % 4)) if item.keyed else None, entry=None, is_full=False)
        elif what == "claim" and isinstance(first, int) and isinstance(second, frozenset):
            self._claim(connection, first, [(NOW_MS << 20) + asked for asked in second])
        elif what == "event":
            self._settle(connection, number, second)
        elif what == "reply":
            for (running,) in connection.execute("SELECT id FROM inbox WHERE state = 'running' AND owner = ? LIMIT 1", (OWNER,)).fetchall():
                self._settle(connection, running, inbox.Completed(OWNER, "an answer", "m"))
        elif what == "send":
            self.rules.settle_send(connection, number, second, NOW_MS)  # type: ignore[arg-type]  # one of _SEND_EVENTS
        elif what == "sends" and isinstance(first, int):
            claimed = self.rules.claim_sends(connection, "linq", NOW_MS, first)
            assert len({send.target for send in claimed}) == len(claimed)
        elif what == "recover":
            for state in (inbox.State.RUNNING, inbox.State.RECEIVED):
                self.rules.recover(connection, state, "boot-2", NOW_MS, -1)

    def _claim(self, connection: sqlite3.Connection, limit: int, asked: list[int]) -> None:
        busy = {row[0] for row in connection.execute("SELECT conversation FROM inbox WHERE state = 'running' AND conversation IS NOT NULL")}
        claimed = self.rules.claim(connection, OWNER, NOW_MS + 10_000, limit, asked)
        assert len(claimed) <= limit + len(asked)
        lines = [item.conversation for item in claimed if item.conversation is not None]
        assert len(set(lines)) == len(lines)
        assert not busy & set(lines)

    def _settle(self, connection: sqlite3.Connection, number: int, event: object) -> None:
        sends: tuple[delivery.Send, ...] = ()
        if isinstance(event, inbox.Completed):
            parts = [next(self.sends) for _ in range(2)]
            sends = tuple(a_send(part, an_item(number & 0xFF), target=f"t{part % 3 % 2}") for part in parts)
        self.rules.settle(connection, number, event, NOW_MS, sends)  # type: ignore[arg-type]  # one of EVENTS

    def check(self) -> None:
        open_items = self.connection.execute(
            "SELECT conversation, state = 'running', id, ready FROM inbox WHERE state IN ('received', 'running', 'waiting') AND conversation IS NOT NULL "
            "ORDER BY conversation, 2 DESC, id"
        )
        self._one_leads(open_items.fetchall())
        parts = self.connection.execute(
            "SELECT target, state = 'sending', id, head FROM outbox WHERE state IN ('pending', 'sending') ORDER BY target, 2 DESC, id"
        ).fetchall()
        self._one_leads(parts)
        assert all(ready for (ready,) in self.connection.execute("SELECT ready FROM inbox WHERE conversation IS NULL"))
        assert self.keys._count in (None, self.connection.execute(COUNT_BOUNDED).fetchone()[0])

    @staticmethod
    def _one_leads(rows: list[tuple[str, int, int, int]]) -> None:
        """Rows of each line: busy ones first, then by id. The first leads; of several busy ones (accepted so) any may."""
        for _, line in groupby(rows, key=lambda row: row[0]):
            first, *rest = line
            (leader,) = [row for row in (first, *rest) if row[3]]
            assert leader == first or (leader[1] and first[1])


@given(st.lists(_actions, max_size=40))
@settings(deadline=None, max_examples=400)
def test_every_line_has_one_leader_after_whatever_happened(actions: list[tuple[str, object, object]]) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, ":memory:", shipped(), 0, 0)
        store = _Store(connection)
        for action in actions:
            store.do(*action)
            store.check()
