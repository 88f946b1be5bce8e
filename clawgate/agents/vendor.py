"""A vendor over HTTP: one dialect on the shared client. Ring: agents. Source: design §5.

The stream is parsed as it comes; an answer that is JSON although a stream was asked for is read whole. A status other than 200 is an error in the vendor's
own words, which stay in `.detail` with the key blotted out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from clawgate.agents.http_exchange import HeaderLookup, Receiver
from clawgate.agents.vendor_wire import ERROR_BODY_CAP_BYTES, Call, Decoder, Dialect, Piece, cut_short, error_of, retry_after
from clawgate.domain.errors import AgentAuth, AgentError, AgentProtocol
from clawgate.domain.secret import Secret
from clawgate.domain.sse import SseParser
from clawgate.domain.turn import Completion, Prompt, Thought, ToolCall, Usage
from clawgate.ports.agents import Sink
from clawgate.ports.clock import Clock


class Poster(Protocol):
    """What sends: `HttpClient`."""

    def post(self, path: str, headers: dict[str, str], body: bytes, receiver: Receiver) -> Deferred[None]:
        """Sends and feeds the receiver."""

    def stop(self) -> Deferred[None]:
        """Closes everything."""


def tell(sink: Sink, pieces: Iterable[Piece]) -> None:
    """Hands pieces to a sink, each by its kind."""
    for piece in pieces:
        if isinstance(piece, str):
            sink.delta(piece)
        elif isinstance(piece, Thought):
            sink.thought(piece.text)
        elif isinstance(piece, ToolCall):
            sink.tool_call(piece)
        elif isinstance(piece, Usage):
            sink.usage(piece)


class VendorBackend(msgspec.Struct):
    """An `AgentBackend` for one vendor.

    Attributes:
        key: None for servers without one.
        key_remedy: what an operator without a key should do; "" = the server needs none.
        takes_tools: False for a server that refuses requests with tools.
    """

    name: str
    default_model: str
    http: Poster
    dialect: Dialect
    clock: Clock
    key: Secret | None = None
    key_remedy: str = ""
    takes_tools: bool = True
    reads_context: bool = True

    def run(self, prompt: Prompt, sink: Sink) -> Deferred[Completion]:
        """Answers `prompt`. Errbacks with an `AgentError`; cancelling aborts the connection."""
        if self.key_remedy and not self.key:
            return fail(AgentAuth("the provider needs a key", detail=self.key_remedy))
        key = self.key.reveal().strip() if self.key else ""
        model = prompt.model or self.default_model
        try:
            call: Call = self.dialect.call(prompt, model, key)
        except Exception:
            return fail(Failure())
        reader = AnswerReader(self.dialect.decoder(), sink, self.clock)
        posted = self.http.post(call.path, call.headers, call.body, reader)
        return posted.addCallback(_read, reader, model).addErrback(_without, key)  # every turn comes by here: no coroutine for one wait

    def start(self) -> Deferred[None]:
        """Nothing to do: connections open with the first request."""
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """Closes its connections."""
        return self.http.stop()


class AnswerReader:
    """A `Receiver` that reads a vendor's answer into a sink."""

    def __init__(self, decoder: Decoder, sink: Sink, clock: Clock) -> None:
        self._decoder, self._sink, self._clock = decoder, sink, clock
        self._parser: SseParser | None = None
        self._status = 0
        self._retry_after: float | None = None
        self._body = bytearray()

    def head(self, status: int, header: HeaderLookup) -> None:
        """Decides how the body is read."""
        self._status = status
        if status != 200:
            self._retry_after = retry_after(header("retry-after"), header("retry-after-ms"), self._clock.wall_ms() / 1000)
            return
        if (header("content-encoding") or "identity").strip().lower() != "identity":
            raise AgentProtocol("the provider compresses its answer although it was not asked to")
        kind = (header("content-type") or "").partition(";")[0].strip().lower()
        if kind != "application/json":
            self._parser = SseParser()

    def data(self, chunk: bytes) -> None:
        """The next bytes."""
        if self._parser is not None:
            for event in self._parser.feed(chunk):
                tell(self._sink, self._decoder.event(event))
        elif self._status == 200:
            self._body += chunk
        else:
            self._body += chunk[: max(0, ERROR_BODY_CAP_BYTES - len(self._body))]

    def is_complete(self) -> bool:
        """An error needs no more than what came with its head."""
        return self._status != 200 or self._decoder.is_complete()

    def finish(self) -> Completion:
        """The answer, when the body has ended.

        Raises:
            AgentError: what the vendor reports; `AgentProtocol` when the answer is not whole.
        """
        if self._status != 200:
            raise error_of(self._status, bytes(self._body), self._retry_after)
        if self._parser is None:
            if not self._body:
                raise cut_short()
            tell(self._sink, self._decoder.whole(bytes(self._body)))
        return self._decoder.completion()


def _read(_: None, reader: AnswerReader, model: str) -> Completion:
    """What was answered, with the model that was asked for where the vendor names none."""
    completion = reader.finish()
    return completion if completion.model else msgspec.structs.replace(completion, model=model)


def _without(failure: Failure, key: str) -> Failure:
    """The failure, without the key."""
    if key and isinstance(failure.value, AgentError):
        failure.value.detail = failure.value.detail.replace(key, "***")
    return failure
