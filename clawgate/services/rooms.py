"""One session as those who sit in it see it: numbered events, the last of them kept. Ring: services. Source: design §4.16."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec
from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from clawgate.domain.chat import Added, ChatEvent, Done, Happening
from clawgate.domain.inbox import Item
from clawgate.domain.turn import ApprovalAsked, Counted, Delta, Thought, ToolEnded, ToolStarted

_log = Logger()
KEPT_EVENTS, KEPT_CHARS = 4_096, 256 * 1024
"""Of one room, for those who come back."""
_EVENT_CHARS = 64
Listener = Callable[[ChatEvent], None]


class RoomTurn(msgspec.Struct, eq=False):
    """One open message of a room; what is counted while it runs."""

    item: Item
    counted: list[Counted] = []


class Room(msgspec.Struct, eq=False):
    """One session while somebody sits in it or a turn of it is open.

    Attributes:
        principal: whose session it is.
        seq: number of the last event. lost: of the last one that is not kept any more.
        has_failed: whether the last turn failed; one that was given up has not.
    """

    id: str
    principal: str
    seq: int
    used_at: float
    lost: int = 0
    has_failed: bool = False
    kept: deque[ChatEvent] = msgspec.field(default_factory=deque)
    kept_chars: int = 0
    kept_thoughts: int = 0
    listeners: list[Listener] = []
    turns: dict[str, RoomTurn] = {}
    guests: int = 0
    accepting: int = 0
    intake: DeferredLock = msgspec.field(default_factory=DeferredLock)

    def __post_init__(self) -> None:
        self.lost = self.seq

    @property
    def is_empty(self) -> bool:
        """Whether nobody would miss it."""
        return not (self.guests or self.turns or self.accepting)

    def can_resume(self, after: int) -> bool:
        """Whether everything since event `after` is kept, but perhaps for reasoning."""
        return self.lost <= after <= self.seq

    def tell(self, what: Happening) -> None:
        """Numbers what happened, keeps it and tells everybody; one who breaks is logged, and keeps neither the others nor the turn from going on."""
        self.seq += 1
        event = ChatEvent(self.seq, what, len(self.turns))
        self.kept.append(event)
        self._count(event, 1)
        if self._is_overfull and self.kept_thoughts > len(self.kept) // 2:
            self._forget_thoughts()
        while self._is_overfull and len(self.kept) > 1:
            dropped = self.kept.popleft()
            self._count(dropped, -1)
            self.lost = dropped.seq
        for listener in tuple(self.listeners):
            try:
                listener(event)
            except Exception:
                _log.failure("who sits in {session} broke", session=self.id)

    @property
    def _is_overfull(self) -> bool:
        return len(self.kept) > KEPT_EVENTS or self.kept_chars > KEPT_CHARS

    def _count(self, event: ChatEvent, by: int) -> None:
        self.kept_chars += by * _chars(event)
        self.kept_thoughts += by * isinstance(event.what, Thought)

    def _forget_thoughts(self) -> None:
        """Reasoning is long and passing: who comes back does without it, and misses nothing of the turn."""
        thoughts = [event for event in self.kept if isinstance(event.what, Thought)]
        self.kept = deque(event for event in self.kept if not isinstance(event.what, Thought))
        for event in thoughts:
            self._count(event, -1)


def _chars(event: ChatEvent) -> int:
    match event.what:
        case Delta(text=text) | Thought(text=text) | ToolEnded(text=text) | Done(text=text):
            return _EVENT_CHARS + len(text)
        case Added(message=message):
            return _EVENT_CHARS + len(message.content)
        case ToolStarted(call=call) | ApprovalAsked(call=call):
            return _EVENT_CHARS + len(call.arguments)
    return _EVENT_CHARS
