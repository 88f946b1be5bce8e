"""What the bench says of its numbers: ratios, promises, floors, the page. Source: issue "Fast, and shown side by side"; `tests/bench`."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.bench import __main__ as bench
from tests.bench import upstream
from tests.bench.chat import added
from tests.bench.hooks import SIZES, filler, signatures
from tests.bench.inside import Inside
from tests.bench.load import parsed
from tests.bench.peers import HOOK_SECRET
from tests.bench.report import Report, number, page, table, targets_table
from tests.bench.rows import OURS, Row, Side, beside, middle
from tests.bench.targets import FLOORS, TARGETS, broken, judged

EXPLANATION = Path(__file__).parent.parent / "docs" / "explanation"
WRK = """Running 1s test @ http://127.0.0.1:1/webhook
  Latency Distribution
     50%  812.00us
     75%    1.10ms
     90%    1.90ms
     99%    1.02s
  12345 requests in 1.10s, 2.11MB read
Requests/sec:  11222.73
Unexpected answers: 0
"""


def intake(ours: Side, theirs: Side) -> list[Row]:
    return list(beside("intake", "durable intake", {OURS: ours, "FastAPI": theirs}, {"FastAPI": "only writes"}))


def test_what_wrk_says_is_read_in_milliseconds() -> None:
    load = parsed(WRK)
    assert (load.per_second, load.p50_ms, load.p99_ms, load.requests, load.failures) == (11222.73, 0.812, 1020.0, 12345, 0)


@pytest.mark.parametrize("said", ["Unexpected answers: 7", "  Socket errors: connect 0, read 4, write 0, timeout 3\nUnexpected answers: 0"])
def test_a_wrong_status_and_a_broken_connection_are_failures(said: str) -> None:
    assert parsed(WRK.replace("Unexpected answers: 0", said)).failures == 7


def test_the_middle_of_the_rounds_is_their_median_and_the_last_memory() -> None:
    rounds = [Side(100, 1.0, 9.0, 50.0), Side(300, 3.0, 8.0, 51.0), Side(200, 2.0, 7.0, 52.0)]
    assert middle(rounds) == Side(200, 2.0, 8.0, 52.0)


def test_each_peer_gets_a_row_with_the_same_side_of_ours() -> None:
    rows = list(beside("x", "X", {"A": Side(5.0), OURS: Side(10.0), "B": Side(0.0)}))
    assert [(row.peer, row.ours.value, row.ratio) for row in rows] == [("A", 10.0, 2.0), ("B", 10.0, None)]


def test_a_promise_is_held_against_the_row_beside_its_peer() -> None:
    kept = intake(Side(3000, 10.0, 19.0), Side(1000, 20.0, 90.0))
    missed = intake(Side(2900, 10.0, 21.0), Side(1000, 20.0, 90.0))
    assert [is_kept for _, _, is_kept in judged(kept)] == [True, True]
    assert [is_kept for _, _, is_kept in judged(missed)] == [False, False]
    assert judged([Row("intake", "durable intake", "req/s", Side(1.0), "Flask", Side(1.0))]) == []


@pytest.mark.parametrize(
    ("key", "value", "is_kept"),
    [("start", 0.8, True), ("start", 0.81, False), ("idle-rss", 70.0, True), ("relay-added", 0.6, True), ("relay-added", 0.7, False)],
)
def test_less_is_better_where_that_is_promised(key: str, value: float, is_kept: bool) -> None:
    row = Row(key, key, "ms", Side(value), "FastAPI + httpx", Side(1.0))
    assert [found for _, _, found in judged([row])] == [is_kept]


def test_what_was_not_measured_is_not_kept() -> None:
    without = intake(Side(3000), Side(1000))
    assert [(target.kind.name, is_kept) for target, _, is_kept in judged(without)] == [("RATIO_AT_LEAST", True), ("P99_WITHIN_P50", False)]


def test_only_a_ratio_far_below_fails_the_quick_run() -> None:
    floor = FLOORS["intake", "FastAPI"]
    assert broken(intake(Side(floor * 1000), Side(1000))) == []
    assert len(broken(intake(Side(floor * 990), Side(1000)))) == 1
    assert broken([Row("start", "start", "s", Side(100.0))]) == []


def test_floors_lie_well_below_what_is_promised() -> None:
    for (key, peer), floor in FLOORS.items():
        promised = [target.limit for target in TARGETS if target.key == key and peer.startswith(target.peer) and target.kind.name == "RATIO_AT_LEAST"]
        assert len(promised) == 1
        assert floor <= 0.7 * promised[0]


@pytest.mark.parametrize(("value", "text"), [(None, ""), (0.0123, "0.01"), (9.99, "9.99"), (12.34, "12.3"), (1234.5, "1,234")])
def test_numbers_have_three_digits_or_so(value: float | None, text: str) -> None:
    assert number(value) == text


def test_the_page_has_every_row_and_every_promise() -> None:
    rows = [
        *intake(Side(3000, 10.0, 19.0, 90.0, 300.0), Side(900, 20.0, 90.0, 60.0, 700.0)),
        *beside("hook-1k", "signed hook", {OURS: Side(5.0, 1.0, 2.0), "FastAPI": Side(2.0, 1.0, 2.0), "webhook (Go)": Side(20.0, 1.0, 2.0)}),
        Row("start", "start to first 200", "s", Side(0.7)),
    ]
    text = page(Report({"cpu": "two of these"}, rows, {"fastapi": "1.2"}))
    assert "3 of 4 kept." in text
    assert "| durable intake | clawgate | req/s | 3,000 | 10.0 | 19.0 | 300 | 90.0 |  |" in text
    assert "|  | FastAPI | req/s | 900 | 20.0 | 90.0 | 700 | 60.0 | 3.33 |" in text
    assert "| start to first 200 | 0.70 | s |" in text
    assert "- durable intake, FastAPI: only writes." in text
    assert targets_table(rows) in text
    assert table(rows) in text
    for found in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in found.splitlines()}) == 1


def test_the_committed_page_is_made_of_the_committed_numbers() -> None:
    numbers, written = EXPLANATION / "performance.json", EXPLANATION / "performance.md"
    expected = page(msgspec.json.decode(numbers.read_bytes(), type=Report)) if numbers.exists() else None
    assert (written.read_text(encoding="utf-8") if written.exists() else None) == expected, (
        "python -m tests.bench --page docs/explanation/performance.json"
    )


@pytest.mark.parametrize("size", sorted(SIZES))
def test_each_delivery_is_another_one_and_genuine(size: str) -> None:
    start = filler(size)
    first, second = signatures(start, range(41, 43))
    body = f"{start}{41:012d}}}".encode()
    assert len(body) == SIZES[size]
    assert json.loads(body)["number"] == 1_000_000_000_041
    assert first == hmac.new(HOOK_SECRET.encode(), body, hashlib.sha256).hexdigest() != second


class Wire(asyncio.Transport):
    """What is written."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += bytes(data)


def test_the_canned_upstream_answers_each_request_once_however_it_comes() -> None:
    request = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"
    chunked = b"POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    wire, canned = Wire(), upstream.Canned()
    canned.connection_made(wire)
    for byte in request + chunked:
        canned.data_received(bytes([byte]))
    canned.data_received(request + request)
    assert wire.sent == upstream.WHOLE * 4
    assert json.loads(upstream.WHOLE.partition(b"\r\n\r\n")[2])["choices"][0]["message"]["content"] == "All is well."


@pytest.mark.parametrize(("ratios", "is_wrong"), [([2.9], False), ([0.1, 2.9], False), ([0.1, 0.1], True)])
def test_the_quick_run_fails_when_a_row_is_too_slow_twice(monkeypatch: pytest.MonkeyPatch, ratios: list[float], is_wrong: bool) -> None:
    asked: list[Path] = []

    def rows(directory: Path, is_quick: bool) -> Iterator[Row]:
        asked.append(directory)
        yield from intake(Side(ratios[len(asked) - 1] * 1000), Side(1000))

    monkeypatch.setitem(bench.MEASURES, "intake", rows)
    found, complaints = bench.measured(("intake",), is_quick=True)
    assert [row.ratio for row in found] == [ratios[-1]]
    assert len(set(asked)) == len(asked) == len(ratios)
    assert bool(complaints) is is_wrong


@pytest.mark.parametrize("is_quick", [True, False])
def test_a_load_that_breaks_twice_yields_no_rows_and_is_told(monkeypatch: pytest.MonkeyPatch, is_quick: bool) -> None:
    def rows(directory: Path, is_quick: bool) -> Iterator[Row]:
        yield from intake(Side(3000), Side(1000))
        raise RuntimeError("7 of 9 answers were not 202")

    monkeypatch.setitem(bench.MEASURES, "intake", rows)
    assert bench.measured(("intake",), is_quick=is_quick) == ([], ["intake: 7 of 9 answers were not 202"])


def test_added_latency_is_what_a_turn_takes_longer_than_the_middle_of_the_upstream() -> None:
    side = added([float(took) for took in range(10, 110)], [1.0, 5.0, 900.0])
    assert (side.value, side.p50_ms, side.p99_ms) == (54.5, 54.5, 104.0)


@pytest.mark.parametrize("kind", ["health", "refused", "accepted"])
def test_inside_measures_answers_of_the_right_status(kind: str) -> None:
    inside = Inside()
    assert inside.cost_us(kind, 3, 2) > 0
    wrong = {"health": "refused", "refused": "accepted", "accepted": "health"}[kind]
    inside.requests[kind] = (inside.requests[kind][0], inside.requests[wrong][1])
    with pytest.raises(RuntimeError, match=kind):
        inside.ask(kind, 1)
