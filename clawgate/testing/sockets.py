"""A WebSocket client for a gateway in memory. Ring: testing; public, for other people's test suites too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from clawgate.testing.gateway import MemoryGateway

_ROUNDS = 20


class SocketClient:
    """One connection.

    Attributes:
        status: of the handshake: 101, or the refusal's.
        body: the refusal's.
        received: whole messages, in order.
        pings: how often the gateway asked whether we are there.
    """

    def __init__(
        self,
        gate: MemoryGateway,
        path: str,
        *,
        token: str = "",
        subprotocols: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        peer: str = "203.0.113.9",
        answers_pings: bool = True,
    ) -> None:
        self._gate, self._answers_pings = gate, answers_pings
        self.status, self.body = 0, b""
        self.received: list[str | bytes] = []
        self.pings = 0
        self._pieces: list[bytes] = []
        self._is_text = True
        self._wire = ClientProtocol(
            parse_uri(f"ws://{'localhost' if peer in ('127.0.0.1', '::1') else 'gate.internal'}{path}"),
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            max_size=None,
        )
        request = self._wire.connect()
        for name, value in (({"Authorization": f"Bearer {token}"} if token else {}) | dict(headers or {})).items():
            request.headers[name] = value
        self._wire.send_request(request)
        self._pending = gate.client.send(b"".join(self._wire.data_to_send()), peer)
        self._seen, self._is_over = 0, False
        self.pump()

    @property
    def close_code(self) -> int | None:
        """The code of the goodbye; None = still open."""
        return self._wire.close_code

    @property
    def subprotocol(self) -> str | None:
        """The one that the gateway chose."""
        return self._wire.subprotocol

    @property
    def json(self) -> list[Any]:  # JSON
        """The messages received so far, decoded."""
        return [msgspec.json.decode(message) for message in self.received]

    def send(self, message: str | bytes | Mapping[str, object]) -> None:
        """Sends a message; an object as JSON text."""
        if isinstance(message, bytes):
            self._wire.send_binary(message)
        else:
            self._wire.send_text(message.encode() if isinstance(message, str) else msgspec.json.encode(message))
        self._out()

    def raw(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self._pending.feed(data)
        self.pump()

    def close(self, code: int = 1000) -> None:
        """Says goodbye."""
        self._wire.send_close(code)
        self._out()

    def leave(self) -> None:
        """The connection breaks."""
        self._pending.leave()
        self.pump()

    def fall_silent(self) -> None:
        """Says nothing more, not even to pings; the connection stays."""
        self._answers_pings = False

    def stall(self) -> None:
        """Takes nothing more: what is sent waits in the gateway."""
        self._pending.pause()

    def resume(self) -> None:
        """Takes what waited, and more."""
        self._pending.resume()
        self.pump()

    def pump(self) -> None:
        """Lets happen what needs no time, and reads what came of it."""
        for _ in range(_ROUNDS):
            self._gate.pump()
            if not self._read():
                return

    def _read(self) -> bool:
        """Whether anything came or went."""
        raw = self._pending.raw
        data, self._seen = raw[self._seen :], len(raw)
        if data:
            self._wire.receive_data(data)
        has_ended = self._pending.is_over and not self._is_over
        if has_ended:
            self._is_over = True
            self._wire.receive_eof()
        for event in self._wire.events_received():
            self._event(event)
        reply = b"".join(self._wire.data_to_send()) if self._answers_pings and self.status == 101 else b""
        if reply:
            self._pending.feed(reply)
        return bool(data or reply or has_ended)

    def _out(self) -> None:
        self._pending.feed(b"".join(self._wire.data_to_send()))
        self.pump()

    def _event(self, event: object) -> None:
        if isinstance(event, Response):
            self.status, self.body = event.status_code, bytes(event.body or b"")
        elif isinstance(event, Frame):
            self._frame(event)

    def _frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PING:
            self.pings += 1
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if frame.opcode is not Opcode.CONT:
            self._is_text, self._pieces = frame.opcode is Opcode.TEXT, []
        self._pieces.append(bytes(frame.data))
        if frame.fin:
            whole = b"".join(self._pieces)
            self.received.append(whole.decode() if self._is_text else whole)
