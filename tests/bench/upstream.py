"""A canned model server: OpenAI's chat completions, each answered at once with the same words. A process of its own on the load's core.

`python upstream.py` prints its port. Paths:
- `/v1/chat/completions` answers whole, whether or not a stream was asked for;
- `/sse/v1/chat/completions` streams: the first words at once, the others after `GAP_SECONDS`.
"""

from __future__ import annotations

import asyncio
import json

WORDS = ("All ", "is ", "well", ".")
GAP_SECONDS = 0.005
_BASE = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": "canned"}
_USAGE = {"prompt_tokens": 12, "completion_tokens": 4, "total_tokens": 16}
_CHOICE = {"index": 0, "message": {"role": "assistant", "content": "".join(WORDS)}, "finish_reason": "stop"}
_BODY = json.dumps({**_BASE, "object": "chat.completion", "choices": [_CHOICE], "usage": _USAGE}).encode()
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_BODY) + _BODY
_STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def _event(**fields: object) -> bytes:
    data = b"data: " + json.dumps({**_BASE, "object": "chat.completion.chunk", **fields}).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


def _delta(text: str) -> bytes:
    return _event(choices=[{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}])


_END = _event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]) + _event(choices=[], usage=_USAGE) + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
FIRST = _STREAM + _delta(WORDS[0])
REST = b"".join(map(_delta, WORDS[1:])) + _END


class Canned(asyncio.Protocol):
    """One connection; requests come one after another, with Content-Length or chunked."""

    def __init__(self) -> None:
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._seen += data
        while (end := _request_end(self._seen)) is not None:
            is_stream = self._seen.startswith(b"POST /sse/")
            self._seen = self._seen[end:]
            if is_stream:
                self._transport.write(FIRST)
                asyncio.get_running_loop().call_later(GAP_SECONDS, self._transport.write, REST)
            else:
                self._transport.write(WHOLE)


def _request_end(seen: bytes) -> int | None:
    """Where the first request ends, when it is all there."""
    head = seen.find(b"\r\n\r\n") + 4
    if head < 4:
        return None
    lower = seen[:head].lower()
    if b"transfer-encoding: chunked" in lower:
        last = seen.find(b"0\r\n\r\n", head)  # the bodies that are sent here have no such bytes of their own
        return last + 5 if last >= 0 else None
    _, named, length = lower.partition(b"content-length:")
    end = head + (int(length.split(b"\r\n", 1)[0]) if named else 0)
    return end if len(seen) >= end else None


async def main() -> None:
    """Serves until it is ended."""
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
