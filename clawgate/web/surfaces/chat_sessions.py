"""`/api/sessions`. Ring: edge (web). Source: construct-realtime.md §12.6; zeroclaw.md B3."""

from __future__ import annotations

from functools import partial

import msgspec

from clawgate.domain.caller import Scope
from clawgate.ports.clock import Clock
from clawgate.services.chat_sessions import ChatSessions
from clawgate.web.answers import Answer, json_answer
from clawgate.web.call import Call
from clawgate.web.dialects import chat_sessions_wire as wire
from clawgate.web.documented import documented
from clawgate.web.router import Router

_ONE = "/api/sessions/<session_id>"


class ChatSessionsSurface(msgspec.Struct):
    """Kept sessions and running ones."""

    sessions: ChatSessions
    clock: Clock

    def register(self, router: Router) -> None:
        """Adds the routes."""
        add = partial(router.add, limiter="api", dialect=wire.refusal)
        add("GET", "/api/sessions", self.list, auth=Scope.READ, summary="Kept sessions, newest activity first")
        add("GET", "/api/sessions/running", self.running, auth=Scope.READ, summary="Sessions with an open turn")
        add("GET", _ONE + "/messages", self.messages, auth=Scope.READ, summary="A session's messages")
        add("POST", _ONE + "/messages", self.add, auth=Scope.CHAT, summary="Put words of the assistant's into a session")
        add("GET", _ONE + "/state", self.state, auth=Scope.READ, summary="Whether a session is idle, running or in error")
        add("POST", _ONE + "/abort", self.abort, auth=Scope.CHAT, summary="Give the running turn of a session up")
        add("PUT", _ONE, self.rename, auth=Scope.CHAT, summary="Give a session another name")
        add("DELETE", _ONE, self.remove, auth=Scope.CHAT, summary="Give up what runs in a session and forget it")

    async def list(self, call: Call) -> Answer:
        """What is kept."""
        return json_answer(200, wire.listed(await self.sessions.listed(call.caller), self.clock.wall_ms()))

    async def running(self, call: Call) -> Answer:
        """What runs."""
        return json_answer(200, wire.running(await self.sessions.running(call.caller)))

    async def messages(self, call: Call) -> Answer:
        """What was said."""
        session_id = _id(call)
        return json_answer(200, wire.messages(session_id, await self.sessions.messages(call.caller, session_id)))

    @documented(body=wire.MessageBody)
    async def add(self, call: Call) -> Answer:
        """Words from elsewhere."""
        session_id, content = _id(call), call.json(wire.MessageBody).content
        await self.sessions.add(call.caller, session_id, content)
        return json_answer(200, wire.added(session_id, content))

    async def state(self, call: Call) -> Answer:
        """What it is doing."""
        return json_answer(200, wire.standing(await self.sessions.state(call.caller, _id(call))))

    async def abort(self, call: Call) -> Answer:
        """Ends the running turn."""
        is_aborted = await self.sessions.abort(call.caller, _id(call))
        return json_answer(200, {"status": "aborted" if is_aborted else "no_active_response"})

    @documented(body=wire.NameBody)
    async def rename(self, call: Call) -> Answer:
        """Another name."""
        session = await self.sessions.rename(call.caller, _id(call), call.json(wire.NameBody).name)
        return json_answer(200, {"session_id": session.id, "name": session.title})

    async def remove(self, call: Call) -> Answer:
        """Forgets one."""
        session_id = _id(call)
        await self.sessions.remove(call.caller, session_id)
        return json_answer(200, {"deleted": True, "session_id": session_id})


def _id(call: Call) -> str:
    return wire.id_of(str(call.values["session_id"]))
