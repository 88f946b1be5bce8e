"""Canvases, their bounds, and the agent's tool (construct-realtime.md §4)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.canvas import MAX_CONTENT_BYTES, MOST_BEHIND, MOST_CANVASES, MOST_FRAMES, Backlog, ContentType, Frame, TooManyCanvases
from clawgate.domain.errors import BadRequest, NotFound, TooLarge
from clawgate.domain.tools import Risk, ToolContext, ToolResult
from clawgate.services.canvas_tools import CanvasTools
from clawgate.services.canvases import Canvases
from clawgate.services.events import Events
from clawgate.testing.clock import CountingIds, ManualClock

CONTEXT = ToolContext(principal="p", source="webhook", conversation=None, idempotency_key="item:1")


def canvases(most_bytes: int = 10**9) -> Canvases:
    clock = ManualClock()
    return Canvases(clock, CountingIds(), Events(clock), most_bytes)


def contents(held: Canvases, canvas_id: str) -> list[str]:
    return [frame.content for frame in held.history(canvas_id)]


def test_the_last_frame_is_shown_and_history_is_oldest_first() -> None:
    held = canvases()
    held.render("a", "html", "<b>1</b>")
    held.render("a", "text", "2")
    assert (held.shown("a").content, held.shown("a").content_type) == ("2", ContentType.TEXT)
    assert contents(held, "a") == ["<b>1</b>", "2"]


def test_an_empty_canvas_shows_nothing() -> None:
    with pytest.raises(NotFound, match="Canvas 'a' not found"):
        canvases().shown("a")
    assert canvases().history("a") == ()


def test_history_keeps_the_last_fifty() -> None:
    held = canvases()
    for number in range(MOST_FRAMES + 7):
        held.render("a", "text", str(number))
    assert contents(held, "a") == [str(number) for number in range(7, MOST_FRAMES + 7)]


def test_all_canvases_together_are_bounded_and_what_is_shown_stays() -> None:
    held = canvases(most_bytes=10)
    for canvas_id in ("a", "b", "a", "b"):
        held.render(canvas_id, "text", "1234")
    assert (contents(held, "a"), contents(held, "b")) == (["1234"], ["1234"])
    held.render("c", "text", "12345678")
    assert [len(held.history(name)) for name in held.names()] == [1, 1, 1]
    held.clear("c")
    held.render("a", "text", "12")
    assert contents(held, "a") == ["1234", "12"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.text(alphabet="xü", max_size=9), st.booleans()), max_size=80))
def test_bytes_are_counted_right_whatever_happens(steps: list[tuple[str, str, bool]]) -> None:
    held = canvases(most_bytes=60)
    for canvas_id, content, is_clear in steps:
        if is_clear:
            held.clear(canvas_id)
        else:
            held.render(canvas_id, "text", content)
        assert held._bytes == sum(frame.size for name in held.names() for frame in held.history(name)) <= 60


def test_a_hundred_and_first_canvas_is_refused_until_one_is_cleared() -> None:
    held = canvases()
    for number in range(MOST_CANVASES):
        held.render(str(number), "text", "x")
    with pytest.raises(TooManyCanvases):
        held.render("more", "text", "x")
    held.render("7", "text", "y")
    assert held.clear("7")
    assert held.render("more", "text", "x").content == "x"


def test_a_watched_canvas_holds_its_slot_until_nobody_watches() -> None:
    held, seen = canvases(), list[Frame]()
    end = held.watch("a", seen.append)
    held.render("a", "text", "x")
    assert held.clear("a")
    assert held.names() == ("a",)
    end()
    end()
    assert held.names() == ()
    assert [frame.content_type for frame in seen] == [ContentType.TEXT, ContentType.CLEAR]


def test_clearing_nothing_is_told() -> None:
    held = canvases()
    assert not held.clear("a")


@pytest.mark.parametrize(
    ("kind", "content", "canvas_id", "error"),
    [
        ("HTML", "x", "a", BadRequest),
        ("eval", "x", "a", BadRequest),
        ("clear", "x", "a", BadRequest),
        ("text", "x" * (MAX_CONTENT_BYTES + 1), "a", TooLarge),
        ("text", "ü" * (MAX_CONTENT_BYTES // 2 + 1), "a", TooLarge),
        ("text", "\ud800", "a", BadRequest),
        ("text", "x", "", BadRequest),
        ("text", "x", "y" * 257, BadRequest),
    ],
)
def test_what_cannot_be_shown_leaves_no_trace(kind: str, content: str, canvas_id: str, error: type[Exception]) -> None:
    held = canvases()
    with pytest.raises(error):
        held.render(canvas_id, kind, content)
    assert held.names() == ()


def test_the_largest_content_is_shown() -> None:
    assert canvases().render("a", "text", "ü" * (MAX_CONTENT_BYTES // 2)).size == MAX_CONTENT_BYTES


def test_a_watcher_that_breaks_disturbs_nobody() -> None:
    held, seen = canvases(), list[Frame]()

    def broken(frame: Frame) -> None:
        raise RuntimeError("x")

    held.watch("a", broken)
    held.watch("a", seen.append)
    held.render("a", "text", "x")
    assert [frame.content for frame in seen] == ["x"]


def test_events_name_the_canvas_and_not_its_content() -> None:
    held, seen = canvases(), list[tuple[str, object]]()
    held.events.watch(lambda event: seen.append((event.kind, dict(event.data))))
    frame = held.render("a", "text", "secret")
    held.clear("a")
    assert seen == [
        ("canvas_rendered", {"canvas_id": "a", "frame_id": frame.id, "content_type": "text"}),
        ("canvas_cleared", {"canvas_id": "a"}),
    ]


def test_a_backlog_misses_the_oldest_and_says_how_many_once() -> None:
    backlog = Backlog()
    frames = [Frame(id=str(number), content_type=ContentType.TEXT, content="", at_ms=0) for number in range(MOST_BEHIND + 3)]
    for frame in frames:
        backlog.put(frame)
    assert (backlog.take_missed(), backlog.take_missed(), len(backlog)) == (3, 0, MOST_BEHIND)
    assert [backlog.take() for _ in range(MOST_BEHIND + 1)] == [*frames[3:], None]


# --- the tool


def call(tools: CanvasTools, **arguments: object) -> ToolResult:
    found: list[ToolResult] = []
    tools.call("canvas", arguments, CONTEXT).addCallback(found.append)
    return found[0]


def test_an_agent_renders_looks_and_clears() -> None:
    held = canvases()
    tools = CanvasTools(held)
    assert call(tools, action="render", content="<p>ü</p>").ok
    snapshot = json.loads(call(tools, action="snapshot").text)
    assert (snapshot["content"], snapshot["content_type"], held.names()) == ("<p>ü</p>", "html", ("default",))
    assert call(tools, action="clear") == ToolResult("Canvas 'default' cleared")
    assert call(tools, action="clear") == ToolResult("Canvas 'default' was empty")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "bad arguments"),
        ({"action": "eval", "content": "alert(1)"}, "bad arguments"),
        ({"action": "render"}, "`content` is missing"),
        ({"action": "render", "content": 1}, "bad arguments"),
        ({"action": "render", "content": "x", "content_type": "pdf"}, "Invalid content_type 'pdf'. Allowed"),
        ({"action": "render", "content": "x" * (MAX_CONTENT_BYTES + 1)}, "Content exceeds maximum size of 262144 bytes"),
        ({"action": "snapshot", "canvas_id": "b"}, "Canvas 'b' not found"),
    ],
)
def test_what_an_agent_did_wrong_is_told(arguments: dict[str, object], text: str) -> None:
    result = call(CanvasTools(canvases()), **arguments)
    assert not result.ok
    assert text in result.text


def test_the_tool_changes_what_the_gateway_keeps() -> None:
    assert [(tool.name, tool.risk) for tool in CanvasTools(canvases()).tools()] == [("canvas", Risk.WRITE)]
