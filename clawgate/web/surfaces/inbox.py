"""`/api/inbox`: what became of accepted messages. Ring: edge (web). Source: design §1, §4.5, §4.6 (408 with Location)."""

from __future__ import annotations

import msgspec

from clawgate.domain.caller import Scope
from clawgate.domain.errors import BadRequest
from clawgate.domain.ids import to_number
from clawgate.domain.inbox import State
from clawgate.services.desk import Desk
from clawgate.web.answers import Answer, json_answer
from clawgate.web.call import Call
from clawgate.web.dialects.inbox_wire import attempt_object, item_object, send_object, step_object
from clawgate.web.documented import documented
from clawgate.web.router import Router

_DEFAULT_PAGE = 50


class InboxSurface(msgspec.Struct):
    """Looking, and deciding about what stopped."""

    desk: Desk

    def register(self, router: Router) -> None:
        """Adds the routes."""
        add = router.add
        add("GET", "/api/inbox", self.list, auth=Scope.ADMIN, limiter="api", summary="Accepted messages, newest first")
        add("GET", "/api/inbox/<item_id>", self.show, auth=Scope.CHAT, limiter="api", summary="State and outcome of a message")
        add("POST", "/api/inbox/<item_id>/retry", self.retry, auth=Scope.ADMIN, limiter="api", summary="Try a stopped message again")
        add("POST", "/api/inbox/retry", self.retry_dead, auth=Scope.ADMIN, limiter="api", summary="Try dead messages again, up to 500 a call")
        add("POST", "/api/inbox/<item_id>/drop", self.drop, auth=Scope.ADMIN, limiter="api", summary="Give a message up")

    @documented(query={"state": str, "since": str, "cursor": str, "limit": str})
    async def list(self, call: Call) -> Answer:
        """A page; `state` may name several, separated by commas."""
        page = await self.desk.page(_states(call), call.moment("since"), _cursor(call), _limit(call))
        return json_answer(200, {"items": [item_object(item) for item in page.items], "cursor": page.cursor or None})

    async def show(self, call: Call) -> Answer:
        """The item with its outcome, its attempts, the parts of its reply and what its tools did."""
        shown = await self.desk.show(str(call.values["item_id"]), call.caller)
        more = {
            "attempt_history": [attempt_object(attempt) for attempt in shown.attempts],
            "sends": [send_object(send) for send in shown.sends],
            "steps": [step_object(step) for step in shown.steps],
        }
        return json_answer(200, item_object(shown.item) | more)

    async def retry(self, call: Call) -> Answer:
        """The item after the operator's decision."""
        return json_answer(200, item_object(await self.desk.retry(str(call.values["item_id"]))))

    @documented(query={"cursor": str})
    async def retry_dead(self, call: Call) -> Answer:
        """How many are tried again; `cursor` goes on with older ones."""
        redriven = await self.desk.retry_dead(_cursor(call))
        return json_answer(200, {"retried": redriven.retried, "cursor": redriven.cursor or None})

    async def drop(self, call: Call) -> Answer:
        """The item after the operator's decision."""
        return json_answer(200, item_object(await self.desk.drop(str(call.values["item_id"]))))


def _states(call: Call) -> frozenset[State]:
    names = [name for name in (call.query("state") or "").split(",") if name]
    try:
        return frozenset(State(name) for name in names)
    except ValueError:
        raise BadRequest("state: use " + ", ".join(State)) from None


def _cursor(call: Call) -> str:
    cursor = call.query("cursor") or ""
    if cursor and to_number(cursor) is None:
        raise BadRequest("cursor: use the one from the page before")
    return cursor


def _limit(call: Call) -> int:
    text = call.query("limit") or str(_DEFAULT_PAGE)
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) > 0):
        raise BadRequest("limit: use a whole number from 1")
    return int(text)
