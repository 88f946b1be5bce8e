"""Nodes: calls as a table, registrations, names of tools (construct-realtime.md §5)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.errors import BadRequest
from clawgate.domain.nodes import (
    MOST_CAPABILITIES,
    CallEvent,
    CallState,
    Capability,
    NodeDropped,
    NodeTimedOut,
    Registration,
    after,
    checked,
    ended,
    is_sensitive,
    offered,
    tool_name,
)
from clawgate.domain.tools import Risk


def node(node_id: str = "kitchen", *names: str) -> Registration:
    return Registration(node_id=node_id, capabilities=tuple(Capability(name=name, description="does it") for name in names or ("system.notify",)))


@pytest.mark.parametrize(
    ("event", "state"), [(CallEvent.RESULT, CallState.ANSWERED), (CallEvent.TIMEOUT, CallState.EXPIRED), (CallEvent.LINK_CLOSED, CallState.DROPPED)]
)
def test_a_call_ends_once(event: CallEvent, state: CallState) -> None:
    assert after(CallState.WAITING, event) is state
    assert [after(state, later) for later in CallEvent] == [state] * 3


def test_a_call_without_a_result_ends_in_the_published_words() -> None:
    assert (type(ended(CallState.EXPIRED, "a")), str(ended(CallState.EXPIRED, "a"))) == (NodeTimedOut, "Node 'a' invocation timed out after 30s")
    assert (type(ended(CallState.DROPPED, "a")), str(ended(CallState.DROPPED, "a"))) == (NodeDropped, "Node 'a' dropped the invocation channel")


@pytest.mark.parametrize(
    ("name", "answer"),
    [("camera.snap", True), (" Camera.snap", True), ("SCREEN.record", True), ("location.get", True), ("system.notify", False), ("cameras", False)],
)
def test_what_looks_at_people_or_places_is_sensitive(name: str, answer: bool) -> None:
    assert is_sensitive(name) is answer


@pytest.mark.parametrize(
    "registration",
    [
        node(""),
        node("x" * 129),
        node("ü" * 65),
        node("\ud800"),
        node("a", ""),
        node("a", "x" * 257),
        node("a", *(str(number) for number in range(MOST_CAPABILITIES + 1))),
        Registration(node_id="a", capabilities=(Capability(name="a", description="x" * 4097),)),
        Registration(node_id="a", capabilities=(Capability(name="a", description="\ud800"),)),
        Registration(node_id="a", capabilities=(Capability(name="a", description="", parameters="x" * 32_769),)),
    ],
)
def test_a_registration_that_cannot_be_is_refused(registration: Registration) -> None:
    with pytest.raises(BadRequest):
        checked(registration)


def test_the_bounds_themselves_are_fine() -> None:
    largest = node("x" * 128, *(str(number) for number in range(MOST_CAPABILITIES)))
    assert checked(largest) is largest


TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=200)


@given(TEXTS, TEXTS)
def test_every_tool_has_a_name_that_vendors_take(node_id: str, capability: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", tool_name(node_id, capability))


@given(st.tuples(TEXTS, TEXTS), st.tuples(TEXTS, TEXTS))
def test_two_capabilities_have_two_names(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (tool_name(*one) == tool_name(*other)) is (one == other)


def test_capabilities_are_offered_with_their_true_names() -> None:
    tools = offered([node("kitchen", "camera.snap", "system.notify"), node("hall", "system.notify")])
    found = [(tool.description, tool.risk, tool.always_asks, node_id, name) for tool, node_id, name in tools.values()]
    assert found == [
        ("does it (node:kitchen:camera.snap)", Risk.OUTSIDE, True, "kitchen", "camera.snap"),
        ("does it (node:kitchen:system.notify)", Risk.OUTSIDE, False, "kitchen", "system.notify"),
        ("does it (node:hall:system.notify)", Risk.OUTSIDE, False, "hall", "system.notify"),
    ]
