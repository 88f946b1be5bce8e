"""The log sink: one observer that flattens an event, redacts it and writes one line. Ring: system (edge). Source: design §6–7, libraries.md §8.

text    2026-11-21T06:14:00.000+00:00 info clawgate.services.turns: turn done item=018f…        (no time where journald stamps it)
json    {"time":…,"level":…,"source":…,"message":…,"failure":…, and the event's own fields}

A traceback follows its text line on lines of their own, each behind `  | `, so that no exception text can pass for a log line. Nothing an event holds can
make writing raise: the worst is a line that says so. twistd replaces `sys.stdout` by its log, so the default stream is the real one.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import IO, Any, cast

import msgspec
from twisted.logger import ILogObserver, LogLevel, formatEvent
from twisted.python.failure import Failure
from zope.interface import implementer

from clawgate.domain import times
from clawgate.domain.errors import Invalid
from clawgate.domain.events import LogLine
from clawgate.domain.redaction import Redactor, cut, escaped

MAX_MESSAGE_CHARS = 4096
MAX_TRACEBACK_CHARS = 8192
MAX_LINE_CHARS = 32_768
_LEVELS = {name: rank for rank, name in enumerate(("debug", "info", "warn", "error", "critical"))}
_FORMATS = ("text", "json")
_NOT_FIELDS = frozenset(
    {
        *("format", "message", "isError", "time", "system", "printed", "why", "failure", "debugInfo", "logLevel", "threshold"),
    }
)
_CHATTER = ("Starting factory", "Stopping factory")
_LAST_MOMENT = 253_000_000_000.0
"""Seconds; in the year 9987."""
_UNLOGGABLE = "a log event could not be written"
_encoder = msgspec.json.Encoder()


class LogTail:
    """The last lines of the log, from whatever thread they come; implements `ports.events.LogLines`.

    Attributes:
        is_fed: an observer writes here.
    """

    def __init__(self, lines: int = 2_000, chars: int = 128 * 1024) -> None:
        self.is_fed = False
        self._most_lines, self._most_chars = lines, chars
        self._lines: deque[LogLine] = deque()
        self._chars = self._number = 0
        self._lock = threading.RLock()  # again in the same thread: a collected failure may log while a line is added

    def add(self, text: str, at_ms: int) -> None:
        """One more line; the oldest give way."""
        with self._lock:
            self._number += 1
            self._lines.append(LogLine(self._number, at_ms, text))
            self._chars += len(text)
            while len(self._lines) > self._most_lines or self._chars > self._most_chars:
                self._chars -= len(self._lines.popleft().text)

    def after(self, number: int) -> tuple[LogLine, ...]:
        """`ports.events.LogLines.after`."""
        if number == self._number:
            return ()
        with self._lock:
            return tuple(line for line in self._lines if line.number > number)


TAIL = LogTail()
"""The tail of this process's log: a process has one."""


def log_observer(
    stream: IO[str] | IO[bytes] | None = None,
    format: str = "text",
    level: str = "info",
    redactor: Redactor | None = None,
    *,
    timestamps: bool | None = None,
    tail: LogTail | None = None,
) -> LineObserver:
    """The observer for `ILogObserver` components and `globalLogBeginner`.

    Args:
        stream: None = the process's real stdout, also under twistd.
        format: "text" or "json".
        level: "debug", "info", "warn" or "error"; what is below is dropped.
        redactor: knows the secrets; None = one that knows shapes and names only.
        timestamps: None = yes, unless the stream is journald's (`$JOURNAL_STREAM`). JSON lines always have them.
        tail: keeps the last lines.

    Raises:
        Invalid: `format` or `level` is none of these.
    """
    target = sys.__stdout__ if stream is None else stream
    if format not in _FORMATS:
        raise Invalid("observability.log_format", f"{format!r} is unknown", "Use text or json")
    stamped = not goes_to_journal(target) if timestamps is None else timestamps
    observer = LineObserver(target, is_json=format == "json", redactor=redactor or Redactor(), timestamps=stamped, tail=tail)
    observer.set_level(level)
    return observer


def goes_to_journal(stream: IO[str] | IO[bytes] | None) -> bool:
    """Whether systemd connected this very stream to its journal."""
    try:
        device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
        status = os.fstat(stream.fileno()) if stream is not None and device else None
        return status is not None and (status.st_dev, status.st_ino) == (int(device), int(inode))
    except (OSError, ValueError, io.UnsupportedOperation):
        return False


def _level(event: Mapping[str, Any]) -> Any:  # Any: a log event holds whatever its writer put in; a level is an untyped constant
    """The event's level; Twisted's own chatter about ports and factories, which it sends as news, is detail here."""
    level = event.get("log_level") or LogLevel.info
    is_chatter = level is LogLevel.info and (event.get("log_namespace") == "log_legacy" or str(event.get("log_format")).startswith(_CHATTER))
    return LogLevel.debug if is_chatter else level


def _moment_ms(event: Mapping[str, Any]) -> int:  # Any: see `_level`
    """When it happened, milliseconds since the epoch; now, when the event does not say."""
    moment = event.get("log_time")
    if isinstance(moment, int | float) and 0 <= moment < _LAST_MOMENT:
        return round(moment * 1000)
    return time.time_ns() // 1_000_000


@implementer(ILogObserver)
class LineObserver:
    """Writes events as lines.

    Attributes:
        lost: lines that could not be written (closed pipe, full disk).
    """

    def __init__(
        self,
        stream: IO[str] | IO[bytes] | None,
        *,
        is_json: bool,
        redactor: Redactor,
        timestamps: bool,
        tail: LogTail | None = None,
    ) -> None:
        self.lost = 0
        self._tail = tail
        if tail is not None:
            tail.is_fed = True
        self._stream, self._redactor, self._timestamps = stream, redactor, timestamps
        self._render = self._json if is_json else self._text
        self._threshold = _LEVELS["info"]

    def set_level(self, level: str) -> None:
        """Drops what is below `level` from now on.

        Raises:
            Invalid: there is no such level.
        """
        if level not in _LEVELS:
            raise Invalid("observability.log_level", f"{level!r} is unknown", "Use debug, info, warn or error")
        self._threshold = _LEVELS[level]

    def __call__(self, event: Mapping[str, Any]) -> None:  # Any: a log event holds whatever its writer put in
        """Writes the event, or drops it; never raises."""
        try:
            level = _level(event)
            if _LEVELS[level.name] < self._threshold:
                return
            line = self._render(event, level.name)
        except Exception as problem:
            line = f"{_UNLOGGABLE} ({type(problem).__name__})"
        self._write(line)
        if self._tail is not None:
            self._tail.add(line[:MAX_LINE_CHARS].encode("utf-8", "backslashreplace").decode(), _moment_ms(event))

    def _write(self, line: str) -> None:
        data = (line[:MAX_LINE_CHARS] + "\n").encode("utf-8", "backslashreplace")
        stream = getattr(self._stream, "buffer", self._stream)
        try:
            if stream is None:
                return
            if isinstance(stream, io.TextIOBase):
                stream.write(data.decode())
            else:
                cast(IO[bytes], stream).write(data)
            stream.flush()
        except (OSError, ValueError):
            self.lost += 1

    def _text(self, event: Mapping[str, Any], level: str) -> str:  # Any: see __call__
        head = f"{self._time(event)} {level}" if self._timestamps else level
        line = f"{head} {self._source(event)}: {self._message(event)}"
        trace = self._traceback(event)
        return "\n".join([line, *(f"  | {escaped(part)}" for part in trace.splitlines())])

    def _json(self, event: Mapping[str, Any], level: str) -> str:  # Any: see __call__
        record: dict[str, object] = {"time": self._time(event), "level": level, "source": self._source(event), "message": self._message(event)}
        trace = self._traceback(event)
        if trace:
            record["failure"] = "\n".join(escaped(part) for part in trace.splitlines())
        for key, value in event.items():
            if not key.startswith("log_") and key not in _NOT_FIELDS and key not in record:
                record[self._redactor.untrusted(key)] = self._redactor.value(key, value)
        line = _encoder.encode(record).decode()
        if len(line) <= MAX_LINE_CHARS:
            return line
        return _encoder.encode({key: record[key] for key in ("time", "level", "source", "message", "failure") if key in record}).decode()

    def _time(self, event: Mapping[str, Any]) -> str:  # Any: see __call__
        return times.rfc3339(_moment_ms(event))

    def _source(self, event: Mapping[str, Any]) -> str:  # Any: see __call__
        return self._redactor.untrusted(str(event.get("log_namespace") or event.get("log_system") or "-"))

    def _message(self, event: Mapping[str, Any]) -> str:  # Any: see __call__
        shown = {key: value if key.startswith("log_") else self._field(key, value) for key, value in event.items()}
        message = formatEvent(shown)
        failure = event.get("log_failure")
        if not message.strip() and isinstance(failure, Failure):
            message = f"{failure.type.__name__ if failure.type else 'failure'}: {failure.getErrorMessage()}"
        return self._redactor.untrusted(message, MAX_MESSAGE_CHARS)

    def _field(self, key: str, value: object) -> object:
        """What a format string may show: plain values cleaned, other objects as they are (the whole message is cleaned again)."""
        cleaned = self._redactor.value(key, value)
        is_plain = value is None or isinstance(value, str | bytes | bytearray | memoryview | int | float | Mapping | list | tuple | set | frozenset)
        return cleaned if is_plain or cleaned == "***" else value

    def _traceback(self, event: Mapping[str, Any]) -> str:  # Any: see __call__
        failure = event.get("log_failure")
        if not isinstance(failure, Failure):
            return ""
        try:
            trace = failure.getTraceback()
        except Exception as problem:
            return f"(no traceback: {type(problem).__name__})"
        text = self._redactor.text(trace[-4 * MAX_TRACEBACK_CHARS :].strip())
        return text if len(text) <= MAX_TRACEBACK_CHARS else cut(text, MAX_TRACEBACK_CHARS // 2) + "\n" + text[-MAX_TRACEBACK_CHARS // 2 :]
