"""One request to a vendor and its answer: what is sent, who reads, until when. Ring: agents. Source: design §3 (HTTP client).

in line --> connecting --> sent --head--> body --> over        is_complete in the body: lingering, a moment at most
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from clawgate.agents.http_wire import AnswerParser
from clawgate.domain.errors import AgentProtocol, AgentTimeout

LINGER_SECONDS = 1.0
"""How long a body may trail on once its receiver has all it needs."""

HeaderLookup = Callable[[str], str | None]


class Receiver(Protocol):
    """Takes one answer. May raise an `AgentError` anywhere: the connection is aborted and the error is the outcome."""

    def head(self, status: int, header: HeaderLookup) -> None:
        """The answer begins; header names in any case."""

    def data(self, chunk: bytes) -> None:
        """The next bytes of the body."""

    def is_complete(self) -> bool:
        """Whether nothing that may still come matters."""


class Exchange:
    """One request.

    Args:
        request: its head and body.
        cap_bytes: largest body of the answer.
        idle_seconds: for the head, and for every gap in the body.

    Attributes:
        ended: fires when the answer has ended.
        deadline: when it is over at the latest, unless something comes.
        is_over: whether `ended` has fired, or is about to.
        way: what leads to the server: an attempt to connect, then a connection. None in the line.
    """

    __slots__ = ("_idle_seconds", "_is_lingering", "_parser", "_receiver", "_room", "deadline", "ended", "is_over", "request", "way")

    def __init__(self, request: bytes, receiver: Receiver, *, cap_bytes: int, idle_seconds: float, cancel: Callable[[Exchange], None]) -> None:
        self.request = request
        self.ended: Deferred[None] = Deferred(lambda _: cancel(self))
        self.deadline = 0.0
        self.is_over = False
        self.way: Any = None  # Any: Deferred or Connection, which imports this module; each has a way to end it
        self._receiver, self._parser = receiver, AnswerParser()
        self._room, self._idle_seconds = cap_bytes, idle_seconds
        self._is_lingering = False

    @property
    def keeps(self) -> bool:
        """Whether the connection may carry another request."""
        return self._parser.keeps

    def start(self, now: float) -> None:
        """It has left the line: the head is waited for."""
        self.deadline = now + self._idle_seconds

    def feed(self, data: bytes, now: float) -> bool:
        """Takes bytes of the answer and hands on what they hold. Returns whether it has ended.

        Raises:
            AgentProtocol: not HTTP, or over a cap. AgentUnavailable: a head without end. Whatever the receiver raises.
        """
        parser, receiver = self._parser, self._receiver
        is_first = parser.head is None
        body = parser.feed(data)
        if is_first and parser.head is not None:
            receiver.head(parser.head.status, parser.head.header)
        if body:
            self._room -= len(body)
            if self._room < 0:
                raise AgentProtocol("the provider's answer is over its cap")
            receiver.data(body)
        if parser.is_over:
            return True
        if parser.problem is not None:
            if self.is_whole():
                return True
            raise parser.problem
        self._put_off(now, bool(body))
        return False

    def _put_off(self, now: float, has_body: bool) -> None:
        if self._is_lingering or self._parser.head is None:
            return
        self._is_lingering = has_body and self._receiver.is_complete()
        self.deadline = now + (LINGER_SECONDS if self._is_lingering else self._idle_seconds)

    def is_whole(self) -> bool:
        """Whether an answer that goes no further is whole: one that ends with its connection may be, and only its receiver can tell."""
        return self._parser.head is not None and (self._parser.ends_with_connection or self._receiver.is_complete())

    def expired(self) -> AgentTimeout | None:
        """The error of a deadline that has passed; None when the answer is whole as it is."""
        if self._parser.head is None:
            return AgentTimeout("the provider did not begin to answer in time", detail=f"{self._idle_seconds:g} s")
        if self._receiver.is_complete():
            return None
        return AgentTimeout("the provider sent nothing for too long", detail=f"{self._idle_seconds:g} s inside the answer")
