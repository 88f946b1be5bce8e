"""`/api/v1/sessions` and `/api/v1/insights`. Ring: edge (web). Source: rantaiclaw.md §10 (sessions)."""

from __future__ import annotations

from functools import partial

import msgspec

from clawgate.domain.caller import Scope
from clawgate.services.sessions import Sessions
from clawgate.web.answers import Answer, json_answer
from clawgate.web.call import Call
from clawgate.web.dialects import api_wire
from clawgate.web.dialects.sessions_wire import (
    DEFAULT_PAGE,
    MOST_PAGE,
    SearchBody,
    TitleBody,
    hits_object,
    insights_object,
    page_object,
    session_object,
)
from clawgate.web.documented import documented
from clawgate.web.router import Router

_MOST_OFFSET = 1_000_000_000
_ONE = "/api/v1/sessions/<session_id>"


class SessionsSurface(msgspec.Struct):
    """Kept conversations."""

    sessions: Sessions

    def register(self, router: Router) -> None:
        """Adds the routes."""
        add = partial(router.add, limiter="api", dialect=api_wire.refusal)
        add("GET", "/api/v1/sessions", self.list, auth=Scope.READ, summary="Kept conversations, newest first")
        add("POST", "/api/v1/sessions/search", self.search, auth=Scope.CHAT, summary="Search the messages of kept conversations")
        add("GET", _ONE, self.show, auth=Scope.READ, summary="A kept conversation with its messages")
        add("DELETE", _ONE, self.remove, auth=Scope.CHAT, summary="Forget a kept conversation")
        add("PUT", _ONE + "/title", self.rename, auth=Scope.CHAT, summary="Give a kept conversation another title")
        add("GET", "/api/v1/insights", self.insights, auth=Scope.READ, summary="Totals over kept conversations")

    @documented(query={"limit": int, "offset": int})
    async def list(self, call: Call) -> Answer:
        """A page."""
        limit, offset = call.number("limit", DEFAULT_PAGE, most=MOST_PAGE), call.number("offset", 0, most=_MOST_OFFSET)
        page = await self.sessions.page(call.caller, limit, offset)
        return json_answer(200, page_object(page.sessions, offset, page.total))

    @documented(body=SearchBody)
    async def search(self, call: Call) -> Answer:
        """Messages that match."""
        body = call.json(SearchBody)
        return json_answer(200, hits_object(await self.sessions.search(call.caller, body.query, body.hits)))

    async def show(self, call: Call) -> Answer:
        """One, by its id or the beginning of it."""
        shown = await self.sessions.show(call.caller, str(call.values["session_id"]))
        return json_answer(200, session_object(shown.session, shown.messages))

    async def remove(self, call: Call) -> Answer:
        """Forgets one."""
        session_id, is_removed = await self.sessions.remove(call.caller, str(call.values["session_id"]))
        return json_answer(200, {"deleted": is_removed, "id": session_id})

    @documented(body=TitleBody)
    async def rename(self, call: Call) -> Answer:
        """Another title."""
        session = await self.sessions.rename(call.caller, str(call.values["session_id"]), call.json(TitleBody).title)
        return json_answer(200, {"id": session.id, "title": session.title})

    async def insights(self, call: Call) -> Answer:
        """Totals."""
        return json_answer(200, insights_object(await self.sessions.insights(call.caller)))
