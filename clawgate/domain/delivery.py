"""One part of a reply on its way to a channel. Ring: domain. Source: design §1 ("each send goes pending → sending → sent | uncertain").

    state     | event        | next state                                                        | effects on the item
    ----------+--------------+-------------------------------------------------------------------+--------------------
    pending   | Started      | sending                                                           |
    sending   | Delivered    | sent                                                              | SendSettled when it was the last part
    sending   | NotDelivered | pending until tries run out, then dead                            | SendDead
    sending   | Rejected     | dead                                                              | SendDead
    sending   | Unanswered   | pending if the channel declares sends idempotent and tries are    |
              |              |   left; else uncertain                                            | SendUnsettled
    uncertain,|              |                                                                   |
    dead      | Resend       | pending, tries start again                                        |
    pending   | GiveUp       | dead                                                              | SendDead

A process that finds `sending` at start treats it as `Unanswered`: the bytes may have left.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from clawgate.domain.errors import Conflict


class SendState(StrEnum):
    """Where a part stands."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    UNCERTAIN = "uncertain"
    DEAD = "dead"


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """One message to one target of one channel.

    Attributes:
        id: time-ordered like an item's; parts of one reply have rising ids, and parts to one target go out in id order.
        item_id: whose answer it is.
        part: 1 … n of a split reply.
        receipt: the platform's id of the delivered message, "" when it gives none.
    """

    id: str
    item_id: str
    channel: str
    target: str
    text: str
    part: int = 1
    state: SendState = SendState.PENDING
    attempts: int = 0
    due_ms: int = 0
    receipt: str | None = None
    error: str | None = None
    updated_ms: int = 0


class Started(msgspec.Struct, frozen=True):
    """The channel is about to be asked."""


class Delivered(msgspec.Struct, frozen=True):
    """The platform took it."""

    receipt: str = ""


class NotDelivered(msgspec.Struct, frozen=True):
    """It certainly did not arrive and may later."""

    code: str
    delay_seconds: float
    max_attempts: int


class Rejected(msgspec.Struct, frozen=True):
    """The platform will never take it."""

    code: str


class Unanswered(msgspec.Struct, frozen=True):
    """The bytes left and no answer came; `again` is the channel's own word that sending twice is harmless.

    Attributes:
        delay_seconds: the wait before it is sent again.
        max_attempts: sends in all before it is uncertain after all.
    """

    again: bool = False
    delay_seconds: float = 0.0
    max_attempts: int = 5


class Resend(msgspec.Struct, frozen=True):
    """An operator wants it sent (again)."""


class GiveUp(msgspec.Struct, frozen=True):
    """Its channel is gone, or an operator dropped the item."""

    code: str


Event = Started | Delivered | NotDelivered | Rejected | Unanswered | Resend | GiveUp


def step(send: Send, event: Event, now_ms: int) -> Send:
    """The part after `event`.

    Raises:
        Conflict: the table has no such row.
    """
    match event, send.state:
        case Started(), SendState.PENDING:
            return _with(send, now_ms, state=SendState.SENDING, attempts=send.attempts + 1)
        case Delivered(), SendState.SENDING:
            return _with(send, now_ms, state=SendState.SENT, receipt=event.receipt, error=None)
        case NotDelivered(), SendState.SENDING if send.attempts < event.max_attempts:
            due_ms = now_ms + int(event.delay_seconds * 1000)
            return _with(send, now_ms, state=SendState.PENDING, due_ms=due_ms, error=event.code)
        case NotDelivered() | Rejected(), SendState.SENDING:
            return _with(send, now_ms, state=SendState.DEAD, error=event.code)
        case Unanswered(again=True), SendState.SENDING if send.attempts < event.max_attempts:
            due_ms = now_ms + int(event.delay_seconds * 1000)
            return _with(send, now_ms, state=SendState.PENDING, due_ms=due_ms, error="unanswered")
        case Unanswered(), SendState.SENDING:
            return _with(send, now_ms, state=SendState.UNCERTAIN, error="unanswered")
        case Resend(), (SendState.UNCERTAIN | SendState.DEAD):
            return _with(send, now_ms, state=SendState.PENDING, attempts=0, due_ms=now_ms, error=None)
        case GiveUp(), SendState.PENDING:
            return _with(send, now_ms, state=SendState.DEAD, error=event.code)
    raise Conflict(f"send {send.id} is {send.state}: {type(event).__name__} does not apply")


def _with(send: Send, now_ms: int, **changes: object) -> Send:
    return msgspec.structs.replace(send, updated_ms=now_ms, **changes)
