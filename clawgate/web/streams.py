"""Answers that go on: Server-Sent Events. Ring: edge (web). Source: design §4.17, §6; rantaiclaw.md §10 (SSE); libraries.md §1 (back-pressure).

A slow client is waited for up to `MOST_WAITING_BYTES`, then cut: what it missed is in the store. A stream ends with its client, with its credential and with
the gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request
from zope.interface import implementer

from clawgate.domain.caller import Caller
from clawgate.ports.clock import Clock
from clawgate.web.answers import encoded

_log = Logger()
EVENT_STREAM = b"text/event-stream"
KEEP_ALIVE_SECONDS = 15.0
MOST_WAITING_BYTES = 1024 * 1024


@implementer(IPushProducer)
class EventStream(msgspec.Struct, eq=False):
    """One open answer."""

    request: Request
    clock: Clock
    _waiting: list[bytes] = []
    _waiting_bytes: int = 0
    _is_paused: bool = False
    _is_over: bool = False
    _timer: IDelayedCall | None = None
    _written_at: float = 0.0
    resumed: Callable[[], None] = lambda: None
    """Told when a client that was slow has taken everything."""

    @property
    def is_slow(self) -> bool:
        """Whether the connection takes nothing more for now."""
        return self._is_paused

    @property
    def waiting_bytes(self) -> int:
        """What a slow client has not taken yet."""
        return self._waiting_bytes

    def open(self) -> None:
        """Begins; the head has been set on the request."""
        self.request.registerProducer(self, True)
        self._write(b": open\n\n")

    def go_live(self) -> None:
        """From now on pieces go to the socket at once: many other streams are sent theirs at the same moment."""
        self.request.is_live = True  # type: ignore[attr-defined]  # of our own requests; on others it means nothing

    def data(self, value: object) -> None:
        """Sends one event: a `data:` line with a JSON object."""
        self._write(framed(encoded(value)))

    def piece(self, frames: bytes) -> None:
        """Sends what is `framed` already, of one event or of several."""
        if frames:
            self._write(frames)

    def end(self) -> None:
        """Finishes the answer; a second call does nothing."""
        if not self._is_over:
            self.leave()
            if self._waiting:
                self.request.write(b"".join(self._waiting))
            self.request.unregisterProducer()
            self.request.finish()

    def revoke(self) -> None:
        """Ends it, its credential is dead: what a slow client has not taken is not for it any more."""
        if self._is_paused and not self._is_over:
            self._abort()
        else:
            self.end()

    def leave(self) -> None:
        """The client has gone."""
        self._is_over = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def pauseProducing(self) -> None:
        """The connection takes nothing more for now."""
        self._is_paused = True

    def resumeProducing(self) -> None:
        """The connection takes more."""
        self._is_paused = False
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if waiting and not self._is_over:
            self.request.write(b"".join(waiting))
        if not self._is_paused and not self._is_over:
            self.resumed()

    def stopProducing(self) -> None:
        """The connection is gone."""
        self.leave()

    def _write(self, piece: bytes) -> None:
        if self._is_over:
            return
        self._written_at = self.clock.monotonic()
        if self._timer is None:
            self._timer = self.clock.call_later(KEEP_ALIVE_SECONDS, self._keep_alive)
        if not self._is_paused:
            self.request.write(piece)
            return
        self._waiting.append(piece)
        self._waiting_bytes += len(piece)
        if self._waiting_bytes > MOST_WAITING_BYTES:
            self.cut()

    def _keep_alive(self) -> None:
        """Writes after a silence; a timer for each write would cost more than the write."""
        self._timer = None
        left = self._written_at + KEEP_ALIVE_SECONDS - self.clock.monotonic()
        if left > 0:
            self._timer = self.clock.call_later(left, self._keep_alive)
        else:
            self._write(b": keep-alive\n\n")

    def cut(self) -> None:
        """Ends the connection: its client does not keep up. Somebody else's site would wait for ever until such a client has taken what was written."""
        if not self._is_over:
            _log.info("an event stream is cut, its client does not keep up")
            self._abort()

    def _abort(self) -> None:
        self.leave()
        getattr(self.request.channel, "forceAbortClient", self.request.loseConnection)()  # a stream of HTTP/2 has none


def framed(encoded: bytes, number: int = 0) -> bytes:
    """One event that is JSON already, as the wire has it; `number` is its `id:`, 0 = none."""
    return (b"id: %d\n" % number if number else b"") + b"data: " + encoded + b"\n\n"


Run = Callable[[EventStream], Coroutine[Deferred[Any], Any, None]]  # Any: what Deferreds in it fire with


class StreamAnswer(msgspec.Struct, frozen=True):
    """An answer that goes on until `run` returns; cancelled when the client leaves.

    Attributes:
        caller: whose credential opened it; the stream ends when that does.
        is_endless: nothing is waited for: it is cut when the gateway stops.
    """

    run: Run
    caller: Caller
    status: int = 200
    is_endless: bool = False


class OpenStreams(msgspec.Struct, eq=False):
    """Every open stream, so that each can be ended."""

    clock: Clock
    _open: dict[EventStream, tuple[StreamAnswer, Deferred[None]]] = {}

    def begin(self, request: Request, answer: StreamAnswer) -> None:
        """Runs a stream on a request whose head has been set."""
        stream = EventStream(request, self.clock)
        stream.open()
        work = Deferred.fromCoroutine(answer.run(stream))
        self._open[stream] = (answer, work)
        if answer.caller.expires_ms:
            seconds = (answer.caller.expires_ms - self.clock.wall_ms()) / 1000
            timer = self.clock.call_later(max(seconds, 0.0), self._revoke, stream)
            work.addBoth(_without, timer)
        request.notifyFinish().addErrback(lambda _: self._left(stream))
        work.addErrback(self._broke).addBoth(self._ended, stream)

    def end_of(self, principal: str) -> None:
        """Ends what a credential has opened: it is dead."""
        for stream, (answer, _) in tuple(self._open.items()):
            if answer.caller.principal == principal:
                self._revoke(stream)

    def end_endless(self) -> None:
        """The gateway stops: what waits for nothing ends, what waits for a turn goes on until that has ended."""
        for stream, (answer, _) in tuple(self._open.items()):
            if answer.is_endless:
                self._cut(stream)

    def __len__(self) -> int:
        return len(self._open)

    def _cut(self, stream: EventStream) -> None:
        _, work = self._open.get(stream, (None, None))
        if work is not None:
            work.cancel()
            stream.end()

    def _revoke(self, stream: EventStream) -> None:
        _, work = self._open.get(stream, (None, None))
        if work is not None:
            stream.revoke()
            work.cancel()

    def _left(self, stream: EventStream) -> None:
        stream.leave()
        _, work = self._open.get(stream, (None, None))
        if work is not None:
            work.cancel()

    def _ended(self, _: object, stream: EventStream) -> None:
        self._open.pop(stream, None)
        stream.end()

    def _broke(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            _log.failure("an event stream broke", failure)


def _without(result: None, timer: IDelayedCall) -> None:
    if timer.active():
        timer.cancel()
    return result
