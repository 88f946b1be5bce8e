"""Who is shown which event (design §4.17), and that no kind is forgotten."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import clawgate.services
from clawgate.domain.caller import ALL_SCOPES, Caller, Scope
from clawgate.domain.events import RULES, Audience, BusEvent, may_see, rule_of

ANN = Caller("ann", frozenset({Scope.READ}), "c")
BOB = Caller("bob", frozenset({Scope.READ}), "c")
APPROVER = Caller("eve", frozenset({Scope.READ, Scope.APPROVE}), "c")
ADMIN = Caller("root", ALL_SCOPES, "c")

SEEN: list[tuple[str, str | None, list[Caller]]] = [
    ("task_created", None, [ANN, BOB, APPROVER, ADMIN]),
    ("channel_event", None, [APPROVER, ADMIN]),
    ("agent_start", "ann", [ANN, ADMIN]),
    ("tool_call", "bob", [BOB, ADMIN]),
    ("approval_requested", "ann", [ANN, ADMIN]),
    ("session_renamed", None, [ADMIN]),
    ("human_approval_request", None, [APPROVER, ADMIN]),
    ("config_changed", None, [ADMIN]),
    ("memory_stored", None, [ADMIN]),
    ("nobody_thought_of_it", "ann", [ADMIN]),
]


@pytest.mark.parametrize(("kind", "principal", "expected"), SEEN, ids=[kind for kind, _, _ in SEEN])
def test_an_event_is_shown_to_its_audience_only(kind: str, principal: str | None, expected: list[Caller]) -> None:
    event = BusEvent(number=1, kind=kind, at_ms=0, data={}, principal=principal)
    assert [caller for caller in (ANN, BOB, APPROVER, ADMIN) if may_see(caller, event)] == expected


def test_everything_that_is_published_has_a_rule() -> None:
    folder = Path(str(clawgate.services.__file__)).parent
    said = {kind for path in folder.glob("*.py") for kind in re.findall(r'(?:publish|_tell|told)\(\s*"(\w+)"', path.read_text(encoding="utf-8"))}
    assert "agent_start" in said
    assert said - set(RULES) == set()


def test_what_happens_with_every_message_is_not_kept() -> None:
    often = ("agent_start", "agent_end", "llm_request", "tool_call_start", "tool_call", "error", "channel_event")
    assert [kind for kind in often if RULES[kind].is_kept] == []
    assert rule_of("unknown").audience is Audience.ADMINISTRATORS
