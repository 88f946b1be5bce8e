from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.errors import BadRequest
from clawgate.domain.lines import LineSplitter
from clawgate.domain.mcp import MAX_SCHEMA_BYTES, McpTool
from clawgate.domain.tools import RESULT_CHARS, ToolResult
from clawgate.system import mcp_wire as wire
from clawgate.system.mcp_wire import Agreed


def raw(value: object) -> bytes:
    return json.dumps(value).encode()


def tool(**fields: object) -> dict[str, object]:
    return {"name": "t", "description": "d", "inputSchema": {"type": "object"}, **fields}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["tools", "nextCursor", "content", "type", "text", "isError", "protocolVersion", "capabilities"]), inner)
    ),
    max_leaves=10,
).map(raw)


@given(JSON | st.binary(max_size=40))
def test_garbage_is_a_bad_request_and_nothing_worse(data: bytes) -> None:
    for read in (wire.page, wire.called, wire.initialized, wire.discovered):
        try:
            read(data)
        except BadRequest:
            pass


def test_an_answer_that_is_cut_is_none() -> None:
    whole = raw({"content": [{"type": "text", "text": "é"}], "isError": False})
    for end in range(len(whole)):
        with pytest.raises(BadRequest):
            wire.called(whole[:end])


@pytest.mark.parametrize("version", wire.SESSION_VERSIONS)
def test_every_version_with_sessions_is_taken(version: str) -> None:
    assert wire.initialized(raw({"protocolVersion": version, "capabilities": {"tools": {}}})) == Agreed(version, has_tools=True)


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(BadRequest, match="1999"):
        wire.initialized(raw({"protocolVersion": "1999-01-01", "capabilities": {}}))


def test_a_server_may_have_no_tools() -> None:
    assert not wire.initialized(raw({"protocolVersion": "2025-06-18", "capabilities": {"tools": None}})).has_tools


def test_a_page_gives_tools_and_the_next_cursor() -> None:
    page = wire.page(raw({"tools": [tool(inputSchema={"type": "object", "properties": {"a": {}}})], "nextCursor": "2"}))
    assert page == ((McpTool("t", "d", '{"type":"object","properties":{"a":{}}}'),), 0, "2")


@pytest.mark.parametrize(
    "misfit",
    [
        tool(inputSchema={"type": "object", "x": "y" * MAX_SCHEMA_BYTES}),
        tool(inputSchema={"type": "string"}),
        tool(inputSchema="text"),
        tool(name=""),
        tool(name="n" * 300),
        {"description": "no name"},
        "text",
    ],
)
def test_a_tool_that_does_not_fit_is_left_out_alone(misfit: object) -> None:
    tools, unfit, _ = wire.page(raw({"tools": [misfit, tool()]}))
    assert ([each.name for each in tools], unfit) == (["t"], 1)


def test_texts_are_joined_and_the_rest_is_named() -> None:
    content = [
        {"type": "text", "text": "a"},
        {"type": "image", "mimeType": "image/png", "data": "AAAA"},
        {"type": "audio", "mimeType": "audio/wav", "data": ""},
        {"type": "resource", "resource": {"uri": "file:///x", "text": "inside"}},
        {"type": "resource", "resource": {"uri": "file:///y", "blob": "AAAA"}},
        {"type": "resource_link", "uri": "file:///z", "name": "z"},
    ]
    expected = "a\n[image image/png, 3 bytes]\n[audio audio/wav, 0 bytes]\ninside\n[resource file:///y]\n[link file:///z]"
    assert wire.called(raw({"content": content})) == ToolResult(expected)


def test_an_error_of_the_tool_is_a_result_that_is_not_ok() -> None:
    assert wire.called(raw({"content": [{"type": "text", "text": "no"}], "isError": True})) == ToolResult("no", ok=False)


def test_structured_content_stands_in_where_there_is_no_text() -> None:
    assert wire.called(raw({"content": [], "structuredContent": {"a": 1}})).text == '{"a": 1}'


def test_a_tool_that_asks_for_input_has_failed() -> None:
    assert wire.called(raw({"resultType": "input_required"})).ok is False


def test_a_long_result_is_cut() -> None:
    assert len(wire.called(raw({"content": [{"type": "text", "text": "x" * 100_000}]})).text) == RESULT_CHARS


def test_stateless_params_carry_the_version() -> None:
    meta = json.loads(wire.with_meta(raw({"name": "t"})))
    assert meta["name"] == "t"
    assert meta["_meta"]["io.modelcontextprotocol/protocolVersion"] == wire.STATELESS_VERSION


@pytest.mark.parametrize(("name", "value"), [("a b", "a b"), ("é", "=?base64?w6k=?="), (" a", "=?base64?IGE=?="), ("", "=?base64??=")])
def test_names_in_headers(name: str, value: str) -> None:
    assert wire.header_value(name) == value


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=6))
def test_lines_are_the_same_however_they_arrive(data: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    lines = LineSplitter(1000)
    found = [line for start, end in pairwise(places) for line in lines.feed(data[start:end])]
    assert found == [line.removesuffix(b"\r") for line in data.split(b"\n")[:-1]]


def test_a_line_over_the_cap_is_refused_in_pieces_too() -> None:
    lines = LineSplitter(10)
    assert lines.feed(b"12345678") == []
    with pytest.raises(BadRequest):
        lines.feed(b"901")
