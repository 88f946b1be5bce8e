"""`WS /ws/chat`. Ring: edge (web). Source: construct-realtime.md §12; zeroclaw.md B5; design §4.16. What a connection does: domain/chat_connection.py."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawgate.domain import chat_connection
from clawgate.domain.caller import Caller, Scope
from clawgate.domain.chat import ChatEvent, Problem, SessionBusy
from clawgate.domain.chat_connection import Answered, Ask, Cancel, Complain, Connection, Effect, Follow, Phase, Resolve, Turns, Unfollow
from clawgate.domain.errors import Forbidden, NotFound, Unavailable
from clawgate.ports.clock import Clock
from clawgate.ports.sockets import Socket
from clawgate.services.chats import Chats, Entered
from clawgate.services.rooms import Room
from clawgate.web.answers import encoded
from clawgate.web.call import Call
from clawgate.web.dialects import chat_frames_wire as wire
from clawgate.web.dialects.chat_sessions_wire import NOT_FOUND, id_of
from clawgate.web.dialects.extractor_wire import bad_query
from clawgate.web.dialects.root_wire import UNAVAILABLE
from clawgate.web.documented import documented
from clawgate.web.router import Router
from clawgate.web.sockets import SocketAnswer
from clawgate.web.surfaces.chat_relays import Relay, Relays

_log = Logger()


class ChatSocketSurface(msgspec.Struct):
    """The chat's door."""

    chats: Chats
    relays: Relays
    clock: Clock

    def register(self, router: Router) -> None:
        """Adds the route."""
        router.add(
            "GET",
            "/ws/chat",
            self.open,
            auth=Scope.CHAT,
            limiter="api",
            dialect=wire.refusal,
            is_socket=True,
            summary="Talk to the agent in a session (WebSocket; construct.v1, zeroclaw.v1)",
        )

    @documented(query={"last_seq": str, "name": str, "session_id": str})
    async def open(self, call: Call) -> SocketAnswer:
        """A connection to the session that the query names, or to a new one."""
        last = _last_seq(call)
        entered = await self.chats.enter(call.caller, id_of(call.query("session_id") or ""), call.query("name"))
        handler = ChatConnection(self.chats, self.relays, self.clock, call.caller, entered, last)
        return SocketAnswer(handler, call.caller, wire.SUBPROTOCOLS)


def _last_seq(call: Call) -> int | None:
    """The last event that the client has seen, None = it does not say."""
    text = call.query("last_seq")
    if text is None:
        return None
    # The length comes first: Python refuses to read a number of thousands of digits.
    if len(text) > len(str(wire.MOST_SEQ)) or not (text.isascii() and text.isdigit() and int(text) < wire.MOST_SEQ):
        raise bad_query("last_seq: invalid digit found in string")
    return int(text)


class ChatConnection(msgspec.Struct, eq=False):
    """One connection; a `SocketHandler`."""

    chats: Chats
    relays: Relays
    clock: Clock
    caller: Caller
    entered: Entered
    last: int | None
    _record: Connection = Connection(0)
    _socket: Socket | None = None
    _room: Room | None = None
    _timer: IDelayedCall | None = None
    _unfollow: Callable[[], None] = lambda: None
    _relay: Relay | None = None

    def opened(self, socket: Socket) -> None:
        """Greets, and waits a moment for the client to introduce itself."""
        self._socket = socket
        room = self._room = self.chats.arrive(self.entered)
        self._record = Connection(room.seq if self.last is None else self.last, self.last is not None)
        missed = None if self.last is None else not room.can_resume(self.last)
        self._send(wire.session_start(room.id, self.entered.message_count, self.entered.name, room.seq, missed))
        self._timer = self.clock.call_later(chat_connection.CONNECT_SECONDS, self._step, chat_connection.Quiet())

    def text(self, text: str) -> None:
        """One frame of the client's."""
        self._stop_waiting()
        self._step(wire.decode(text))

    def data(self, data: bytes) -> None:
        """Binary frames mean nothing here; the first one ends the wait for an introduction, as upstream."""
        self._stop_waiting()
        self._step(chat_connection.Quiet())

    def closed(self, code: int) -> None:
        """The client is gone; its turns go on."""
        self._stop_waiting()
        if self._room is not None:
            self._step(chat_connection.Left())

    def _stop_waiting(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _step(self, event: chat_connection.Event) -> None:
        self._record, effects = chat_connection.step(self._record, event)
        for effect in effects:
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        room = self._room
        assert room is not None  # no effect before `opened`
        match effect:
            case Follow():
                self._follow(room, effect)
            case Ask(text=text, enclosed=enclosed):
                self._started(self.chats.say(room, self.caller, text, enclosed))
            case Resolve(word=word):
                self._started(self._resolve(word))
            case Cancel():
                self._started(self.chats.cancel(room.id, self.caller))
            case Complain(problem=problem, message=message):
                self._complain(problem, message)
            case Unfollow():
                self._unfollow()
                self._unrelayed()
                self.chats.leave(room)

    def _follow(self, room: Room, effect: Follow) -> None:
        if effect.says_connected:
            self._send(wire.connected(None if not effect.resumes else not room.can_resume(effect.after)))
        self._unfollow = self.chats.follow(room, effect.after, self._told, resumes=effect.resumes)
        if self._record.phase is Phase.GONE:  # what it missed was more than it takes
            self._unfollow()
        elif self._socket is not None:
            self._relay = self.relays.begin(self._socket)
        self._step(Turns(len(room.turns)))

    def _unrelayed(self) -> None:
        if self._relay is not None:
            self._relay.end()

    def _told(self, event: ChatEvent) -> None:
        for text in self.relays.texts(self._dialect, event):
            if self._socket is not None:
                self._socket.send(text)
        self._step(Turns(event.open_turns))

    async def _resolve(self, word: Answered) -> None:
        try:
            await self.chats.resolve(self.caller, word)
        except (NotFound, Forbidden) as problem:
            self._complain(Problem.INVALID_APPROVAL_RESPONSE, str(problem))

    def _started(self, doing: Coroutine[Deferred[Any], Any, object]) -> None:  # Any: as Deferred.fromCoroutine takes it
        """Lets something run to its end that answers by what it makes happen in the room."""
        Deferred.fromCoroutine(doing).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        if failure.check(SessionBusy):
            self._complain(Problem.SESSION_BUSY, failure.getErrorMessage())
        elif failure.check(Unavailable):
            self._complain(Problem.SESSION_BUSY, UNAVAILABLE)
        elif failure.check(NotFound):
            self._complain(Problem.AGENT_ERROR, NOT_FOUND)
        else:
            _log.failure("a frame of {principal} could not be carried out", failure, principal=self.caller.principal)
            self._complain(Problem.AGENT_ERROR, "Internal error")

    def _complain(self, problem: Problem, message: str) -> None:
        self._send(wire.error(self._dialect, problem, message))

    def _send(self, frame: wire.Object) -> None:
        if self._socket is not None:
            self._socket.send(encoded(frame).decode())

    @property
    def _dialect(self) -> wire.Dialect:
        return wire.dialect_of("" if self._socket is None else self._socket.subprotocol)
