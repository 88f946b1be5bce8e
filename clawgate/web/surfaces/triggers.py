"""`POST /triggers/{path}`: set off a named prompt. Ring: edge (web). Source: rantaiclaw.md §8; design §4.2, §4.15.

Order of checks: webhook limiter · bearer with `chat` · route · body (which is never wrong) · idempotency.
"""

from __future__ import annotations

import msgspec

from clawgate.domain.caller import Scope
from clawgate.domain.idempotency import from_header
from clawgate.domain.messages import Attendance, DedupeKey, Inbound, TurnOptions
from clawgate.domain.triggers import normalised, prompt, read_body
from clawgate.services.triggers import Triggers
from clawgate.web.answers import Answer
from clawgate.web.asking import Asking
from clawgate.web.call import Call
from clawgate.web.dialects import triggers_wire
from clawgate.web.documented import ANYTHING, documented
from clawgate.web.router import Router


class TriggersSurface(msgspec.Struct):
    """The door for other programs' events."""

    triggers: Triggers
    asking: Asking
    idempotency_ttl_seconds: int

    def register(self, router: Router) -> None:
        """Adds the route; it keeps its own time and leaves with its client, as `/webhook` does."""
        router.add(
            "POST",
            "/triggers/<path:trigger_path>",
            self.trigger,
            auth=Scope.CHAT,
            limiter="webhook",
            dialect=triggers_wire.refusal,
            timed=False,
            leaves_with_client=True,
            summary="Set off a prompt of webhook-routes.json; waits, or 202 with `Prefer: respond-async`",
        )

    @documented(takes=ANYTHING, is_needed=False, statuses=(200, 202, 500))
    async def trigger(self, call: Call) -> Answer:
        """Waits for the outcome, or promises one."""
        path = normalised(str(call.values["trigger_path"]))
        route = self.triggers.find(path)
        query = {name: values[0] for name, values in call.queries().items()}
        message = Inbound(
            source="trigger",
            principal=call.caller.principal,
            text=prompt(route, query, read_body(call.body) if call.is_json() else {}),
            dedupe=self._dedupe(call, path),
            options=TurnOptions(skill=route.skill, attendance=Attendance.NOBODY),
        )
        return await self.asking.answer(call, message, {"skill": route.skill, "trigger_path": path})

    def _dedupe(self, call: Call, path: str) -> DedupeKey | None:
        """A key belongs to its caller and to the trigger: the same one under another path is another message."""
        key = (call.header("x-idempotency-key") or "").strip()
        return from_header(f"trigger:{path}:{key}", call.caller.principal, self.idempotency_ttl_seconds) if key else None
