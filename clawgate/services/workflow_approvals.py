"""Workflows outside that wait for a person. Ring: services. Source: construct-realtime.md §3; domain/workflow_approvals.py.

A question is a fact of the store: it survives restarts, ends with its timeout and is answered once. There is no operator to call: what resumes the workflow is
the event `human_approval_resolved`, or the list of answered questions for whoever missed it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from twisted.internet.defer import DeferredLock

from clawgate.domain.audit import Action, Outcome
from clawgate.domain.caller import Caller
from clawgate.domain.errors import NotFound, Overloaded
from clawgate.domain.workflow_approvals import REQUEST, AlreadyAnswered, Given, Word, WorkflowApproval, raised
from clawgate.ports.audit import Recorder
from clawgate.ports.clock import Clock
from clawgate.ports.journal import Facts
from clawgate.services.audit import NOT_RECORDED
from clawgate.services.events import Events

KIND = "human_approval"
MOST_KEPT = 1_000
_ANSWERED_MS = 86_400_000
"""How long an answer can be read."""


class WorkflowApprovals(msgspec.Struct, eq=False):
    """Questions of workflows, by run: a later one of the same run replaces the earlier."""

    facts: Facts
    clock: Clock
    events: Events
    audit: Recorder = NOT_RECORDED
    _lock: DeferredLock = msgspec.field(default_factory=DeferredLock)
    """Whoever reads and then writes holds it."""

    async def heard(self, body: object) -> None:
        """Passes on what a workflow engine says, and keeps it when it is a question.

        Raises:
            Overloaded: too many questions are open. StoreUnavailable: it was not kept, and nobody was told.
        """
        approval = raised(body, self.clock.wall_ms())
        if approval is not None:
            async with self._lock:
                await self._keep(approval)
            about = {"workflow": approval.workflow_name, "step": approval.step_id}
            await self.audit.attempt(Action.APPROVAL_ASKED, "workflow", f"workflow:{approval.run_id}", Outcome.ASKED, **about)
        self.events.publish("channel_event", {"payload": body})
        if approval is not None:
            self.events.publish(REQUEST, _asked(approval))

    async def answer(self, run_id: str, word: Word, caller: Caller) -> WorkflowApproval:
        """The question with its answer, written down before anybody is told.

        Raises:
            NotFound: no run of that name asks, or its time is over. AlreadyAnswered: somebody was first.
        """
        async with self._lock:
            answered = await self._give(run_id, word, caller)
        told = {"run_id": run_id, "step_id": answered.step_id, "approved": word.approved, "feedback": word.feedback, "answered_by": caller.principal}
        self.events.publish("human_approval_resolved", told)
        return answered

    async def find(self, run_id: str) -> WorkflowApproval:
        """One question, open or answered. Raises NotFound."""
        found = await self.facts.get(KIND, run_id, self.clock.wall_ms())
        if found is None:
            raise NotFound("no approval of that run")
        return _decoded(found)

    async def all(self) -> tuple[WorkflowApproval, ...]:
        """Every question that is kept, oldest first; answered ones for a day."""
        found = await self.facts.all(KIND, self.clock.wall_ms(), MOST_KEPT + 1)
        return tuple(sorted(map(_decoded, found.values()), key=lambda approval: (approval.asked_ms, approval.run_id)))

    async def _keep(self, approval: WorkflowApproval) -> None:
        kept = await self.all()
        if len(kept) >= MOST_KEPT and approval.run_id not in {one.run_id for one in kept}:
            answered = next((one for one in kept if one.given is not None), None)
            if answered is None:
                raise Overloaded("too many workflows wait for an approval")
            await self.facts.remove(KIND, answered.run_id)
        await self.facts.put(KIND, approval.run_id, _encoded(approval), approval.expires_ms)

    async def _give(self, run_id: str, word: Word, caller: Caller) -> WorkflowApproval:
        approval = await self.find(run_id)
        if approval.given is not None:
            raise AlreadyAnswered(approved=approval.given.word.approved, principal=approval.given.principal)
        now_ms = self.clock.wall_ms()
        answered = msgspec.structs.replace(approval, given=Given(word, caller.principal, now_ms))
        writing, outcome = (self.audit.record, Outcome.APPROVED) if word.approved else (self.audit.attempt, Outcome.DENIED)
        await writing(
            Action.APPROVAL_ANSWERED, caller.principal, f"workflow:{run_id}", outcome, workflow=approval.workflow_name, step=approval.step_id
        )
        await self.facts.put(KIND, run_id, _encoded(answered), now_ms + _ANSWERED_MS)
        return answered


def _asked(approval: WorkflowApproval) -> Mapping[str, object]:
    return {
        "run_id": approval.run_id,
        "step_id": approval.step_id,
        "workflow_name": approval.workflow_name,
        "title": approval.title,
        "message": approval.message,
    }


def _encoded(approval: WorkflowApproval) -> str:
    return msgspec.json.encode(approval).decode()


def _decoded(text: str) -> WorkflowApproval:
    return msgspec.json.decode(text, type=WorkflowApproval)
