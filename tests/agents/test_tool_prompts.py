"""Tools, calls and results as each vendor wants them (API references of OpenAI, Anthropic and Google; docs of the command agent)."""

from __future__ import annotations

from typing import Any

import msgspec

from clawgate.agents.anthropic_wire import AnthropicDialect
from clawgate.agents.command_wire import encode_prompt
from clawgate.agents.gemini_wire import GeminiDialect
from clawgate.agents.openai_wire import OpenAIDialect
from clawgate.domain.turn import Line, Prompt, Role, ToolCall, ToolSpec

SCHEMA = '{"type":"object","properties":{"euros":{"type":"number"}}}'
CALLS = (ToolCall("c1", "pay", '{"euros":5}'), ToolCall("c2", "look", "not json"))
PROMPT = Prompt(
    lines=(
        Line(Role.USER, "pay"),
        Line(Role.ASSISTANT, "I will.", CALLS),
        Line(Role.TOOL, "paid", tool_call_id="c1", tool="pay"),
        Line(Role.TOOL, "", tool_call_id="c2", tool="look"),
    ),
    tools=(ToolSpec("pay", "Pays.", SCHEMA),),
    idempotency_key="0000000000000001:1",
)


def body(dialect: Any) -> Any:  # Any: the dialects share a method; JSON
    return msgspec.json.decode(dialect.call(PROMPT, "m", "").body)


def test_openai_reads_calls_and_results() -> None:
    sent = body(OpenAIDialect())
    assert sent["tools"] == [{"type": "function", "function": {"name": "pay", "description": "Pays.", "parameters": msgspec.json.decode(SCHEMA)}}]
    assert sent["messages"][1]["tool_calls"][0] == {"id": "c1", "type": "function", "function": {"name": "pay", "arguments": '{"euros":5}'}}
    assert sent["messages"][2:] == [
        {"role": "tool", "tool_call_id": "c1", "content": "paid"},
        {"role": "tool", "tool_call_id": "c2", "content": ""},
    ]


def test_anthropic_reads_calls_and_results_of_one_round_in_one_message() -> None:
    sent = body(AnthropicDialect(100))
    assert sent["tools"] == [{"name": "pay", "description": "Pays.", "input_schema": msgspec.json.decode(SCHEMA)}]
    assert sent["messages"][1]["content"] == [
        {"type": "text", "text": "I will."},
        {"type": "tool_use", "id": "c1", "name": "pay", "input": {"euros": 5}},
        {"type": "tool_use", "id": "c2", "name": "look", "input": {}},
    ]
    assert sent["messages"][2] == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "c1", "content": "paid"},
            {"type": "tool_result", "tool_use_id": "c2", "content": ""},
        ],
    }
    assert len(sent["messages"]) == 3


def test_gemini_reads_calls_and_results() -> None:
    sent = body(GeminiDialect())
    declared = {"name": "pay", "description": "Pays.", "parametersJsonSchema": msgspec.json.decode(SCHEMA)}
    assert sent["tools"] == [{"functionDeclarations": [declared]}]
    assert sent["contents"][1]["parts"][1] == {"functionCall": {"name": "pay", "args": {"euros": 5}}}
    assert [part["functionResponse"]["response"] for part in sent["contents"][2]["parts"]] == [{"result": "paid"}, {"result": ""}]


def test_a_program_reads_calls_and_results() -> None:
    sent = msgspec.json.decode(encode_prompt(PROMPT, "m"))
    assert sent["tools"] == [{"name": "pay", "description": "Pays.", "parameters": msgspec.json.decode(SCHEMA)}]
    assert sent["messages"][1]["tool_calls"][0] == {"id": "c1", "name": "pay", "arguments": '{"euros":5}'}
    assert sent["messages"][2] == {"role": "tool", "content": "paid", "tool_call_id": "c1", "name": "pay"}


def test_a_prompt_without_tools_names_none() -> None:
    plain = msgspec.structs.replace(PROMPT, tools=(), lines=PROMPT.lines[:1])
    for dialect in (OpenAIDialect(), AnthropicDialect(100), GeminiDialect()):
        assert "tools" not in msgspec.json.decode(dialect.call(plain, "m", "").body)
