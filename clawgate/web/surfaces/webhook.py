"""`POST /webhook`: ask, and be answered. Ring: edge (web). Source: zeroclaw.md A3, B1; rantaiclaw.md §6; design §1, §4.5, §4.6, §4.15.

Order of checks: webhook limiter · bearer with `chat` · X-Webhook-Secret · body · idempotency. The first two are the door's (`web/auth.py`).
"""

from __future__ import annotations

import re

import msgspec

from clawgate.domain.caller import Scope
from clawgate.domain.errors import BadRequest
from clawgate.domain.idempotency import from_header
from clawgate.domain.messages import Inbound, is_storable
from clawgate.domain.secret import Secret
from clawgate.ports.clock import Ids
from clawgate.web.answers import Answer, json_answer
from clawgate.web.asking import Asking
from clawgate.web.call import Call
from clawgate.web.dialects import root_wire
from clawgate.web.documented import documented
from clawgate.web.router import Router

_SESSION = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")


class WebhookBody(msgspec.Struct):
    """What is asked; unknown fields are ignored."""

    message: str
    session_id: str | None = None


def _trimmed(secret: Secret | None) -> Secret | None:
    """The secret without the blanks around it; a blank one is none (zeroclaw.md A3)."""
    return Secret(secret.reveal().strip()) if secret else None


class WebhookSurface(msgspec.Struct, eq=False):
    """The door for scripts."""

    asking: Asking
    ids: Ids
    secret: Secret | None
    idempotency_ttl_seconds: int

    def __post_init__(self) -> None:
        self.secret = _trimmed(self.secret)

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

    @documented(body=WebhookBody, statuses=(200, 202, 500))
    async def ask(self, call: Call) -> Answer:
        """Waits for the outcome, or promises one."""
        presented = (call.header("x-webhook-secret") or "").strip()
        if self.secret and not (presented and self.secret.matches(presented)):
            return json_answer(401, {"error": root_wire.BAD_WEBHOOK_SECRET})
        message = self._inbound(call, call.decode(WebhookBody, root_wire.BAD_WEBHOOK_BODY))
        return await self.asking.answer(call, message)

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


def _conversation(session: str | None, principal: str) -> str | None:
    """A conversation belongs to who opened it: another token's session of the same name is another conversation (session-key IDOR)."""
    session = (session or "").strip()
    return f"session:{principal}:{session}" if _SESSION.match(session) else None
