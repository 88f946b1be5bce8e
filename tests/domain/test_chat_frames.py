"""Every frame of a chat in its two dialects, event by event (construct-realtime.md §12.2, §12.4; zeroclaw.md B5)."""

from __future__ import annotations

from typing import get_args

import pytest

from clawgate.domain import chat
from clawgate.domain.chat import ChatEvent, Happening, Problem
from clawgate.domain.events import BusEvent
from clawgate.domain.sessions import Message
from clawgate.domain.turn import ApprovalAsked, Delta, Role, Thought, ToolCall, ToolEnded, ToolStarted, Trimmed
from clawgate.web.dialects import chat_frames_wire as wire
from clawgate.web.dialects.chat_frames_wire import Dialect

CALL, STAFF = ToolCall("c", "pay", "{}"), ToolCall("c", "construct-operator__wait", "{}")
TABLE: list[tuple[Happening, list[str], list[str]]] = [
    (chat.Taken("1"), [], []),
    (chat.Added("s", Message(Role.USER, "x", 0), "api"), [], ["message"]),
    (chat.Added("s", Message(Role.ASSISTANT, "x", 0), "api"), ["message"], ["message"]),
    (Delta("x"), ["chunk"], ["chunk"]),
    (Thought("x"), ["thinking"], ["thinking"]),
    (Trimmed(2, 1, "x"), [], ["history_trimmed"]),
    (ToolStarted(CALL), ["tool_call"], ["tool_call"]),
    (ToolStarted(STAFF), ["operator_status", "tool_call"], ["tool_call"]),
    (ToolEnded(CALL, True, "x"), ["tool_result"], ["tool_result"]),
    (ToolEnded(STAFF, True, "x"), ["operator_status", "tool_result"], ["tool_result"]),
    (ApprovalAsked("a", CALL, 5), ["approval_request"], ["approval_request"]),
    (chat.Settled(), ["chunk_reset"], []),
    (chat.Done(text="x"), ["done"], ["done"]),
    (chat.Failed(Problem.AGENT_ERROR, "x"), ["error"], ["error"]),
    (chat.Aborted(), ["error"], ["aborted"]),
]


@pytest.mark.parametrize(("happening", "construct", "zeroclaw"), TABLE)
def test_each_event_has_its_frames_in_each_dialect(happening: Happening, construct: list[str], zeroclaw: list[str]) -> None:
    for dialect, expected in ((Dialect.CONSTRUCT, construct), (Dialect.ZEROCLAW, zeroclaw)):
        frames = wire.event(dialect, ChatEvent(7, happening, 1))
        assert [frame["type"] for frame in frames] == expected
        assert [frame.get("seq") for frame in frames] == [None if frame["type"] == "operator_status" else 7 for frame in frames]


def test_the_table_has_every_event() -> None:
    assert {type(row[0]) for row in TABLE} == set(get_args(Happening))


PUBLISHED = {"INVALID_JSON", "UNKNOWN_MESSAGE_TYPE", "EMPTY_CONTENT", "AUTH_ERROR", "PROVIDER_ERROR", "AGENT_ERROR"}
OURS = {"INVALID_APPROVAL_RESPONSE", "SOP_DISABLED"}
"""ZeroClaw's codes for frames that Construct does not have."""


@pytest.mark.parametrize(("dialect", "busy"), [(Dialect.CONSTRUCT, "SESSION_BUSY"), (Dialect.ZEROCLAW, "SESSION_QUEUE_FULL")])
def test_every_code_that_is_sent_is_a_published_one(dialect: Dialect, busy: str) -> None:
    assert {wire.error(dialect, problem, "x")["code"] for problem in Problem} == PUBLISHED | OURS | {busy}


def test_a_job_that_failed_and_says_nothing_is_a_result_too() -> None:
    ended = BusEvent(number=1, kind="cron_run_finished", at_ms=0, data={"job_id": "j", "status": "failed", "manual": False})
    told = {"type": "cron_result", "job_id": "j", "success": False, "output": "", "timestamp": "1970-01-01T00:00:00.000+00:00"}
    assert wire.relayed(Dialect.ZEROCLAW, ended) == (told,)
    assert wire.relayed(Dialect.CONSTRUCT, ended) == ()
