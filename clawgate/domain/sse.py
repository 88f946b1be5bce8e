r"""Server-sent events, byte by byte. Ring: domain. Source: WHATWG HTML, section 9.2.6 "Interpreting an event stream".

    stream = [BOM] *event        event = *(comment / field) EOL        field = name [":" [" "] value] EOL        EOL = CR LF / LF / CR

Lines are cut on bytes and only whole lines are decoded, so a chunk may end anywhere, inside a character too. What follows the last blank line is not an
event: a stream that is cut never delivers half of one.
"""

from __future__ import annotations

import re

import msgspec

from clawgate.domain.errors import AgentProtocol

_EOL = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class SseEvent(msgspec.Struct, frozen=True):
    """One event.

    Attributes:
        data: its data lines, joined by line feeds.
        name: "message" unless the stream says otherwise.
        last_id: the last id seen on the stream.
    """

    data: str
    name: str = "message"
    last_id: str = ""


class SseParser:
    """Takes bytes, gives events.

    Args:
        line_cap_bytes: longest line.
        event_cap_bytes: most data in one event.
    """

    def __init__(self, *, line_cap_bytes: int = 1 << 20, event_cap_bytes: int = 2 << 20) -> None:
        self._line_cap, self._event_cap = line_cap_bytes, event_cap_bytes
        self._partial: list[bytes] = []
        self._partial_bytes = 0
        self._skip_line_feed = False
        self._is_first_line = True
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._name = self._last_id = ""

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """The events that `chunk` completes, in order.

        Raises:
            AgentProtocol: a line or an event is over its cap. The parser is of no use afterwards.
        """
        if self._skip_line_feed and chunk:
            self._skip_line_feed = False
            chunk = chunk.removeprefix(b"\n")
        if not chunk:
            return []
        self._skip_line_feed = chunk.endswith(b"\r")
        *lines, rest = _EOL.split(chunk) if b"\r" in chunk else chunk.split(b"\n")
        if lines and self._partial:
            self._keep(lines[0])
            lines[0] = b"".join(self._partial)
            self._partial, self._partial_bytes = [], 0
        events: list[SseEvent] = []
        for line in lines:
            if not line:
                self._dispatch(events)
            else:
                self._line(line)
        self._keep(rest)
        return events

    def _keep(self, piece: bytes) -> None:
        self._partial_bytes += len(piece)
        if self._partial_bytes > self._line_cap:
            raise self._too_long()
        if piece:
            self._partial.append(piece)

    def _too_long(self) -> AgentProtocol:
        return AgentProtocol("the event stream has a line over its cap", detail=f"more than {self._line_cap} bytes")

    def _line(self, line: bytes) -> None:
        if len(line) > self._line_cap:
            raise self._too_long()
        if self._is_first_line:
            self._is_first_line = False
            line = line.removeprefix(_BOM)
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data_bytes += len(value) + 1
            if self._data_bytes > self._event_cap:
                raise AgentProtocol("the event stream has an event over its cap", detail=f"more than {self._event_cap} bytes")
            self._data.append(value)
        elif name == b"event":
            self._name = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._last_id = value.decode("utf-8", "replace")

    def _dispatch(self, events: list[SseEvent]) -> None:
        self._is_first_line = False
        data, name = self._data, self._name
        self._data, self._data_bytes, self._name = [], 0, ""
        if data:
            events.append(SseEvent(b"\n".join(data).decode("utf-8", "replace"), name or "message", self._last_id))
