"""`/api/v1/memory`. Ring: edge (web). Source: rantaiclaw.md §10 (memory)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from clawgate.domain.caller import Scope
from clawgate.domain.errors import BadRequest
from clawgate.services.memory import Memory
from clawgate.web.answers import Answer, json_answer
from clawgate.web.call import Call
from clawgate.web.dialects.memory_wire import DEFAULT_PAGE, MOST_PAGE, NewMemory, entry_object, page_object, refusal, stored_object
from clawgate.web.documented import documented
from clawgate.web.router import Router

_MOST_OFFSET = 1_000_000_000
_MOST_QUERY_CHARS = 1_000
_ONE = "/api/v1/memory/<path:key>"


class MemorySurface(msgspec.Struct):
    """What is remembered.

    Attributes:
        backend: `[memory] backend`, as stats tell it.
        is_well: whether the store is.
    """

    memory: Memory
    backend: str
    is_well: Callable[[], bool]

    def register(self, router: Router) -> None:
        """Adds the routes."""
        add = partial(router.add, limiter="api", dialect=refusal)
        add("GET", "/api/v1/memory", self.list, auth=Scope.READ, summary="List or search what is remembered")
        add("POST", "/api/v1/memory", self.create, auth=Scope.WRITE, summary="Remember a text")
        add("GET", "/api/v1/memory/stats", self.stats, auth=Scope.READ, summary="How much is remembered")
        add("GET", _ONE, self.show, auth=Scope.READ, summary="One remembered text")
        add("DELETE", _ONE, self.remove, auth=Scope.WRITE, summary="Forget a text")

    @documented(query={"limit": int, "offset": int, "category": str, "q": str})
    async def list(self, call: Call) -> Answer:
        """A page of the list, or of a search when `q` says for what."""
        limit, offset = call.number("limit", DEFAULT_PAGE, most=MOST_PAGE), call.number("offset", 0, most=_MOST_OFFSET)
        category, query, reader = call.query("category") or None, (call.query("q") or "").strip(), call.caller.sees_only
        if len(query) > _MOST_QUERY_CHARS:
            raise BadRequest(f"q must not be longer than {_MOST_QUERY_CHARS} characters")
        if query:
            page = await self.memory.search(reader, query, category, limit, offset)
        else:
            page = await self.memory.page(reader, category, limit, offset)
        return json_answer(200, page_object(page, offset))

    @documented(body=NewMemory, statuses=(201,))
    async def create(self, call: Call) -> Answer:
        """Remembers a text."""
        body = call.json(NewMemory)
        stored = await self.memory.create(call.caller, body.content, body.key, body.named_category, body.session_id)
        return json_answer(201, stored_object(stored))

    async def stats(self, call: Call) -> Answer:
        """How many entries the caller sees."""
        page = await self.memory.page(call.caller.sees_only, None, 0, 0)
        return json_answer(200, {"backend": self.backend, "total_entries": page.total, "healthy": self.is_well()})

    async def show(self, call: Call) -> Answer:
        """One entry."""
        return json_answer(200, entry_object(await self.memory.get(call.caller.sees_only, str(call.values["key"]))))

    async def remove(self, call: Call) -> Answer:
        """Forgets one; what is not there is not removed, and that is no error."""
        key = str(call.values["key"])
        return json_answer(200, {"key": key, "removed": await self.memory.remove(call.caller.sees_only, key)})
