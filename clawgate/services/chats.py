"""Sessions as those who sit in them see them: one room each, however many connections. Ring: services. Source: construct-realtime.md §6, §12; design §4.16.

    message → the one road (promised, in the session's conversation) → turn events → numbered events of the room → whoever follows

Leaving a room changes nothing in it. What happened last is kept for those who come back; what is older is in the session's history. A room is made anew
after a restart, and takes up the turns that the store says are open.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from clawgate.domain import chat
from clawgate.domain.attachments import NOTHING, Enclosed
from clawgate.domain.caller import Caller, Scope
from clawgate.domain.chat import Added, Done, Failed, Happening, Problem, SessionBusy, Taken, conversation, session_of
from clawgate.domain.chat_connection import Answered
from clawgate.domain.errors import Conflict, Draining, Forbidden, GatewayError, NotFound, Overloaded, StoreUnavailable
from clawgate.domain.inbox import OPEN, Item
from clawgate.domain.messages import PLAIN, Attendance, Inbound, TurnOptions
from clawgate.domain.sessions import Message, Session, renamed
from clawgate.domain.turn import ApprovalAsked, Counted, Recalled, Role, TurnEvent
from clawgate.ports.clock import Clock
from clawgate.ports.stores import Inbox
from clawgate.services.approvals import Approvals
from clawgate.services.desk import Desk
from clawgate.services.ingress import Ingress
from clawgate.services.rooms import Listener, Room, RoomTurn
from clawgate.services.sessions import Sessions
from clawgate.services.streams import Streams
from clawgate.services.waiters import Waiters

_log = Logger()
IDLE_SECONDS, MOST_IDLE = 600.0, 256
"""How long an empty room is kept, and how many of them."""
SOURCE = "chat"
MOST_GUESTS = 64
"""Connections to one session: each is told everything in it."""
_MOST_OPEN_ITEMS = 500
_RETRY_SECONDS = 1.0


class Entered(msgspec.Struct, frozen=True):
    """How a session stands when somebody comes in; `name` is None when it has none."""

    session_id: str
    principal: str
    message_count: int
    name: str | None


class _Draft(msgspec.Struct, eq=False):
    """A room that is being made: what is accepted for it meanwhile."""

    items: list[Item] = []


class Chats(msgspec.Struct, eq=False):
    """All rooms.

    Attributes:
        provider: how the provider of the moment is called.
    """

    ingress: Ingress
    inbox: Inbox
    waiters: Waiters
    streams: Streams
    approvals: Approvals
    sessions: Sessions
    desk: Desk
    clock: Clock
    provider: Callable[[], str]
    _rooms: dict[str, Room] = {}
    _drafts: dict[str, list[_Draft]] = {}

    # --- coming and going

    async def enter(self, caller: Caller, wanted: str | None, name: str | None = None) -> Entered:
        """The session that a caller comes into: the named one, or a new one.

        Args:
            wanted: its id; one that nobody has is a new session's, if it may be a name at all.
            name: a new title, unless nothing is left of it; a session that is not stored yet does not keep it.

        Raises:
            NotFound: it is somebody else's. Overloaded: MOST_GUESTS sit in it.
        """
        name = renamed(name or "")
        session_id = wanted if wanted and chat.is_session_id(wanted) else self.sessions.ids.uuid()
        stored = await self.sessions.exact(session_id, caller)
        if stored is not None and name:
            stored = await self.sessions.rename(caller, session_id, name)
        owner = "" if stored is None else stored.principal
        room = self._room_of(session_id, owner) or await self._made(session_id, owner, caller.principal)
        if not caller.may_see(room.principal):
            raise NotFound("no such session")
        if room.guests >= MOST_GUESTS:
            raise Overloaded("too many connections to this session")
        title = name if stored is None else stored.title
        return Entered(session_id, room.principal, 0 if stored is None else stored.message_count, title or None)

    def arrive(self, entered: Entered) -> Room:
        """The room, which stays until `leave`."""
        room = self._room_of(entered.session_id, entered.principal) or self._new(entered.session_id, entered.principal)
        room.guests += 1
        return room

    def leave(self, room: Room) -> None:
        """Goes; what runs goes on."""
        room.guests -= 1
        room.used_at = self.clock.monotonic()

    def follow(self, room: Room, after: int, listener: Listener, *, resumes: bool) -> Callable[[], None]:
        """Tells what happened after event `after`, and then what happens; returns what ends it.

        Args:
            resumes: the client has seen everything up to `after`. Otherwise, and when events since then are no longer kept, it is told the questions that are
                still open first; of what is lost nothing is told.
        """
        is_whole = room.can_resume(after)
        start = after if is_whole else room.seq
        if not (resumes and is_whole):
            waiting = {pending.id for pending in self.approvals.open_in(room.id)}
            for event in tuple(room.kept):
                if event.seq <= start and isinstance(event.what, ApprovalAsked) and event.what.id in waiting:
                    listener(event)
        for event in tuple(room.kept):
            if event.seq > start:
                listener(event)
        room.listeners.append(listener)

        def end() -> None:
            if listener in room.listeners:
                room.listeners.remove(listener)

        return end

    # --- what is done in a room

    async def say(self, room: Room, caller: Caller, text: str, enclosed: Enclosed = NOTHING) -> None:
        """Takes a message; its turn comes when those before it have ended.

        Raises:
            SessionBusy: as many are open as may be. NotFound: the session has become somebody else's. Draining, Overloaded, StoreUnavailable: it was not taken.
        """
        if len(room.turns) + room.accepting >= chat.MOST_OPEN:
            raise SessionBusy(room.id)
        room.accepting += 1
        try:
            async with room.intake:  # messages stay in the order in which they came
                # Another door may have begun a session of this name meanwhile, and its history is not for everybody.
                await self.sessions.open_to(room.id, caller)
                await self.ingress.accept(_inbound(room, caller, text, enclosed))  # which tells `heard`
        finally:
            room.accepting -= 1

    async def resolve(self, caller: Caller, word: Answered) -> None:
        """Gives the word on a tool; it is on disk when this returns.

        Raises:
            Forbidden: the credential does not cover it. NotFound: no such question is open, or it is not the caller's to answer.
            StoreUnavailable: the word is not written down.
        """
        if not caller.may(Scope.APPROVE):
            raise Forbidden("this token may not approve", scope=Scope.APPROVE)
        await self.approvals.resolve(word.id, caller, approve=word.approve, always=word.always)

    async def cancel(self, session_id: str, caller: Caller) -> bool:
        """Gives the turn up that runs, or would be next; False = there is none, it is not the caller's, or it has just ended."""
        items = await self.open_items(session_id)
        return bool(items) and caller.may_see(items[0].principal) and await self._dropped(items[0].id)

    async def cancel_all(self, session_id: str, caller: Caller) -> bool:
        """Gives everything up that is open in a session and the caller's, those that wait first, so that none of them starts; False = there was nothing."""
        mine = [item for item in reversed(await self.open_items(session_id)) if caller.may_see(item.principal)]
        return any([await self._dropped(item.id) for item in mine])

    async def open_items(self, session_id: str) -> tuple[Item, ...]:
        """Messages of a session that run or wait, oldest first."""
        return await self.inbox.open_in(conversation(session_id), _MOST_OPEN_ITEMS)

    async def open_anywhere(self) -> tuple[Item, ...]:
        """Messages of sessions that run or wait, oldest first; among the newest 500 of all open messages."""
        page = await self.inbox.page(OPEN, 0, "", _MOST_OPEN_ITEMS)
        return tuple(item for item in reversed(page.items) if session_of(item))

    def has_failed(self, session_id: str) -> bool:
        """Whether the session's last turn failed, as far as this process knows."""
        room = self._rooms.get(session_id)
        return room is not None and room.has_failed

    # --- what others do in a session

    def heard(self, item: Item) -> None:
        """Has those who sit in a session learn of a message that was accepted into it, by whatever door, or is tried again (`Ingress.told`, `Desk.told`)."""
        if not (self._rooms or self._drafts):
            return
        session_id = session_of(item)
        for draft in self._drafts.get(session_id, ()):
            draft.items.append(item)
        if session_id in self._rooms:
            self._hear(self._rooms[session_id], item)

    def added(self, session: Session, message: Message, source: str) -> None:
        """Has them learn of a message that was put into its history without a turn."""
        room = self._room_of(session.id, session.principal)
        if room is not None:
            room.tell(Added(session.id, message, source))

    # --- inside

    def _room_of(self, session_id: str, owner: str) -> Room | None:
        """The room that there is, unless the session was stored as somebody else's since: who named it first sits in an empty house then."""
        room = self._rooms.get(session_id)
        return room if room is not None and owner in ("", room.principal) else None

    async def _made(self, session_id: str, owner: str, principal: str) -> Room:
        """A room with the turns that are open already; that of somebody else's first message is somebody else's.

        Args:
            owner: whose the stored session is, "" = it is not stored yet.
            principal: who comes in.
        """
        draft = _Draft()
        self._drafts.setdefault(session_id, []).append(draft)
        try:
            stored = await self.open_items(session_id)
        finally:
            self._drafts[session_id].remove(draft)
            if not self._drafts[session_id]:
                del self._drafts[session_id]
        items = {item.id: item for item in (*stored, *draft.items)}.values()
        room = self._room_of(session_id, owner)
        if room is None:
            room = self._new(session_id, owner or next((item.principal for item in items), principal))
            for item in items:
                self._hear(room, item)
            for pending in self.approvals.open_in(session_id):
                room.tell(ApprovalAsked(pending.id, pending.call, int(pending.seconds_left(self.clock.wall_ms()))))
        return room

    def _new(self, session_id: str, principal: str) -> Room:
        now = self.clock.monotonic()
        idle = sorted((room for room in self._rooms.values() if room.is_empty), key=lambda room: room.used_at)
        for place, room in enumerate(idle):
            if room.used_at < now - IDLE_SECONDS or place < len(idle) - MOST_IDLE + 1:
                del self._rooms[room.id]
        # Numbers of an earlier room, or of an earlier process, lie below: whoever names one of them is told that something was missed.
        room = self._rooms[session_id] = Room(session_id, principal, self.clock.wall_ms() * 1000, now)
        return room

    def _hear(self, room: Room, item: Item) -> None:
        """Has a room told of a turn. Who named a session before anybody's first answer was kept must not follow what somebody else asks in it."""
        if item.principal == room.principal:
            self._attend(room, item)
        else:
            Deferred.fromCoroutine(self._hear_of_another(room, item)).addErrback(lambda failure: _log.failure("a room lost its turn", failure))

    async def _hear_of_another(self, room: Room, item: Item) -> None:
        """An administrator asks in a session that is the room's owner's: its door has looked."""
        try:
            stored = await self.sessions.rows.get(room.id)
        except StoreUnavailable:
            return
        if stored is not None and stored.principal == room.principal:
            self._attend(room, item)

    def _attend(self, room: Room, item: Item) -> None:
        """Has the room told of a turn; called before anything of it can happen."""
        turn = room.turns[item.id] = RoomTurn(item)
        room.tell(Taken(item.id))
        if item.source != SOURCE:
            room.tell(Added(room.id, Message(Role.USER, item.text, item.accepted_ms), item.source))
        Deferred.fromCoroutine(self._carried(room, turn)).addErrback(lambda failure: _log.failure("a room lost its turn", failure))

    async def _carried(self, room: Room, turn: RoomTurn) -> None:
        end = self.streams.watch(turn.item.id, lambda event: self._happened(room, turn, event))
        told: tuple[Happening, ...] = ()
        try:
            item = await self._outcome(turn.item.id)
            told = chat.outcome(item, self._done(turn, item))
            room.has_failed = isinstance(told[-1], Failed)
        except Draining:
            return
        except GatewayError as problem:
            told = (Failed(Problem.AGENT_ERROR, f"{problem}; see /api/inbox/{turn.item.id}"),)
        finally:
            end()
            room.turns.pop(turn.item.id, None)
            room.used_at = self.clock.monotonic()
        for what in told:
            room.tell(what)

    async def _outcome(self, item_id: str) -> Item:
        """The ended item, however long it takes.

        Raises:
            Draining: the gateway stops. NotFound: it is gone.
        """
        while True:
            try:
                return await self._ended(item_id)
            except (StoreUnavailable, Overloaded):  # the turn goes on all the same, and its end will be told
                await self.clock.sleep(_RETRY_SECONDS)

    async def _ended(self, item_id: str) -> Item:
        waiter = self.waiters.expect(item_id)
        try:
            item = await self.inbox.get(item_id)
            if item is None:
                raise NotFound("the message is gone")
            return await waiter if item.is_open else item
        finally:
            self.waiters.forget(item_id, waiter)

    def _happened(self, room: Room, turn: RoomTurn, event: TurnEvent) -> None:
        match event:
            case Counted():
                turn.counted.append(event)
            case Recalled():
                pass
            case _:
                room.tell(event)

    def _done(self, turn: RoomTurn, item: Item) -> Done:
        usages = [count.usage for count in turn.counted if count.usage.input_tokens or count.usage.output_tokens]  # 0 = the vendor did not say
        counted = None if not usages else (sum(usage.input_tokens for usage in usages), sum(usage.output_tokens for usage in usages))
        return Done(
            text=item.answer or "",
            model=item.model or "",
            provider=(item.options or PLAIN).provider or self.provider(),
            input_tokens=None if counted is None else counted[0],
            output_tokens=None if counted is None else counted[1],
            last_input_tokens=None if counted is None else usages[-1].input_tokens,
        )

    async def _dropped(self, item_id: str) -> bool:
        try:
            await self.desk.drop(item_id)
        except (Conflict, NotFound):
            return False
        return True


def _inbound(room: Room, caller: Caller, text: str, enclosed: Enclosed) -> Inbound:
    options = TurnOptions(session=room.id, attendance=Attendance.CONSOLE, page_context=enclosed.page_context, attachments=enclosed.attachments)
    return Inbound(source=SOURCE, principal=caller.principal, text=text, conversation=conversation(room.id), options=options)
