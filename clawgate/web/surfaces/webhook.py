"""`POST /webhook`: ask, and be answered. Ring: edge (web). Source: zeroclaw.md A3, B1; rantaiclaw.md §6; design §1, §4.5, §4.6, §4.15.

Order of checks: webhook limiter · bearer with `chat` · X-Webhook-Secret · body · idempotency. The first two are the door's (`web/auth.py`).
"""

from __future__ import annotations

import re

import msgspec
from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from clawgate.domain.caller import Scope
from clawgate.domain.errors import BadRequest, Conflict
from clawgate.domain.idempotency import from_header
from clawgate.domain.inbox import Item, State
from clawgate.domain.messages import Inbound, is_storable
from clawgate.domain.secret import Secret
from clawgate.ports.clock import Ids
from clawgate.ports.stores import Accepted
from clawgate.services.ingress import Asked, Ingress
from clawgate.services.shield import shielded
from clawgate.web.answers import Answer, empty_answer, json_answer
from clawgate.web.call import Call
from clawgate.web.dialects import root_wire
from clawgate.web.router import Router

_log = Logger()
_SESSION = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")


class WebhookBody(msgspec.Struct):
    """What is asked; unknown fields are ignored."""

    message: str
    session_id: str | None = None


def _trimmed(secret: Secret | None) -> Secret | None:
    """The secret without the blanks around it; a blank one is none (zeroclaw.md A3)."""
    return Secret(secret.reveal().strip()) if secret else None


@define
class WebhookSurface:
    """The door for scripts."""

    ingress: Ingress
    ids: Ids
    secret: Secret | None = field(converter=_trimmed)
    idempotency_ttl_seconds: int
    wait_seconds: float

    def register(self, router: Router) -> None:
        """Adds the route. It keeps its own time and leaves with its client: what that means is `Ingress.ask`'s to say."""
        router.add(
            "POST",
            "/webhook",
            self.ask,
            auth=Scope.CHAT,
            limiter="webhook",
            timed=False,
            leaves_with_client=True,
            summary="Ask the agent; waits, or 202 with `Prefer: respond-async`",
        )

    async def ask(self, call: Call) -> Answer:
        """Waits for the outcome, or promises one."""
        presented = (call.header("x-webhook-secret") or "").strip()
        if self.secret and not (presented and self.secret.matches(presented)):
            return json_answer(401, {"error": root_wire.BAD_WEBHOOK_SECRET})
        message = self._inbound(call, call.decode(WebhookBody, root_wire.BAD_WEBHOOK_BODY))
        if _prefers_async(call):
            accepted = await self._accepted(message)
            return _asked(call, Asked(accepted.item, accepted.is_duplicate), accepted_only=True)
        return _asked(call, await self.ingress.ask(message, self.wait_seconds), accepted_only=False)

    async def _accepted(self, message: Inbound) -> Accepted:
        """A client that leaves during the commit does not undo it: what was written down is carried on."""
        accepting = Deferred.fromCoroutine(self.ingress.accept(message))
        try:
            return await shielded(accepting)
        except CancelledError:
            accepting.addErrback(lambda failure: _log.info("not accepted for a client that left: {problem}", problem=failure.getErrorMessage()))
            raise

    def _inbound(self, call: Call, body: WebhookBody) -> Inbound:
        if not is_storable(body.message) or root_wire.has_twice(call.body, "message"):
            raise BadRequest(root_wire.BAD_WEBHOOK_BODY)
        principal = call.caller.principal
        return Inbound(
            source="webhook",
            principal=principal,
            text=body.message,
            conversation=_conversation(call.header("x-session-id") or body.session_id, principal),
            dedupe=from_header(call.header("x-idempotency-key"), principal, self.idempotency_ttl_seconds),
            memory_key=f"webhook_msg_{self.ids.uuid()}",
        )


def _asked(call: Call, asked: Asked, *, accepted_only: bool) -> Answer:
    item = asked.item
    url = f"{call.base}/api/inbox/{item.id}"
    if item.is_open:
        return _pending(item, url, accepted_only)
    if item.state is State.DONE:
        return _done(item, asked.is_duplicate)
    if item.state is State.DEAD:
        return json_answer(500, {"error": root_wire.LLM_FAILED})
    raise Conflict(f"The message is {item.state}; see {url}")


def _pending(item: Item, url: str, accepted_only: bool) -> Answer:
    location = (b"Location", url.encode("latin-1"))
    if accepted_only:
        return json_answer(202, {"id": item.id, "status": "accepted", "status_url": url}, location)
    return empty_answer(408, location)


def _done(item: Item, is_duplicate: bool) -> Answer:
    body: dict[str, object] = {"response": item.answer, "model": item.model}
    if is_duplicate:
        body |= {"status": "duplicate", "idempotent": True, "message": root_wire.DUPLICATE}
    return json_answer(200, body)


def _conversation(session: str | None, principal: str) -> str | None:
    """A conversation belongs to who opened it: another token's session of the same name is another conversation (session-key IDOR)."""
    session = (session or "").strip()
    return f"session:{principal}:{session}" if _SESSION.match(session) else None


def _prefers_async(call: Call) -> bool:
    """Whether `Prefer` (RFC 7240) asks for `respond-async`."""
    return any(part.partition(";")[0].strip().lower() == "respond-async" for part in (call.header("prefer") or "").split(","))
