from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.errors import AgentProtocol
from clawgate.domain.sse import SseEvent, SseParser

PIECES = st.lists(
    st.sampled_from(
        [
            b"data",
            b"event",
            b"id",
            b"retry",
            b":",
            b" ",
            b"\n",
            b"\r",
            b"\r\n",
            b"x",
            "é€😀".encode(),
            b"\xff",
            b"\0",
            b"\xef\xbb\xbf",
            b"data: a\n\n",
        ]
    ),
    max_size=40,
).map(b"".join)


def reference(stream: bytes) -> list[SseEvent]:
    """The standard's algorithm on a stream that is there as a whole."""
    lines = re.split(rb"\r\n|\r|\n", stream.removeprefix(b"\xef\xbb\xbf"))[:-1]
    events: list[SseEvent] = []
    data: list[bytes] = []
    name = last_id = ""
    for line in lines:
        field, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if line == b"":
            if data:
                events.append(SseEvent(b"\n".join(data).decode("utf-8", "replace"), name or "message", last_id))
            data, name = [], ""
        elif field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
        elif field == b"id" and b"\0" not in value:
            last_id = value.decode("utf-8", "replace")
    return events


@given(PIECES, st.lists(st.integers(0, 200), max_size=10))
def test_any_chunking_gives_the_events_of_the_standard(stream: bytes, cuts: list[int]) -> None:
    parser, events = SseParser(), []
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    for start, end in pairwise(places):
        events += parser.feed(stream[start:end])
    assert events == reference(stream)


@given(PIECES)
def test_byte_by_byte_gives_the_events_of_the_standard(stream: bytes) -> None:
    parser = SseParser()
    assert [event for byte in stream for event in parser.feed(bytes([byte]))] == reference(stream)


@given(PIECES)
def test_a_cut_stream_gives_a_prefix_of_its_events(stream: bytes) -> None:
    whole = SseParser().feed(stream)
    for end in range(len(stream)):
        events = SseParser().feed(stream[:end])
        assert events == whole[: len(events)]


def test_the_three_line_ends_and_a_byte_order_mark_are_understood() -> None:
    assert SseParser().feed(b"\xef\xbb\xbfdata: a\r\ndata: b\rdata: c\n\n") == [SseEvent("a\nb\nc")]


def test_an_event_ended_by_carriage_returns_is_not_held_back() -> None:
    parser = SseParser()
    assert parser.feed(b"data: a\r\r") == [SseEvent("a")]
    assert parser.feed(b"\ndata: b\n\n") == [SseEvent("b")]


def test_comments_and_unknown_fields_are_skipped() -> None:
    assert SseParser().feed(b": keep-alive\n\nretry: 10\nfoo: bar\nevent: x\nid: 7\ndata\n\n") == [SseEvent("", "x", "7")]


def test_a_line_over_its_cap_is_refused_in_pieces_too() -> None:
    parser = SseParser(line_cap_bytes=10)
    assert parser.feed(b"data: 1234") == []
    with pytest.raises(AgentProtocol):
        parser.feed(b"5")


def test_an_event_over_its_cap_is_refused() -> None:
    parser = SseParser(line_cap_bytes=100, event_cap_bytes=20)
    with pytest.raises(AgentProtocol):
        parser.feed(b"data: 0123456789\n" * 2)
