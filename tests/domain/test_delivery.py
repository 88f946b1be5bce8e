"""Every row of the table of `domain.delivery`, and everything that is not in it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.delivery import Delivered, Event, GiveUp, NotDelivered, Rejected, Resend, Send, SendState, Started, Unanswered, step
from clawgate.domain.errors import Conflict
from clawgate.testing.store_builders import NOW_MS, a_send, an_item

_PENDING, _SENDING, _SENT, _UNCERTAIN, _DEAD = SendState


def _send(state: SendState, **fields: Any) -> Send:  # Any: fields of a send
    attempts = 0 if state is _PENDING else 1
    return msgspec.structs.replace(a_send(1, an_item(1)), **({"state": state, "attempts": attempts, "error": "before"} | fields))


_AGAIN = Unanswered(True, 2.5, 3)
_ROWS: dict[str, tuple[Send, Event, SendState, dict[str, Any]]] = {  # Any: fields of a send
    "started": (_send(_PENDING), Started(), _SENDING, {"attempts": 1}),
    "started again": (_send(_PENDING, attempts=2), Started(), _SENDING, {"attempts": 3}),
    "delivered": (_send(_SENDING), Delivered("r"), _SENT, {"receipt": "r", "error": None}),
    "delivered without a receipt": (_send(_SENDING), Delivered(), _SENT, {"receipt": "", "error": None}),
    "not delivered, tries left": (_send(_SENDING, attempts=2), NotDelivered("busy", 2.5, 3), _PENDING, {"due_ms": NOW_MS + 2_500, "error": "busy"}),
    "not delivered, no tries left": (_send(_SENDING, attempts=3), NotDelivered("busy", 2.5, 3), _DEAD, {"error": "busy"}),
    "rejected": (_send(_SENDING), Rejected("refused"), _DEAD, {"error": "refused"}),
    "unanswered": (_send(_SENDING), Unanswered(), _UNCERTAIN, {"error": "unanswered"}),
    "unanswered, harmless to repeat": (_send(_SENDING, attempts=2), _AGAIN, _PENDING, {"due_ms": NOW_MS + 2_500, "error": "unanswered"}),
    "unanswered for the last time": (_send(_SENDING, attempts=3), _AGAIN, _UNCERTAIN, {"error": "unanswered"}),
    "an uncertain part is sent again": (_send(_UNCERTAIN, attempts=4), Resend(), _PENDING, {"attempts": 0, "due_ms": NOW_MS, "error": None}),
    "a dead part is sent again": (_send(_DEAD, attempts=4), Resend(), _PENDING, {"attempts": 0, "due_ms": NOW_MS, "error": None}),
    "given up": (_send(_PENDING), GiveUp("dropped"), _DEAD, {"error": "dropped"}),
}
_EVENTS: tuple[Event, ...] = (Started(), Delivered("r"), NotDelivered("busy", 1.0, 3), Rejected("refused"), Unanswered(), Resend(), GiveUp("dropped"))
_REFUSED = [
    (_send(state), event)
    for state in SendState
    for event in _EVENTS
    if not any(send.state is state and type(known) is type(event) for send, known, _, _ in _ROWS.values())
]


@pytest.mark.parametrize(("send", "event", "state", "changes"), _ROWS.values(), ids=_ROWS)
def test_row_of_the_table(send: Send, event: Event, state: SendState, changes: dict[str, Any]) -> None:  # Any: fields of a send
    assert msgspec.structs.replace(send, state=state, updated_ms=NOW_MS, **changes) == step(send, event, NOW_MS)


@pytest.mark.parametrize(("send", "event"), _REFUSED, ids=lambda part: part.state if isinstance(part, Send) else type(part).__name__)
def test_what_is_not_in_the_table_is_refused(send: Send, event: Event) -> None:
    with pytest.raises(Conflict, match=f"{send.id} is {send.state}: {type(event).__name__} does not apply"):
        step(send, event, NOW_MS)


def test_every_kind_of_event_is_tried() -> None:
    assert set(Event.__args__) == {type(event) for event in _EVENTS}
    assert len(SendState) * len(_EVENTS) == len(_REFUSED) + len({(send.state, type(event)) for send, event, _, _ in _ROWS.values()})


@given(st.lists(st.sampled_from((*_EVENTS, _AGAIN)), max_size=40))
def test_a_part_is_delivered_once_and_tried_a_bounded_number_of_times(events: list[Event]) -> None:
    send = _send(_PENDING)
    for event in events:
        try:
            after = step(send, event, NOW_MS)
        except Conflict:
            continue
        assert send.state is not _SENT
        assert 0 <= after.attempts <= 3
        assert (after.state is _SENT) == (after.receipt is not None)
        assert (send.id, send.item_id, send.channel, send.target, send.text, send.part) == (
            after.id,
            after.item_id,
            after.channel,
            after.target,
            after.text,
            after.part,
        )
        send = after
