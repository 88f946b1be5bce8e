from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.mcp import MOST_TOOLS, McpTool, offered, tool_name
from clawgate.domain.tools import Risk

SCHEMA = '{"type":"object"}'
NAMES = st.text(st.sampled_from("ab_-.é "), min_size=1, max_size=6)


def test_plain_names_are_joined() -> None:
    assert tool_name("files", "read_file") == "files__read_file"


@given(st.text(max_size=100), st.text(max_size=300))
def test_every_name_is_one_that_vendors_take(server: str, tool: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", tool_name(server, tool))


@given(NAMES, NAMES, NAMES, NAMES)
def test_two_tools_never_share_a_name(server: str, tool: str, other_server: str, other_tool: str) -> None:
    is_same = (server, tool) == (other_server, other_tool)
    assert (tool_name(server, tool) == tool_name(other_server, other_tool)) == is_same


def test_a_long_name_is_cut_and_marked() -> None:
    first, second = tool_name("s", "x" * 80 + "a"), tool_name("s", "x" * 80 + "b")
    assert (len(first), len(second)) == (64, 64)
    assert first != second


def test_only_what_the_operator_names_is_read_only() -> None:
    tools = [McpTool("look", "", SCHEMA), McpTool("send", "", SCHEMA)]
    found = offered("s", tools, ("look",))
    assert [(tool.risk, tool.is_idempotent, true_name) for tool, true_name in found.values()] == [
        (Risk.READ, True, "look"),
        (Risk.OUTSIDE, False, "send"),
    ]


def test_tools_are_bounded() -> None:
    assert len(offered("s", [McpTool(f"t{i}", "", SCHEMA) for i in range(100)], ())) == MOST_TOOLS
