"""Log lines: flat, redacted, one per event, and never a reason to fail."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from clawgate.domain.errors import Invalid
from clawgate.domain.redaction import Redactor
from clawgate.domain.secret import Secret
from clawgate.system.logs import MAX_LINE_CHARS, LineObserver, log_observer

CANARY = "S3cr3tCanaryValue"


class Sink:
    """An observer on a string, and a logger that feeds it."""

    def __init__(self, format: str = "text", level: str = "info", redactor: Redactor | None = None, *, timestamps: bool = False) -> None:
        self.stream = io.StringIO()
        self.observer = log_observer(self.stream, format, level, redactor, timestamps=timestamps)
        self.log = Logger(namespace="clawgate.test", observer=self.observer)

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()

    @property
    def record(self) -> dict[str, object]:
        (line,) = self.lines
        found = json.loads(line)
        assert isinstance(found, dict)
        return found


def failure(text: str) -> Failure:
    try:
        raise RuntimeError(text)
    except RuntimeError:
        return Failure()


def test_a_text_line() -> None:
    sink = Sink()
    sink.log.info("turn {item} done in {seconds:.1f} s", item="a1", seconds=2)
    assert sink.lines == ["info clawgate.test: turn a1 done in 2.0 s"]


def test_a_text_line_carries_the_events_time() -> None:
    sink = Sink(timestamps=True)
    sink.observer({"log_level": LogLevel.warn, "log_time": 1_800_000_000.007, "log_namespace": "n", "log_format": "m"})
    assert sink.lines == ["2027-01-15T08:00:00.007+00:00 warn n: m"]


def test_a_json_line_carries_the_fields_flat() -> None:
    sink = Sink("json")
    sink.observer({"log_level": LogLevel.info, "log_time": 1.5, "log_namespace": "n", "log_format": "got {n}", "n": 7, "ok": True, "who": None})
    expected = {"time": "1970-01-01T00:00:01.500+00:00", "level": "info", "source": "n", "message": "got 7", "n": 7, "ok": True, "who": None}
    assert sink.record == expected


@pytest.mark.parametrize(
    ("level", "shown"),
    [("debug", ["debug", "info", "warn", "error", "critical"]), ("info", ["info", "warn", "error", "critical"]), ("error", ["error", "critical"])],
)
def test_what_is_below_the_level_is_dropped(level: str, shown: list[str]) -> None:
    sink = Sink(level=level)
    for name in ("debug", "info", "warn", "error", "critical"):
        getattr(sink.log, name)("m")
    assert [line.split()[0] for line in sink.lines] == shown


def test_the_level_can_change_while_running() -> None:
    sink = Sink()
    sink.observer.set_level("error")
    sink.log.info("m")
    assert sink.lines == []


@pytest.mark.parametrize(("format", "level", "path"), [("xml", "info", "observability.log_format"), ("text", "loud", "observability.log_level")])
def test_an_unknown_format_or_level_names_the_setting(format: str, level: str, path: str) -> None:
    with pytest.raises(Invalid, match=path):
        log_observer(io.StringIO(), format, level)


@pytest.mark.parametrize("format", ["text", "json"])
def test_no_secret_reaches_the_stream(format: str) -> None:
    redactor = Redactor()
    redactor.register(Secret(CANARY))
    sink = Sink(format, redactor=redactor)
    sink.log.info("by name {token} {headers}", token=CANARY, headers={"Authorization": CANARY, "x": CANARY})
    sink.log.info("by value {text} {raw} {secret}", text=f"a{CANARY}b", raw=CANARY.encode(), secret=Secret(CANARY))
    sink.log.info("an object {thing} {thing.args}", thing=RuntimeError(CANARY))
    sink.log.info(f"in the format {CANARY}")
    sink.log.failure("it failed", failure(CANARY))
    sink.log.failure("", failure(CANARY))
    sink.observer({"log_level": LogLevel.info, "log_format": "{log_text}", "log_text": CANARY, "log_system": CANARY, CANARY: CANARY})
    assert len(sink.lines) >= 7
    assert CANARY not in sink.stream.getvalue()


@pytest.mark.parametrize("format", ["text", "json"])
def test_an_unregistered_secret_is_known_by_its_field(format: str) -> None:
    sink = Sink(format)
    sink.log.info("{api_key} {cookie} {url}", api_key=CANARY, cookie=CANARY, url=f"/ws?token={CANARY}", unused_password=CANARY)
    assert CANARY not in sink.stream.getvalue()


@pytest.mark.parametrize("format", ["text", "json"])
def test_outsiders_cannot_forge_lines_or_drive_the_terminal(format: str) -> None:
    sink = Sink(format)
    sink.log.info("from {who}", who="x\n2027 info clawgate: all is well\x1b[2J\r\u2028\u202e")
    assert len(sink.lines) == 1
    assert sink.stream.getvalue().rstrip("\n").isprintable()


def test_long_values_are_cut() -> None:
    sink = Sink()
    sink.log.info("{who}", who="x" * 10_000)
    assert len(sink.lines[0]) < 300


@pytest.mark.parametrize("format", ["text", "json"])
def test_the_whole_line_is_bounded_and_still_valid(format: str) -> None:
    sink = Sink(format)
    sink.log.info("m" * 100_000, **{f"field{number}": "x" * 1000 for number in range(1000)})
    assert len(sink.lines) == 1
    assert len(sink.lines[0]) <= MAX_LINE_CHARS
    assert format == "text" or sink.record["level"] == "info"


def test_a_traceback_follows_behind_bars() -> None:
    sink = Sink()
    sink.log.failure("it failed", failure("boom\ninfo forged: line"))
    head, *trace = sink.lines
    assert head == "critical clawgate.test: it failed"
    assert all(line.startswith("  | ") for line in trace)
    assert any("RuntimeError: boom" in line for line in trace)


def test_a_failure_without_text_is_named() -> None:
    sink = Sink()
    sink.log.failure("", failure("boom"))
    assert sink.lines[0] == "critical clawgate.test: RuntimeError: boom"


def test_a_traceback_in_json_is_a_field() -> None:
    sink = Sink("json")
    sink.log.failure("it failed", failure("boom"))
    assert "RuntimeError: boom" in str(sink.record["failure"])


def test_a_huge_traceback_keeps_both_ends_and_is_bounded() -> None:
    sink = Sink("json")
    sink.log.failure("it failed", failure("x" * 100_000 + "END"))
    trace = str(sink.record["failure"])
    assert trace.endswith("END")
    assert len(trace) < 9000


def test_bytes_that_are_no_utf8_are_shown() -> None:
    sink = Sink("json")
    sink.log.info("{path} {odd}", path=b"/\xff", odd="\ud800")
    assert sink.record["message"] == "/\\xff \\ud800"


def test_broken_objects_do_not_raise() -> None:
    class Bad:
        def __str__(self) -> str:
            raise RuntimeError("no")

        __repr__ = __str__

    for format in ("text", "json"):
        sink = Sink(format)
        sink.log.info("{bad} {missing} {bad.nothing}", bad=Bad())
        sink.observer({"log_level": "nonsense"})
        sink.observer({})
        assert len(sink.lines) == 3


@given(
    st.dictionaries(
        st.text(max_size=8), st.recursive(st.none() | st.text() | st.binary() | st.integers() | st.floats(), st.lists, max_leaves=5), max_size=5
    )
)
def test_any_event_gives_one_json_line(fields: dict[str, object]) -> None:
    sink = Sink("json")
    sink.observer({"log_format": "m", **{key: value for key, value in fields.items() if not key.startswith("log_")}, "log_level": LogLevel.info})
    assert sink.record["level"] == "info"


@pytest.mark.parametrize("problem", [OSError("disk full"), ValueError("closed"), BlockingIOError()])
def test_a_stream_that_fails_loses_the_line_and_nothing_else(problem: Exception) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise problem

    observer = log_observer(Broken())
    observer({"log_format": "m", "log_level": LogLevel.info})
    assert observer.lost == 1


def test_a_binary_stream_and_a_latin_stream_get_utf8() -> None:
    raw, under = io.BytesIO(), io.BytesIO()
    for stream in (raw, io.TextIOWrapper(under, encoding="ascii")):
        log_observer(stream, timestamps=False)({"log_format": "ü", "log_level": LogLevel.info, "log_namespace": "n"})
        assert (raw if stream is raw else under).getvalue() == "info n: ü\n".encode()


def test_the_default_stream_is_the_real_stdout_and_not_twistds(monkeypatch: pytest.MonkeyPatch) -> None:
    real = io.StringIO()
    monkeypatch.setattr(sys, "__stdout__", real)
    observer = log_observer()
    observer({"log_format": "m", "log_level": LogLevel.info})
    assert real.getvalue().endswith("info -: m\n")


def test_without_any_stream_nothing_happens() -> None:
    observer = LineObserver(None, is_json=False, redactor=Redactor(), timestamps=False)
    observer({"log_format": "m", "log_level": LogLevel.info})
    assert observer.lost == 0


@pytest.mark.parametrize("right", [True, False])
def test_lines_to_the_journal_carry_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: bool) -> None:
    with (tmp_path / "log").open("w+") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino + (not right)}")
        log_observer(stream)({"log_format": "m", "log_level": LogLevel.info})
    assert ((tmp_path / "log").read_text() == "info -: m\n") is right


@pytest.mark.parametrize("value", ["", "x", "1:", "1:x"])
def test_a_strange_journal_variable_is_ignored(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", value)
    stream = io.StringIO()
    log_observer(stream)({"log_format": "m", "log_level": LogLevel.info, "log_time": 0.0})
    assert stream.getvalue() == "1970-01-01T00:00:00.000+00:00 info -: m\n"
