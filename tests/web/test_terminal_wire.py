"""The frames of a terminal (construct-realtime.md §10)."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.errors import BadRequest, Draining, GatewayError, Overloaded, Unavailable
from clawgate.web.dialects.terminal_wire import CHUNK_BYTES, OutputDecoder, Resize, close_code, red, resize

RESIZE = '{"type":"resize","cols":120,"rows":40}'


def test_a_resize_is_one() -> None:
    assert resize(RESIZE) == Resize("resize", 120, 40)
    assert resize(' {"rows":1, "x": [1], "cols":0,"type":"resize"}\n') == Resize("resize", 0, 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "resize",
        '"resize"',
        '["resize"]',
        '{"type":"resize"}',
        '{"type":"resize","cols":80}',
        '{"type":"resize","cols":65536,"rows":1}',
        '{"type":"resize","cols":-1,"rows":1}',
        '{"type":"resize","cols":"80","rows":24}',
        '{"type":"Resize","cols":80,"rows":24}',
        '{"type":"ping"}',
        RESIZE + "x",
        '{"type":"resize","x":' + "[" * 100_000,
    ],
)
def test_anything_else_is_typed(text: str) -> None:
    assert resize(text) is None


def test_a_resize_cut_short_is_typed() -> None:
    assert [resize(RESIZE[:length]) for length in range(len(RESIZE))] == [None] * len(RESIZE)


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    assert resize(text) is None or json.loads(text)["type"] == "resize"


@given(st.text(), st.lists(st.integers(0, 200)))
def test_text_comes_out_as_it_went_in_however_it_is_cut(text: str, cuts: list[int]) -> None:
    data, decoder = text.encode(), OutputDecoder()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    frames = [frame for start, end in itertools.pairwise(edges) for frame in decoder.feed(data[start:end])]
    assert ("".join(frames), decoder.end()) == (text, "")
    assert "" not in frames


@given(st.binary(max_size=300), st.integers(1, 7))
def test_bytes_that_are_no_text_are_replaced_as_if_they_had_come_at_once(data: bytes, width: int) -> None:
    decoder = OutputDecoder()
    frames = [frame for start in range(0, len(data), width) for frame in decoder.feed(data[start : start + width])]
    assert "".join(frames) + decoder.end() == data.decode("utf-8", "replace")


def test_much_output_is_cut_into_small_frames() -> None:
    frames = list(OutputDecoder().feed(b"x" * (2 * CHUNK_BYTES + 1)))
    assert [len(frame) for frame in frames] == [4096, 4096, 1]


def test_a_character_that_never_becomes_whole_is_replaced_at_the_end() -> None:
    decoder = OutputDecoder()
    assert (list(decoder.feed(b"a\xe2\x82")), decoder.end(), decoder.end()) == (["a"], "\N{REPLACEMENT CHARACTER}", "")


def test_an_error_is_red_and_drives_nothing() -> None:
    assert red("Invalid cwd: /nö") == "\x1b[31mInvalid cwd: /nö\x1b[0m\r\n"
    assert red("a\x1b]0;x\x07\n") == "\x1b[31ma\N{REPLACEMENT CHARACTER}]0;x\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}\x1b[0m\r\n"


@pytest.mark.parametrize(("problem", "code"), [(BadRequest("x"), 1008), (Overloaded("x"), 1013), (Unavailable("x"), 1011), (Draining("x"), 1011)])
def test_each_kind_of_error_has_its_goodbye(problem: GatewayError, code: int) -> None:
    assert close_code(problem) == code
