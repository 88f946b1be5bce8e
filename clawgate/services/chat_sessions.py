"""Sessions as Construct's and ZeroClaw's pages list them: what is kept, and what runs. Ring: services. Source: construct-realtime.md §12.6; zeroclaw.md B4.

Ids are whole here, never beginnings.
"""

from __future__ import annotations

import msgspec

from clawgate.domain.caller import Caller
from clawgate.domain.chat import session_of
from clawgate.domain.errors import BadRequest, NotFound
from clawgate.domain.inbox import Item
from clawgate.domain.messages import is_storable
from clawgate.domain.sessions import SOURCE, ActiveSession, ChatState, Message, Running, Session, Standing, renamed
from clawgate.domain.turn import Role
from clawgate.services.chats import Chats
from clawgate.services.sessions import MOST_SHOWN, Sessions

MOST_LISTED = 1_000
_NO_SESSION = "Session not found"


class ChatSessions(msgspec.Struct):
    """Kept sessions and running ones."""

    sessions: Sessions
    chats: Chats

    async def listed(self, caller: Caller) -> tuple[ActiveSession, ...]:
        """The newest activity first, at most 1,000."""
        return await self.sessions.rows.active(caller.sees_only, MOST_LISTED)

    async def running(self, caller: Caller) -> tuple[Running, ...]:
        """Sessions with a turn that runs or waits, in the order of their first one."""
        first: dict[str, Item] = {}
        for item in await self.chats.open_anywhere():
            if caller.may_see(item.principal):
                first.setdefault(session_of(item), item)
        return tuple([await self._running(session_id, item) for session_id, item in first.items()])

    async def _running(self, session_id: str, item: Item) -> Running:
        stored = await self.sessions.rows.get(session_id)
        if stored is None:
            return Running(session_id, item.accepted_ms, item.updated_ms, 0)
        return Running(session_id, stored.started_ms, item.updated_ms, stored.message_count)

    async def messages(self, caller: Caller, session_id: str) -> tuple[Message, ...]:
        """A session's messages, oldest first; none for one that does not exist. Raises NotFound for somebody else's."""
        stored = await self.sessions.exact(session_id, caller)
        return () if stored is None else await self.sessions.rows.messages(session_id, MOST_SHOWN)

    async def add(self, caller: Caller, session_id: str, content: str) -> None:
        """Puts words of the assistant's into a session, and tells those who sit in it. Raises BadRequest for blank ones, NotFound."""
        if not content.strip() or not is_storable(content):
            raise BadRequest("content is required")
        session = await self._stored(caller, session_id)
        message = Message(Role.ASSISTANT, content, self.chats.clock.wall_ms())
        if not await self.sessions.rows.add(session_id, message):
            raise NotFound(_NO_SESSION)
        self.chats.added(session, message, SOURCE)

    async def state(self, caller: Caller, session_id: str) -> Standing:
        """What a session is doing. Raises NotFound when nobody has talked in it, or it is somebody else's."""
        stored = await self.sessions.exact(session_id, caller)
        items = [item for item in await self.chats.open_items(session_id) if caller.may_see(item.principal)]
        if items:
            return Standing(session_id, ChatState.RUNNING, items[0].id, items[0].updated_ms)
        if stored is None:
            raise NotFound(_NO_SESSION)
        return Standing(session_id, ChatState.ERROR if self.chats.has_failed(session_id) else ChatState.IDLE)

    async def rename(self, caller: Caller, session_id: str, name: str) -> Session:
        """The session under its new name. Raises BadRequest for a blank name, NotFound."""
        if not renamed(name):
            raise BadRequest("name is required")
        await self._stored(caller, session_id)
        return await self.sessions.rename(caller, session_id, name)

    async def remove(self, caller: Caller, session_id: str) -> None:
        """Gives up what is open in a session and forgets it; before its first answer there is nothing else of it. Raises NotFound."""
        await self.sessions.exact(session_id, caller)
        is_given_up = await self.chats.cancel_all(session_id, caller)
        if await self.sessions.exact(session_id, caller) is not None:
            await self.sessions.remove(caller, session_id)
        elif is_given_up:
            await self.sessions.attachments.remove(session_id)
        else:
            raise NotFound(_NO_SESSION)

    async def abort(self, caller: Caller, session_id: str) -> bool:
        """Gives the session's running turn up; False = there is none of the caller's."""
        return await self.chats.cancel(session_id, caller)

    async def _stored(self, caller: Caller, session_id: str) -> Session:
        session = await self.sessions.exact(session_id, caller)
        if session is None:
            raise NotFound(_NO_SESSION)
        return session
