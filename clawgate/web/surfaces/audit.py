"""`/api/audit`: the audit log, read and verified. Ring: edge (web). Source: docs/howto/audit.md."""

from __future__ import annotations

from functools import partial

import msgspec

from clawgate.domain.audit import Action, parse_head
from clawgate.domain.caller import Scope
from clawgate.domain.errors import BadRequest, Overloaded
from clawgate.services.audit import MOST_PAGE, Audit
from clawgate.web.answers import Answer, json_answer
from clawgate.web.call import Call
from clawgate.web.dialects.audit_wire import entry_object, head_object, verdict_object
from clawgate.web.documented import documented
from clawgate.web.router import Router

_DEFAULT_PAGE = 50
_MOST_SEQ = 1 << 62


class AuditSurface(msgspec.Struct):
    """Looking only: nothing is written here, and nothing goes."""

    audit: Audit

    def register(self, router: Router) -> None:
        """Adds the routes."""
        add = partial(router.add, auth=Scope.ADMIN, limiter="api")
        add("GET", "/api/audit", self.list, summary="Entries of the audit log, newest first")
        add("GET", "/api/audit/head", self.head, summary="Where the audit log ends, to be noted elsewhere")
        add("GET", "/api/audit/verify", self.verify, timed=False, summary="Whether the audit log is as it was written, up to `?head=`")

    @documented(query={"since": str, "action": str, "cursor": int, "limit": int})
    async def list(self, call: Call) -> Answer:
        """A page; `action` may name several, separated by commas."""
        limit = call.number("limit", _DEFAULT_PAGE, most=MOST_PAGE)
        entries = await self.audit.page(call.moment("since"), _actions(call), call.number("cursor", 0, most=_MOST_SEQ), limit)
        cursor = str(entries[-1].seq) if entries and len(entries) == limit and entries[-1].seq > 1 else None
        return json_answer(200, {"entries": [entry_object(entry) for entry in entries], "cursor": cursor})

    async def head(self, call: Call) -> Answer:
        """The last entry's number and digest."""
        return json_answer(200, head_object(await self.audit.head()))

    @documented(query={"head": str}, raises=(Overloaded,))
    async def verify(self, call: Call) -> Answer:
        """Always 200 when it could be looked at; `intact` says how it is."""
        noted = call.query("head")
        return json_answer(200, verdict_object(await self.audit.verify(parse_head(noted) if noted else None)))


def _actions(call: Call) -> frozenset[str]:
    names = frozenset(name for name in (call.query("action") or "").split(",") if name)
    if not names <= set(Action):
        raise BadRequest("action: use " + ", ".join(Action))
    return names
