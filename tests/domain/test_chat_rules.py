"""One connection to a chat, row by row of its table; frames that anybody may send (domain/chat_connection.py; construct-realtime.md §12)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain import chat, chat_connection
from clawgate.domain.attachments import Enclosed
from clawgate.domain.chat import Problem
from clawgate.domain.chat_connection import (
    Answered,
    Ask,
    Asked,
    Cancel,
    Cancelled,
    Complain,
    Connected,
    Connection,
    Effect,
    Event,
    Follow,
    Left,
    Phase,
    Quiet,
    Resolve,
    Turns,
    Unclear,
    Unfollow,
)
from clawgate.domain.errors import AgentError
from clawgate.domain.inbox import Item, State
from clawgate.web.dialects.chat_frames_wire import decode

C, L, B, G = Phase
WORD, BAD = Answered("a", True), Unclear(Problem.EMPTY_CONTENT, "no")
FOLLOW = Follow(7, False)
TABLE: list[tuple[Phase, Event, Phase, tuple[Effect, ...]]] = [
    (C, Connected(), L, (Follow(7, False, says_connected=True),)),
    (C, Connected(3), L, (Follow(3, True, says_connected=True),)),
    (C, Quiet(), L, (FOLLOW,)),
    (C, Asked("x"), L, (FOLLOW, Ask("x"))),
    (C, WORD, L, (FOLLOW, Resolve(WORD))),
    (C, Cancelled(), L, (FOLLOW, Cancel())),
    (C, BAD, L, (FOLLOW, Complain(BAD.problem, "no"))),
    (C, Turns(1), C, ()),
    *((phase, Connected(3), phase, (chat_connection.AGAIN,)) for phase in (L, B)),
    *((phase, Quiet(), phase, ()) for phase in (L, B)),
    *((phase, Asked("x"), phase, (Ask("x"),)) for phase in (L, B)),
    *((phase, WORD, phase, (Resolve(WORD),)) for phase in (L, B)),
    *((phase, BAD, phase, (Complain(BAD.problem, "no"),)) for phase in (L, B)),
    (L, Cancelled(), L, ()),
    (B, Cancelled(), B, (Cancel(),)),
    *((phase, Turns(2), B, ()) for phase in (L, B)),
    *((phase, Turns(0), L, ()) for phase in (L, B)),
    *((phase, Left(), G, (Unfollow(),)) for phase in (C, L, B)),
    *((G, event, G, ()) for event in (Connected(), Quiet(), Asked("x"), WORD, Cancelled(), BAD, Turns(1), Left())),
]


@pytest.mark.parametrize(("before", "event", "after", "effects"), TABLE)
def test_each_row_of_the_table(before: Phase, event: Event, after: Phase, effects: tuple[Effect, ...]) -> None:
    assert chat_connection.step(Connection(7, phase=before), event) == (Connection(7, phase=after), effects)


def test_a_number_in_the_query_stands_when_the_introduction_names_none() -> None:
    assert chat_connection.step(Connection(7, True), Connected())[1] == (Follow(7, True, says_connected=True),)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_any_json_means_something_or_is_unclear(value: object) -> None:
    assert isinstance(decode(json.dumps(value)), Unclear)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "type",
                "content",
                "last_seq",
                "id",
                "request_id",
                "decision",
                "approved",
                "always",
                "capabilities",
                "session_id",
                "page_context",
                "attachments",
            ]
        ),
        st.sampled_from(["message", "connect", "approval_response", "cancel", "approve", "deny", "\ud800", 5, 2**60, True, None, [], ["a"], [1]]),
    )
)
def test_any_frame_is_a_known_event(frame: dict[str, object]) -> None:
    assert isinstance(decode(json.dumps(frame)), Connected | Asked | Answered | Cancelled | Unclear)


@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"message","content":"hällo"}',
        '{"type":"connect","last_seq":7}',
        '{"type":"approval_response","request_id":"a","decision":"always"}',
        '{"type":"cancel"}',
    ],
)
def test_half_a_frame_is_no_json(frame: str) -> None:
    for end in range(len(frame)):
        cut = decode(frame[:end])
        assert isinstance(cut, Unclear)
        assert cut.problem is Problem.INVALID_JSON
    assert not isinstance(decode(frame), Unclear)


def test_hostile_depth_and_half_pairs_are_no_json() -> None:
    for text in ("[" * 100_000, '{"type":"message","content":"\\ud800"}'):
        found = decode(text)
        assert isinstance(found, Unclear)
        assert found.problem is Problem.INVALID_JSON


@pytest.mark.parametrize("kind", AgentError.__subclasses__())
def test_every_failure_of_an_agent_has_a_code_that_dashboards_know(kind: type[AgentError]) -> None:
    item = Item(id="1", source="chat", principal="p", text="t", accepted_ms=0, state=State.DEAD, error=kind.code)
    (told,) = chat.outcome(item, chat.Done(text=""))
    assert isinstance(told, chat.Failed)
    assert told.problem is (Problem.AUTH_ERROR if kind.code == "auth" else Problem.PROVIDER_ERROR)


def test_a_tool_call_that_nobody_knows_the_end_of_is_told_with_its_item() -> None:
    item = Item(id="1", source="chat", principal="p", text="t", accepted_ms=0, state=State.UNCERTAIN, error="tool_unsettled:1:1")
    assert chat.outcome(item, chat.Done(text="")) == (chat.Failed(Problem.AGENT_ERROR, "Nobody knows what a tool call did; see /api/inbox/1"),)


FILE_IDS = [f"00000000-0000-4000-8000-{number:012x}" for number in range(12)]


@pytest.mark.parametrize(
    ("more", "enclosed"),
    [
        ({}, Enclosed()),
        ({"page_context": "canvas"}, Enclosed("canvas")),
        ({"page_context": "home"}, Enclosed()),
        ({"page_context": 5}, Enclosed()),
        ({"page_context": ["canvas"]}, Enclosed()),
        ({"attachments": FILE_IDS[:2]}, Enclosed("", tuple(FILE_IDS[:2]))),
        ({"attachments": FILE_IDS}, Enclosed("", tuple(FILE_IDS[:10]))),
        ({"attachments": [FILE_IDS[0], FILE_IDS[1], FILE_IDS[0]]}, Enclosed("", tuple(FILE_IDS[:2]))),
        ({"attachments": ["../x", "", 5, None, "a/../b", FILE_IDS[0]]}, Enclosed("", (FILE_IDS[0],))),
        ({"attachments": FILE_IDS[0]}, Enclosed()),
        ({"attachments": None}, Enclosed()),
        ({"attachments": {FILE_IDS[0]: 1}}, Enclosed()),
    ],
)
def test_a_message_brings_known_pages_and_possible_files(more: dict[str, object], enclosed: Enclosed) -> None:
    assert decode(json.dumps({"type": "message", "content": "hi"} | more)) == Asked("hi", enclosed)


def test_what_a_message_brings_goes_with_it() -> None:
    asked = Asked("x", Enclosed("canvas", (FILE_IDS[0],)))
    assert chat_connection.step(Connection(1, phase=Phase.LISTENING), asked)[1] == (Ask("x", asked.enclosed),)


def test_files_do_not_stand_for_a_text() -> None:
    assert decode(json.dumps({"type": "message", "content": " ", "attachments": FILE_IDS})) == Unclear(
        Problem.EMPTY_CONTENT, "Message content cannot be empty"
    )
