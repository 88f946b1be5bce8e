from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain import jsonrpc
from clawgate.domain.jsonrpc import Malformed, Message, Notification, Problem, Request, Success

IDS = st.integers(-(2**63), 2**63) | st.text(max_size=8)
RAW = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
).map(lambda value: json.dumps(value).encode())
PARAMS = st.just(b"") | st.dictionaries(st.text(max_size=4), st.integers(), max_size=3).map(lambda value: json.dumps(value).encode())
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Request, IDS, st.text(max_size=9), PARAMS),
    st.builds(Notification, st.text(max_size=9), PARAMS),
    st.builds(Success, IDS, RAW),
    st.builds(Problem, st.none() | IDS, st.integers(-32999, 0), st.text(max_size=9), st.just(b"") | RAW),
)


@given(MESSAGES)
def test_what_is_encoded_is_decoded(message: Message) -> None:
    assert jsonrpc.decode(jsonrpc.encode(message)) == message


@given(MESSAGES)
def test_a_message_is_one_line(message: Message) -> None:
    assert b"\n" not in jsonrpc.encode(message)


@given(MESSAGES)
def test_a_message_that_is_cut_is_none(message: Message) -> None:
    data = jsonrpc.encode(message)
    for end in range(len(data)):
        with pytest.raises(Malformed):
            jsonrpc.decode(data[:end])


@given(st.binary(max_size=60))
def test_garbage_is_malformed_and_nothing_worse(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        jsonrpc.decode(data)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", jsonrpc.PARSE_ERROR),
        (b"{", jsonrpc.PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', jsonrpc.PARSE_ERROR),
        (b"[" * 100_000, jsonrpc.INVALID_REQUEST),
        (b"[]", jsonrpc.INVALID_REQUEST),
        (b'[{"jsonrpc":"2.0","method":"a"}]', jsonrpc.INVALID_REQUEST),
        (b'{"jsonrpc":"1.0","method":"a"}', jsonrpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0"}', jsonrpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":null,"method":"a"}', jsonrpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"a"}', jsonrpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","method":"a","params":"text"}', jsonrpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","result":1}', jsonrpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"result":1,"error":{"code":1,"message":""}}', jsonrpc.INVALID_REQUEST),
    ],
)
def test_what_is_no_message_says_why(data: bytes, code: int) -> None:
    with pytest.raises(Malformed) as caught:
        jsonrpc.decode(data)
    assert caught.value.code == code


def test_an_error_of_null_beside_a_result_is_no_error() -> None:
    assert jsonrpc.decode(b'{"jsonrpc":"2.0","id":1,"result":{},"error":null}') == Success(1, b"{}")


def test_the_text_of_an_error_is_bounded() -> None:
    message = jsonrpc.decode(jsonrpc.encode(Problem(1, -1, "x" * 100_000)))
    assert isinstance(message, Problem)
    assert len(message.message) == jsonrpc.MAX_MESSAGE_CHARS
