"""Spoilt handshakes, frames and messages on every WebSocket of a real daemon: it speaks RFC 6455 to the end, says what its dialect says, and goes on.

Source: RFC 6455 §4, §5, §7; construct-realtime.md §3-§5, §10; openclaw-enterprise.md §4.
"""

from __future__ import annotations

import json
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from random import Random
from typing import Any

import msgspec
import pytest

from tests.acceptance.daemon import Daemon, until
from tests.acceptance.fuzzing import SECONDS, SEED, Watch, fuzzed, report, rounds
from tests.acceptance.raw_wire import Heard, exchange, pieces, spoilt

pytestmark = pytest.mark.acceptance
_KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
_MIB = 1024 * 1024
_AT_ONCE = 20
_CODES = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 4000, 4401}
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Route(msgspec.Struct, frozen=True):
    """One socket: where, how it is opened, messages that it understands, and whether it says JSON."""

    path: str
    protocol: str
    messages: tuple[Any, ...]
    says_json: bool = True


ROUTES = {
    "construct": Route(
        "/ws/chat?session_id=fuzz&last_seq=0",
        "construct.v1",
        (
            {"type": "message", "content": "hi", "page_context": "tasks", "attachments": ["a"]},
            {"type": "connect", "session_id": "s", "device_name": "d", "capabilities": ["a"], "last_seq": 1},
            {"type": "approval_response", "request_id": "r", "decision": "approve", "always": False},
            {"type": "cancel"},
        ),
    ),
    "zeroclaw": Route("/ws/chat", "zeroclaw.v1", ({"type": "message", "content": "hi"}, {"type": "abort"})),
    "nodes": Route(
        "/ws/nodes",
        "construct.nodes.v1",
        (
            {"type": "register", "node_id": "n", "capabilities": [{"name": "a", "description": "b", "parameters": {"type": "object"}}]},
            {"type": "result", "call_id": "c", "success": True, "output": "x", "error": None},
        ),
    ),
    "canvas": Route("/ws/canvas/board", "construct.v1", ({"type": "hello"},)),
    "terminal": Route("/ws/terminal?cols=80&rows=24", "construct.v1", ({"type": "resize", "cols": 80, "rows": 24},), False),
    "control": Route(
        "/gateway",
        "",
        ({"token": "t", "cmd": "ping"}, {"token": "t", "cmd": "switch_provider", "data": {"provider": "kimi"}}, {"cmd": "status"}),
    ),
}
each = pytest.mark.parametrize("name", ROUTES)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with closing(fuzzed(tmp_path_factory.mktemp("sockets"), WS_CONTROL_PORT=str(port))) as daemon:
        until(lambda: "   Token    : " in daemon.printed, "the control plane has a token")
        yield daemon


def port_of(daemon: Daemon, name: str) -> int:
    return int(daemon.env["WS_CONTROL_PORT"] if name == "control" else daemon.url.rpartition(":")[2])


def good(daemon: Daemon, name: str) -> tuple[Any, ...]:
    """The route's messages; the control plane's with its own token."""
    if name != "control":
        return ROUTES[name].messages
    token = daemon.printed.rpartition("   Token    : ")[2].split("\n")[0]
    return tuple(message | ({"token": token} if "token" in message else {}) for message in ROUTES[name].messages)


def handshake(daemon: Daemon, name: str, more: bytes = b"") -> bytes:
    route = ROUTES[name]
    token = "node-secret" if name == "nodes" else daemon.token
    offered = b"Sec-WebSocket-Protocol: %b, bearer.%b\r\n" % (route.protocol.encode(), token.encode()) if route.protocol else b""
    return (
        b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" % route.path.encode()
        + _KEY
        + b"Sec-WebSocket-Version: 13\r\n"
        + offered
        + more
        + b"\r\n"
    )


def frame(
    payload: bytes, opcode: int = TEXT, *, fin: bool = True, rsv: int = 0, mask: bytes | None = b"\x01\x02\x03\x04", told: int | None = None
) -> bytes:
    """A client's frame; `told` is a length that is not so."""
    size, bit = len(payload) if told is None else told, 0x80 if mask is not None else 0
    length = bytes([bit | size]) if size < 126 else bytes([bit | 126]) + size.to_bytes(2) if size < 65_536 else bytes([bit | 127]) + size.to_bytes(8)
    body = payload if mask is None else masked(payload, mask)
    return bytes([fin << 7 | rsv << 4 | opcode]) + length + (mask or b"") + body


def masked(payload: bytes, mask: bytes) -> bytes:
    row = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload) ^ int.from_bytes(row)).to_bytes(len(payload))


def odd_frames(random: Random, text: bytes) -> bytes:
    """A row of frames of which at least one breaks a rule."""
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    cases: tuple[Callable[[], bytes], ...] = (
        lambda: frame(text, random.choice((3, 4, 5, 6, 7, 11, 12, 13, 14, 15))),
        lambda: frame(text, rsv=random.randint(1, 7)),
        lambda: frame(b"x" * 10, random.choice((PING, PONG, CLOSE)), fin=False),
        lambda: frame(b"x" * 126, random.choice((PING, PONG, CLOSE))),
        lambda: frame(text, mask=None),
        lambda: frame(text, 0),
        lambda: frame(text[:3], fin=False) + frame(text, TEXT),
        lambda: frame(text[:3], fin=False) + frame(b"p", PING) + frame(text[3:], 0),
        lambda: b"".join(frame(b"", fin=False, opcode=0 if index else TEXT) for index in range(random.choice((3, 300)))),
        lambda: frame(b"\xff\xfe" + text),
        lambda: frame(b"\xed\xa0\x80"),
        lambda: frame(b"\xc3", fin=False) + frame(b"\x28", 0),
        lambda: frame(text, BINARY),
        lambda: (
            frame(random.choice((b"", b"\x03", b"\x03\xe8", b"\x03\xed", b"\x00\x00", b"\xff\xff", b"\x03\xe8\xff", b"\x0f\xa0ok")), CLOSE)
            + frame(text)
        ),
        lambda: frame(b"", told=2**63 - 1),
        lambda: frame(b"", told=2**64 - 1),
        lambda: frame(text, told=_MIB + 1),
        lambda: frame(b" " * (_MIB + 1)),
        lambda: frame(b" " * (_MIB // 2), fin=False) + frame(b" " * (_MIB // 2 + 1), 0),
        lambda: frame(bomb.compress(b"\x00" * (20 * _MIB)) + bomb.flush(), rsv=4),
        lambda: frame(b"p", PING) * 200,
        lambda: frame(text)[: random.randrange(1, len(frame(text)))],
        lambda: random.randbytes(random.choice((1, 14, 1000))),
    )
    return frame(text) * random.randint(0, 2) + random.choice(cases)() + frame(text) * random.randint(0, 1)


ODD_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        0,
        -1,
        2**31,
        2**63,
        2**64,
        10**400,
        1.5,
        -0.0,
        1e308,
        "",
        " ",
        "\x00",
        "\u202e",
        "é" * 500,
        "x" * 70_000,
        [],
        {},
        [[]],
        {"": None},
    ),
    *("\ud800", "\udc00\ud800", "../../etc/passwd", "%s{0}", "fuzz", ["a"] * 2_000, {str(number): number for number in range(300)}),
)


def near(random: Random, value: Any) -> Any:  # JSON values
    """The value with something in it changed."""
    if isinstance(value, dict) and value and random.random() < 0.8:
        changed = dict(value)
        key = random.choice([name for name in changed if name != "token" or random.random() < 0.05] or list(changed))
        match random.randrange(4):
            case 0:
                del changed[key]
            case 1:
                changed[random.choice(("x", "", "type", "é", "__proto__", key.upper()))] = changed.pop(key)
            case _:
                changed[key] = near(random, changed[key])
        return changed
    if isinstance(value, list) and value and random.random() < 0.7:
        at = random.randrange(len(value))
        return [*value[:at], near(random, value[at]), *value[at : at + random.randint(0, 1)], *value[at + 1 :]]
    return random.choice(ODD_VALUES)


def message(random: Random, value: Any) -> bytes:  # JSON values
    """A message near the value: another value, or text that is nearly its JSON."""
    text = json.dumps(near(random, value), ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
    match random.randrange(8):
        case 0:
            return spoilt(random, text)[: 2 * _MIB]
        case 1:
            return text[:-1] + b', "type": "message", "content": 1}'
        case 2:
            return b"[" * random.choice((100, 100_000)) + text
        case 3:
            return text.replace(b"null", b"NaN").replace(b"0", b"1e999")
    return text


def frames_of(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Opcodes and payloads of the server's frames; the last may be cut. Fails on what RFC 6455 forbids a server."""
    is_over = False
    while len(data) >= 2:
        opcode, size, at = data[0] & 15, data[1], 2
        assert data[0] & 0x70 == 0 and size < 128, data[:20]
        assert opcode in (0, TEXT, BINARY, CLOSE, PING, PONG)
        assert opcode < CLOSE or (data[0] & 0x80 and size < 126)
        if size > 125:
            at = 4 if size == 126 else 10
            size = int.from_bytes(data[2:at])
        if len(data) < at + size:
            return
        assert not is_over or opcode == PONG, "something after the goodbye (a ping is still answered, RFC 6455 §5.5.2)"
        is_over = is_over or opcode == CLOSE
        yield opcode, data[at : at + size]
        data = data[at + size :]


def check(name: str, sent: bytes, heard: Heard) -> int:
    """What became of the connection: the close code, 1006 without one, a status if it never opened, 0 if it is still open."""
    try:
        return _check(ROUTES[name], heard)
    except Exception as problem:
        problem.add_note(f"seed {SEED} {name}\nsent {sent[:20_000]!r}\nheard {heard.data[:5_000]!r}")
        raise


def _check(route: Route, heard: Heard) -> int:
    if not heard.data:
        return 1006 if heard.is_closed else 0
    head, mark, rest = heard.data.partition(b"\r\n\r\n")
    status = int(head[9:12])
    assert mark and head.startswith(b"HTTP/1.1 ")
    assert status < 500 or status == 503, head
    if status != 101:
        return status
    found = 1006 if heard.is_closed else 0
    for opcode, payload in frames_of(rest):
        if opcode == TEXT:
            text = payload.decode("utf-8")
            assert not route.says_json or isinstance(json.loads(text), dict)
        elif opcode == CLOSE:
            found = int.from_bytes(payload[:2]) if payload else 1005
            payload[2:].decode("utf-8")
            assert found in _CODES | {1005} or 3000 <= found < 5000, found
    return found


def played(daemon: Daemon, name: str, random: Random, made: Callable[[], bytes], few: int) -> dict[int, int]:
    """Sends what is made to a route again and again; how often what came of it."""
    port, outcomes, watch = port_of(daemon, name), dict[int, int](), Watch(daemon)
    for _ in rounds(few, 1 / (3 * len(ROUTES))):
        sent = [made() for _ in range(_AT_ONCE)]
        for data, heard in zip(sent, exchange(port, [pieces(random, data) for data in sent], 10, watch.answers), strict=True):
            outcome = check(name, data, heard)
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
    watch.check(name)
    report(f"socket {name}", sum(outcomes.values()), outcomes)
    return outcomes


@each
def test_spoilt_handshakes(daemon: Daemon, name: str) -> None:
    random = Random(f"{SEED} shake {name}")
    more = (
        b"",
        b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
        b"Origin: http://evil.example\r\n",
        b"Sec-WebSocket-Version: 8\r\n",
    )
    outcomes = played(daemon, name, random, lambda: spoilt(random, handshake(daemon, name, random.choice(more))), 1)
    assert 400 in outcomes or 426 in outcomes


@each
def test_frames_that_break_the_rules(daemon: Daemon, name: str) -> None:
    random, messages = Random(f"{SEED} frame {name}"), good(daemon, name)
    deflate = (b"", b"Sec-WebSocket-Extensions: permessage-deflate\r\n")

    def made() -> bytes:
        text = json.dumps(random.choice(messages)).encode()
        return handshake(daemon, name, random.choice(deflate)) + odd_frames(random, text)

    outcomes = played(daemon, name, random, made, 2)
    assert 1002 in outcomes


@each
def test_messages_that_are_nearly_right(daemon: Daemon, name: str) -> None:
    random, messages = Random(f"{SEED} message {name}"), good(daemon, name)
    said = [json.dumps(value).encode() for value in messages]

    def made() -> bytes:
        rows = [message(random, random.choice(messages)) for _ in range(random.randint(1, 2 if name == "control" else 5))] + [random.choice(said)]
        random.shuffle(rows)
        return handshake(daemon, name) + b"".join(map(frame, rows))

    outcomes = played(daemon, name, random, made, 2)
    assert {0, 1000} & set(outcomes), "none of the connections lived"


@pytest.mark.skipif(bool(SECONDS), reason="the same in every run")
def test_frames_that_break_off_anywhere_leave_nothing_behind(daemon: Daemon) -> None:
    watch, start = Watch(daemon), handshake(daemon, "zeroclaw")
    row = frame(b'{"type":"cancel"}') + frame(b"p", PING) + frame(b'{"type"', fin=False) + frame(b':"cancel"}', 0) + frame(b"\x03\xe8", CLOSE)
    cuts = [start + row[:end] for end in range(len(row) + 1)]
    for sent, heard in zip(cuts, exchange(port_of(daemon, "zeroclaw"), [[sent] for sent in cuts], 10, watch.answers), strict=True):
        assert check("zeroclaw", sent, heard) in (0, 1000), (sent, heard)
    watch.check()
