"""Asking the agent and waiting at the end of the road, for the doors that scripts use. Ring: edge (web).

Source: design §1, §4.5, §4.6; rantaiclaw.md §6, §8.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from clawgate.domain.errors import Conflict
from clawgate.domain.inbox import Item, State
from clawgate.domain.messages import Inbound
from clawgate.ports.journal import Journal
from clawgate.services.ingress import Asked, Ingress
from clawgate.web.answers import Answer, empty_answer, json_answer
from clawgate.web.call import Call
from clawgate.web.dialects import root_wire


class Asking(msgspec.Struct):
    """Waits for outcomes, or promises them.

    Attributes:
        wait_seconds: the longest wait; then it is 408 with the place where the outcome will be.
        failed: the sentence of a message that failed for good.
    """

    ingress: Ingress
    journal: Journal
    wait_seconds: float
    failed: str

    async def answer(self, call: Call, message: Inbound, more: Mapping[str, object] | None = None, *, waits: bool = True) -> Answer:
        """The outcome; 202 with `Prefer: respond-async`. What the message needs of the body stands in it: the call's is let go.

        Args:
            more: fields that a finished answer carries besides.
            waits: False = 202 whatever the caller prefers.

        Raises:
            Conflict: the message was dropped, or nobody knows what came of it.
        """
        call.forget_body()
        if not waits or _prefers_async(call):
            accepted = await self.ingress.accept(message)
            return await self._asked(call, Asked(accepted.item, accepted.is_duplicate), more or {}, accepted_only=True)
        return await self._asked(call, await self.ingress.ask(message, self.wait_seconds), more or {}, accepted_only=False)

    async def _asked(self, call: Call, asked: Asked, more: Mapping[str, object], *, accepted_only: bool) -> Answer:
        item = asked.item
        url = f"{call.base}/api/inbox/{item.id}"
        if item.is_open:
            return _pending(item, url, accepted_only)
        if item.state is State.DONE:
            calls = await self.journal.steps(item.id) if item.journalled else ()
            return _done(item, {**more, **root_wire.tool_calls(calls)}, asked.is_duplicate)
        if item.state is State.DEAD:
            return json_answer(500, {"error": self.failed})
        raise Conflict(f"The message is {item.state}; see {url}")


def _pending(item: Item, url: str, accepted_only: bool) -> Answer:
    location = (b"Location", url.encode("latin-1"))
    if accepted_only:
        return json_answer(202, {"id": item.id, "status": "accepted", "status_url": url}, location)
    return empty_answer(408, location)


def _done(item: Item, more: Mapping[str, object], is_duplicate: bool) -> Answer:
    body: dict[str, object] = {"response": item.answer, "model": item.model, **more}
    if is_duplicate:
        body |= {"status": "duplicate", "idempotent": True, "message": root_wire.DUPLICATE}
    return json_answer(200, body)


def _prefers_async(call: Call) -> bool:
    """Whether `Prefer` (RFC 7240) asks for `respond-async`."""
    return any(part.partition(";")[0].strip().lower() == "respond-async" for part in (call.header("prefer") or "").split(","))
