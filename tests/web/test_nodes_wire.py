"""Messages of `/ws/nodes` (construct-realtime.md §5)."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.errors import BadRequest
from clawgate.domain.nodes import ANY_OBJECT, Capability, Registration, Result
from clawgate.web.dialects import nodes_wire

REGISTER = json.dumps(
    {
        "type": "register",
        "node_id": "kitchen",
        "capabilities": [
            {"name": "a", "description": "d", "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}}},
            {"name": "b", "description": "d"},
            {"name": "c", "description": "d", "parameters": {"type": "object", "properties": 5}},
        ],
    }
)
RESULT = '{"type":"result","call_id":"1","success":true,"output":"ok"}'


def test_a_registration_is_read_and_schemas_that_vendors_refuse_replaced() -> None:
    read = nodes_wire.decoded(REGISTER)
    schema = '{"type":"object","properties":{"x":{"type":"integer"}}}'
    kept = (Capability(name="a", description="d", parameters=schema), Capability(name="b", description="d"), Capability(name="c", description="d"))
    assert read == Registration(node_id="kitchen", capabilities=kept)
    assert kept[1].parameters == ANY_OBJECT


@pytest.mark.parametrize(
    ("text", "result"),
    [
        (RESULT, Result(call_id="1", success=True, output="ok")),
        ('{"type":"result","call_id":"1","success":false,"output":"","error":"e"}', Result(call_id="1", success=False, output="", error="e")),
        ('{"type":"result","call_id":"1","success":false,"output":"","error":null}', Result(call_id="1", success=False, output="")),
    ],
)
def test_a_result_is_read(text: str, result: Result) -> None:
    assert nodes_wire.decoded(text) == result


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "1",
        "{}",
        '{"type":1}',
        '{"type":"other"}',
        '{"type":"result","call_id":"1","success":true}',
        "[" * 50_000,
        "\ud800",
        '{"type":"register","node_id":"\\ud800"}',
    ],
)
def test_what_cannot_be_read_is_ignored(text: str) -> None:
    assert nodes_wire.decoded(text) is None


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"register"}',
        '{"type":"register","node_id":1,"capabilities":[]}',
        '{"type":"register","node_id":"a","capabilities":[{}]}',
    ],
)
def test_a_registration_of_another_shape_is_answered(text: str) -> None:
    with pytest.raises(BadRequest, match="register: "):
        nodes_wire.decoded(text)


@pytest.mark.parametrize("whole", [REGISTER, RESULT])
def test_a_message_cut_anywhere_is_ignored(whole: str) -> None:
    assert [nodes_wire.decoded(whole[:length]) for length in range(len(whole))] == [None] * len(whole)


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    for candidate in (text, json.dumps({"type": "register", "node_id": text, "capabilities": [text]})):
        with contextlib.suppress(BadRequest):
            assert nodes_wire.decoded(candidate) is None or isinstance(nodes_wire.decoded(candidate), Registration)


def test_what_a_node_is_sent() -> None:
    assert [json.loads(text) for text in (nodes_wire.invoke("1", "a", '{"x": [1]}'), nodes_wire.registered("n", 2), nodes_wire.error("no"))] == [
        {"type": "invoke", "call_id": "1", "capability": "a", "args": {"x": [1]}},
        {"type": "registered", "node_id": "n", "capabilities_count": 2},
        {"type": "error", "message": "no"},
    ]
