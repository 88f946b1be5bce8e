"""What reads bytes, texts and JSON from outside, each given anything: a value, or the error that is documented, in bounds (style: "each parser")."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawgate.agents import vendor_wire
from clawgate.agents.anthropic_wire import AnthropicDialect
from clawgate.agents.gemini_wire import GeminiDialect
from clawgate.agents.openai_wire import OpenAIDialect
from clawgate.channels import answer_wire, linq_wire, nextcloud_talk_wire, payload_wire, wati_wire, whatsapp_wire
from clawgate.domain.caller import client_key, parse_networks
from clawgate.domain.cron import Job, Run
from clawgate.domain.delivery import Send
from clawgate.domain.errors import AgentError, BadRequest, SendError, Unauthenticated
from clawgate.domain.knowledge import Document, Group
from clawgate.domain.redaction import Redactor
from clawgate.domain.secret import Secret
from clawgate.domain.sessions import title_of
from clawgate.domain.signing import structured_fields
from clawgate.domain.sse import SseEvent
from clawgate.domain.tasks import Actor, ActorType, Comment, EventType, Task, TaskEvent
from clawgate.domain.turn import Completion
from clawgate.stores import cron_rows, fulltext, knowledge_rows, outbox_rows, task_rows
from clawgate.system.frontmatter import MOST_FRONT_MATTER_CHARS, manifest_of
from clawgate.web.dialects import chat_sessions_wire, root_wire
from clawgate.web.http_wire import ChunkedBody, Unreadable, check_partial, parse_head
from clawgate.web.paths import check_path

JSON: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=4) | st.sampled_from(["message", "id", "result", "error"]), below, max_size=3)
    ),
    max_leaves=8,
)
BODIES = JSON.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")) | st.binary(max_size=60)
DIALECTS = (OpenAIDialect(), AnthropicDialect(1_000), GeminiDialect())

# --- agents ----------------------------------------------------------------------------------------------------------------------------------


@given(st.sampled_from(DIALECTS), BODIES)
def test_any_whole_answer_of_a_vendor_is_one_or_an_agent_error(dialect: vendor_wire.Dialect, body: bytes) -> None:
    decoder = dialect.decoder()
    with suppress(AgentError):
        tuple(decoder.whole(body))
        assert isinstance(decoder.completion(), Completion)


@given(st.sampled_from(DIALECTS), st.lists(st.text(max_size=30) | BODIES.map(lambda body: body.decode("utf-8", "replace")), max_size=4))
def test_any_event_of_a_vendor_is_a_piece_or_an_agent_error(dialect: vendor_wire.Dialect, events: list[str]) -> None:
    decoder = dialect.decoder()
    with suppress(AgentError):
        for data in events:
            tuple(decoder.event(SseEvent(data)))


@given(st.text() | JSON.map(json.dumps))
def test_any_arguments_of_a_tool_are_an_object_or_an_agent_error(text: str) -> None:
    with suppress(AgentError):
        assert isinstance(json.loads(bytes(vendor_wire.arguments_object(text))), dict)


# --- channels --------------------------------------------------------------------------------------------------------------------------------

READERS: tuple[Callable[[bytes], object], ...] = (
    *(linq_wire.receipt, nextcloud_talk_wire.receipt, wati_wire.receipt, wati_wire.is_refusal, whatsapp_wire.receipt, whatsapp_wire.is_transient),
)


@given(st.sampled_from(READERS), BODIES)
def test_any_answer_of_a_platform_is_read(reader: Callable[[bytes], object], body: bytes) -> None:
    assert isinstance(reader(body), str | bool)


@given(BODIES)
def test_any_body_of_a_platform_is_json_or_a_bad_request(body: bytes) -> None:
    with suppress(BadRequest):
        payload_wire.decode(body)


@given(st.integers(0, 999), st.none() | st.floats(0, 1e6), st.binary(max_size=300))
def test_any_refusal_of_a_platform_is_a_send_error_fit_for_a_log_line(status: int, seconds: float | None, body: bytes) -> None:
    found = answer_wire.problem("X", answer_wire.Answer(status, seconds, body), Redactor(), is_transient=whatsapp_wire.is_transient)
    assert (found is None) == (200 <= status < 300)
    if found is not None:
        assert isinstance(found, SendError)
        assert found.detail.isprintable()


# --- requests --------------------------------------------------------------------------------------------------------------------------------

HEAD = b"POST /webhook?a=%20 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nX-A: b"
PIECES = st.sampled_from(
    [b"\r\n", b"\n", b"\r", b" ", b":", b"HTTP/1.1", b"GET", b"/", b"Host: x", b"Content-Length: ", b"9" * 19, b"\0", b"\xff", b"a"]
)
LIMITS = {"max_bytes": 400, "max_headers": 10}


@given(st.binary(max_size=60) | st.lists(PIECES, max_size=20).map(b"".join))
def test_any_head_is_one_or_unreadable(raw: bytes) -> None:
    with suppress(Unreadable):
        assert parse_head(raw, **LIMITS).target.startswith(b"/")


@given(st.sampled_from([HEAD, HEAD + b"\r\n"]), st.integers(1, 100), PIECES)
def test_what_is_refused_half_is_refused_whole(head: bytes, cut: int, piece: bytes) -> None:
    raw = head[:cut] + piece + head[cut:]
    try:
        for end in range(1, len(raw)):
            check_partial(raw[:end], **LIMITS)
    except Unreadable:
        with pytest.raises(Unreadable):
            parse_head(raw, **LIMITS)


def test_every_beginning_of_a_good_head_is_waited_for() -> None:
    for end in range(1, len(HEAD)):
        check_partial(HEAD[:end], **LIMITS)


CHUNKS = st.lists(
    st.sampled_from([b"3\r\n", b"abc", b"\r\n", b"0\r\n", b"A: b\r\n", b"\n", b"g", b"ffffffffffffffff\r\n", b"\xff"]), max_size=12
).map(b"".join)


def body_of(pieces: list[bytes]) -> tuple[bool | int, bytes, bytes]:
    body, is_whole = ChunkedBody(100, max_trailer_bytes=60, max_trailers=3), False
    try:
        for number, piece in enumerate(pieces):
            is_whole = body.feed(piece)
            if is_whole:
                return True, bytes(body.body), body.rest + b"".join(pieces[number + 1 :])
    except Unreadable as problem:
        return problem.status, b"", b""
    return is_whole, bytes(body.body), b""


@given(CHUNKS, st.lists(st.integers(0, 40), max_size=6))
def test_a_chunked_body_is_the_same_however_it_is_cut(data: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    assert body_of([data[start:end] for start, end in pairwise(places)]) == body_of([data])


@given(st.binary(max_size=30) | st.lists(st.sampled_from([b"/", b".", b"%2f", b"%", b"a", b"%00", b"%c3%a9", b"%ff"]), max_size=8).map(b"".join))
def test_any_path_is_one_or_a_bad_request(path: bytes) -> None:
    with suppress(BadRequest):
        check_path(path)
        assert b"//" not in path


@given(st.dictionaries(st.sampled_from(["message", "a"]), JSON, max_size=3), st.booleans())
def test_a_field_that_is_there_twice_is_seen(found: dict[str, object], is_doubled: bool) -> None:
    found = {"message": "m", **found}
    written = json.dumps(found)
    body = (written[:-1] + ',"mess\\u0061ge":1}' if is_doubled else written).encode("utf-8", "surrogatepass")
    assert root_wire.has_twice(body, "message") is is_doubled


@pytest.mark.parametrize("rest", [b"9" * 5_000, b"-" + b"9" * 60_000, b"1" * 9 + b"e999"])
def test_a_number_of_any_length_beside_the_message_is_no_crash(rest: bytes) -> None:
    assert not root_wire.has_twice(b'{"message":"\\u0041","y":' + rest + b"}", "message")


@given(st.text(alphabet="gw_a", max_size=12))
def test_any_name_of_a_session_is_one_without_its_prefix(text: str) -> None:
    assert text.endswith(chat_sessions_wire.id_of(text))
    assert not chat_sessions_wire.id_of("gw_" + text).startswith("gw_")


FIELDS = st.lists(st.sampled_from(["a", "=", "(", ")", '"', ";", ":", ",", " ", "\\", "created", "1", "*", "YQ==", "\0", "é"]), max_size=20).map(
    "".join
)


@given(FIELDS | st.text(max_size=40))
def test_any_signature_field_is_read_or_refused(field: str) -> None:
    for reader in (structured_fields.inputs, structured_fields.byte_sequences):
        with suppress(Unauthenticated):
            assert reader(field)


# --- rows ------------------------------------------------------------------------------------------------------------------------------------

IDS = st.integers(0, 2**63 - 1).map(lambda number: f"{number:016x}")
ACTORS = st.builds(Actor, st.sampled_from(ActorType), st.none() | st.text(), st.none() | st.text())
DATA = st.dictionaries(st.text(), st.none() | st.text(), max_size=3)
SENDS: st.SearchStrategy[Send] = st.builds(msgspec.structs.replace, st.from_type(Send), id=IDS, item_id=IDS)
CODECS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], Any], Callable[[Any], Any]]] = {
    "send": (SENDS, outbox_rows.to_row, outbox_rows.from_row),
    "task": (st.from_type(Task), task_rows.task_row, task_rows.task_of),
    "comment": (
        st.builds(Comment, author=ACTORS, id=st.text(), task_id=st.text(), content=st.text(), created_ms=st.integers()),
        task_rows.comment_row,
        task_rows.comment_of,
    ),
    "event": (
        st.builds(TaskEvent, id=st.text(), task_id=st.text(), type=st.sampled_from(EventType), actor=ACTORS, data=DATA, created_ms=st.integers()),
        task_rows.event_row,
        task_rows.event_of,
    ),
    "job": (st.from_type(Job), cron_rows.job_row, cron_rows.job_of),
    "run": (st.from_type(Run), lambda run: (run.id, *cron_rows.run_row(run)), cron_rows.run_of),
    "group": (st.from_type(Group), knowledge_rows.group_row, knowledge_rows.group_of),
    "document": (st.from_type(Document), knowledge_rows.document_row, knowledge_rows.document_of),
}


@pytest.mark.parametrize("name", CODECS)
def test_what_is_written_into_a_row_is_read_from_it(name: str) -> None:
    values, written, read = CODECS[name]

    @given(values)
    @settings(max_examples=settings().max_examples // 2)
    def check(value: object) -> None:
        assert read(tuple(written(value))) == value

    check()


@given(st.lists(st.text(max_size=8), max_size=4))
def test_any_words_are_a_question_that_sqlite_understands(words: list[str]) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE VIRTUAL TABLE found USING fts5(text)")
        probe = "SELECT 1 FROM found WHERE found MATCH ? LIMIT 1"
        understood = fulltext.understood(connection, probe, " ".join(words).replace("\0", ""))
        if understood:
            connection.execute(probe, (understood,)).fetchall()


# --- the log ---------------------------------------------------------------------------------------------------------------------------------


@given(st.text(min_size=6, max_size=30).filter(lambda text: len(text.strip()) >= 6), st.text(max_size=20), st.text(max_size=20))
def test_a_secret_that_is_known_is_in_no_line(secret: str, before: str, after: str) -> None:
    redactor = Redactor()
    redactor.register(Secret(secret))
    if secret.strip() not in before + "***" + after:
        assert secret.strip() not in redactor.text(f"{before}{secret}{after}")


# --- time ------------------------------------------------------------------------------------------------------------------------------------


def quick(look: Callable[[], object], seconds: float = 0.3) -> None:
    start = time.thread_time()
    look()
    assert time.thread_time() - start < seconds


@pytest.mark.parametrize("text", ["," * 65_536, "127.0.0.1," * 6_000, " ," * 30_000, "::1," * 16_000])
def test_a_long_list_of_proxies_takes_no_time(text: str) -> None:
    trusted = parse_networks(("127.0.0.0/8", "::1/128"))
    quick(lambda: client_key("127.0.0.1", text, None, trusted=trusted), 0.05)


def test_an_address_behind_more_proxies_than_anybody_has_is_not_believed() -> None:
    trusted = parse_networks(("127.0.0.1/32",))
    assert client_key("127.0.0.1", "203.0.113.7" + ",127.0.0.1" * 60, None, trusted=trusted) == "203.0.113.7"
    assert client_key("127.0.0.1", "203.0.113.7" + ",127.0.0.1" * 70, None, trusted=trusted) == "127.0.0.1"


@pytest.mark.parametrize("piece", ["[", "{", "- ", "? ", "!a ", "&a ", "a: "])
def test_front_matter_that_is_nested_without_end_takes_no_time(piece: str) -> None:
    def read() -> None:
        with pytest.raises(BadRequest):
            manifest_of("---\n" + piece * (MOST_FRONT_MATTER_CHARS // len(piece) - 16) + "\n---\n")

    quick(read, 0.9)


def test_front_matter_may_be_nested_a_little() -> None:
    assert manifest_of("---\nname: n\nrequires: {bins: [a, b]}\nx: [[[[1]]]]\n---\n").binaries == ("a", "b")


def test_a_session_that_is_nothing_but_prefixes_takes_no_time() -> None:
    quick(lambda: chat_sessions_wire.id_of("gw_" * 300_000))


@pytest.mark.parametrize("piece", ["\n", " ", "\x1c", "\ud800", "a"])
def test_a_title_of_a_long_question_takes_no_time(piece: str) -> None:
    quick(lambda: title_of(piece * (1 << 20)), 0.1)
