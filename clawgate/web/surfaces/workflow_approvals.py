"""Workflows outside ask a person: `POST /api/channel-events`, the approve route, the list. Ring: edge (web). Source: construct-realtime.md §3."""

from __future__ import annotations

from functools import partial

import msgspec

from clawgate.domain.caller import Scope
from clawgate.domain.errors import BadRequest
from clawgate.domain.messages import is_storable
from clawgate.domain.workflow_approvals import MOST_TEXT_CHARS, Word, word_of
from clawgate.services.workflow_approvals import WorkflowApprovals
from clawgate.web.answers import Answer, json_answer
from clawgate.web.call import Call
from clawgate.web.dialects import workflows_wire
from clawgate.web.documented import documented
from clawgate.web.router import Door, Recorded, Router


class WordBody(msgspec.Struct):
    """Somebody's word."""

    approved: bool
    feedback: str | None = None


class ReplyBody(msgspec.Struct):
    """What somebody wrote in a chat, for whoever relays it: the request's own keywords say what it means."""

    reply: str


class WorkflowApprovalsSurface(msgspec.Struct):
    """The door of workflow engines, and of those who answer."""

    approvals: WorkflowApprovals

    def register(self, router: Router) -> None:
        """Adds the routes."""
        router.add(
            "POST",
            "/api/channel-events",
            self.heard,
            auth=Door.LOCAL,
            limiter="api",
            dialect=workflows_wire.event_refusal,
            recorded=Recorded.ELSEWHERE,
            summary="A workflow engine on this machine says something, or asks for an approval",
        )
        add = partial(router.add, auth=Scope.APPROVE, limiter="api", dialect=workflows_wire.refusal)
        add(
            "GET",
            "/api/workflows/approvals",
            self.listed,
            summary="Workflows that wait for somebody's word; with `answered=true` those of the last day that have it, too",
        )
        add("POST", "/api/workflows/runs/<run_id>/approve", self.answer, summary="Approve or reject what a workflow waits for")

    @documented(body=object)
    async def heard(self, call: Call) -> Answer:
        """Whatever it is, it is passed on."""
        await self.approvals.heard(_sayable(call.json(object)))
        return json_answer(200, workflows_wire.HEARD)

    @documented(query={"answered": bool})
    async def listed(self, call: Call) -> Answer:
        """The questions, oldest first."""
        has_answered = call.flag("answered")
        found = [workflows_wire.shown(one) for one in await self.approvals.all() if has_answered or one.given is None]
        return json_answer(200, {"approvals": found, "count": len(found)})

    @documented(body=(WordBody, ReplyBody))
    async def answer(self, call: Call) -> Answer:
        """What became of the word."""
        run_id = str(call.values["run_id"])
        word = await self._word(call, run_id)
        if not is_storable(word.feedback):
            raise BadRequest(workflows_wire.NO_EVENT)
        answered = await self.approvals.answer(run_id, word, call.caller)
        return json_answer(200, workflows_wire.answered(answered, approved=word.approved))

    async def _word(self, call: Call, run_id: str) -> Word:
        said = call.json(object)
        if not isinstance(said, dict) or "reply" not in said or "approved" in said:
            body = call.json(WordBody)
            return Word(body.approved, (body.feedback or "")[:MOST_TEXT_CHARS])
        approval = await self.approvals.find(run_id)
        word = word_of(call.json(ReplyBody).reply[:MOST_TEXT_CHARS], approval.approve_keywords, approval.reject_keywords)
        if word is None:
            raise BadRequest(workflows_wire.NO_WORD)
        return word


def _sayable(body: object) -> object:
    """The event, if it can be written to those who watch. Raises BadRequest: half a surrogate pair, a number without an end, too deep."""
    try:
        msgspec.json.encode(body, order="sorted")
    except (UnicodeEncodeError, OverflowError, RecursionError, ValueError, msgspec.EncodeError):
        raise BadRequest(workflows_wire.NO_EVENT) from None
    return body
