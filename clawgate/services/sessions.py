"""Sessions: looking, searching, renaming, forgetting, and what a turn remembers of them. Ring: services. Source: rantaiclaw.md §10.

An administrator sees every session; anybody else only their own, and the others do not exist for them.
"""

from __future__ import annotations

import msgspec
from twisted.logger import Logger

from clawgate.domain.caller import Caller
from clawgate.domain.chat import conversation
from clawgate.domain.errors import BadRequest, NotFound, StoreUnavailable
from clawgate.domain.sessions import Hit, Insights, Message, Session, is_uuid, renamed
from clawgate.domain.turn import Line
from clawgate.ports.attachments import AttachmentFiles
from clawgate.ports.clock import Ids
from clawgate.ports.sessions import SessionPage
from clawgate.ports.sessions import Sessions as SessionRows
from clawgate.ports.stores import Inbox
from clawgate.services.events import Events

_log = Logger()
MOST_SHOWN = 10_000
"""Messages of a session that are shown, and sessions that insights count: the newest so many."""
_MOST_QUERY_CHARS = 1_000
_SHOWN_KEY_CHARS = 128


class Transcript(msgspec.Struct, frozen=True):
    """A session with its messages, oldest first."""

    session: Session
    messages: tuple[Message, ...]


class Sessions(msgspec.Struct):
    """Kept conversations, as a caller may see them."""

    rows: SessionRows
    ids: Ids
    events: Events
    attachments: AttachmentFiles
    inbox: Inbox

    async def page(self, caller: Caller, limit: int, offset: int) -> SessionPage:
        """Sessions, newest first."""
        return await self.rows.page(caller.sees_only, limit, offset)

    async def show(self, caller: Caller, key: str) -> Transcript:
        """The session that an id, or the beginning of one, means.

        Raises:
            NotFound: none. BadRequest: several.
        """
        session = await self._found(caller, key)
        return Transcript(session, await self.rows.messages(session.id, MOST_SHOWN))

    async def search(self, caller: Caller, query: str, limit: int) -> tuple[Hit, ...]:
        """Messages that match, best first. Raises BadRequest for a query that is blank or very long."""
        if not query.strip():
            raise BadRequest("query must not be empty")
        if len(query) > _MOST_QUERY_CHARS:
            raise BadRequest(f"query must not be longer than {_MOST_QUERY_CHARS} characters")
        return await self.rows.search(query, caller.sees_only, limit)

    async def rename(self, caller: Caller, key: str, title: str) -> Session:
        """The session under its new title. Raises as `show`, and BadRequest when nothing is left of the title."""
        session, normalised = await self._found(caller, key), renamed(title)
        if not normalised:
            raise BadRequest("title is empty after normalisation")
        if not await self.rows.rename(session.id, normalised):
            raise _none(key)
        self.events.publish("session_renamed", {"id": session.id}, session.principal)
        return msgspec.structs.replace(session, title=normalised)

    async def remove(self, caller: Caller, key: str) -> tuple[str, bool]:
        """The full id of the session, and whether it was there to be forgotten, with its files. Raises as `show`."""
        session = await self._found(caller, key)
        is_removed = await self.rows.remove(session.id)
        await self.attachments.remove(session.id)
        if is_removed:
            self.events.publish("session_removed", {"id": session.id}, session.principal)
        return session.id, is_removed

    async def insights(self, caller: Caller) -> Insights:
        """Totals over the newest 10,000 sessions."""
        return await self.rows.insights(caller.sees_only, MOST_SHOWN)

    async def resolve(self, wanted: str | None, caller: Caller) -> str:
        """Under which id a turn is saved that was asked for in session `wanted`: an existing session goes on, an unknown id in the shape of a UUID
        becomes a new session's, anything else gets a new id.

        Raises:
            NotFound: it is somebody else's.
        """
        session = await self.open_to(wanted, caller) if wanted else None
        return wanted if wanted and (session is not None or is_uuid(wanted)) else self.ids.uuid()

    async def exact(self, session_id: str, caller: Caller) -> Session | None:
        """The session with exactly this id; None when there is none.

        Raises:
            NotFound: it is somebody else's.
        """
        session = await self.rows.get(session_id)
        if session is not None and not caller.may_see(session.principal):
            raise _none(session_id)
        return session

    async def open_to(self, session_id: str, caller: Caller) -> Session | None:
        """As `exact`, for who is about to speak in it: before its first answer it belongs to whoever asked first, or others would read that answer."""
        session = await self.exact(session_id, caller)
        if session is None:
            items = await self.inbox.open_in(conversation(session_id), 1)
            if items and not caller.may_see(items[0].principal):
                raise _none(session_id)
        return session

    async def history(self, session_id: str, limit: int) -> tuple[tuple[Line, ...], int]:
        """What a session says for a prompt; nothing when it is unknown or cannot be read.

        Returns:
            Its last `limit` lines, oldest first, without empty ones; how many messages come before them.
        """
        if not session_id or limit <= 0:
            return (), 0
        try:
            messages = await self.rows.messages(session_id, limit)
            session = await self.rows.get(session_id) if len(messages) == limit else None
        except StoreUnavailable as problem:
            _log.warn(
                "a session could not be read, its turn goes on without history: {problem} {detail}", problem=str(problem), detail=problem.detail
            )
            return (), 0
        lines = tuple(Line(message.role, message.content) for message in messages if message.content.strip())
        return lines, 0 if session is None else max(0, session.message_count - len(messages))

    async def _found(self, caller: Caller, key: str) -> Session:
        found = await self.rows.find(key, caller.sees_only)
        if found.session is not None:
            return found.session
        if found.matches:
            raise BadRequest(f"`{key[:_SHOWN_KEY_CHARS]}` is ambiguous ({found.matches} matches)")
        raise _none(key)


def _none(key: str) -> NotFound:
    return NotFound(f"no session matches `{key[:_SHOWN_KEY_CHARS]}`")
