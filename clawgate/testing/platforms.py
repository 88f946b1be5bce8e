"""A platform's API in memory: a real Agent against a real Site, no sockets. Ring: testing."""

from __future__ import annotations

from typing import Any

import msgspec
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure
from twisted.web.client import ResponseNeverReceived
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from clawgate.channels.kinds import build_channels
from clawgate.domain.settings.model import ChannelsSettings, Settings
from clawgate.ports.channels import Channel
from clawgate.testing.clock import ManualClock


class Call(msgspec.Struct, frozen=True):
    """One request as the platform saw it."""

    method: str
    uri: str
    host: str
    authorization: str
    content_type: str
    body: Any  # Any: whatever JSON was sent; None when there was none
    headers: dict[str, str] = {}
    """All of them, names in lower case."""


class Platform(Resource):
    """Records calls and answers with the next of `answers`: status, body and headers; `None` = never."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's Resource has no types
        self.calls: list[Call] = []
        self.answers: list[tuple[int, bytes, dict[str, str]] | None] = []
        self.agent = RequestTraversalAgent(self)

    def answer(self, status: int, body: bytes = b"{}", **headers: str) -> None:
        """Queues an answer; `retry_after="5"` is the header Retry-After."""
        self.answers.append((status, body, headers))

    def render(self, request: Request) -> Any:  # Any: Twisted's bytes or NOT_DONE_YET
        """Any method, any path."""

        def header(name: str) -> str:
            return request.getHeader(name) or ""

        content = msgspec.json.decode((request.content.read() if request.content is not None else b"") or b"null")
        lines = request.requestHeaders.getAllRawHeaders()
        headers = {name.decode().lower(): values[0].decode() for name, values in lines}
        self.calls.append(
            Call(request.method.decode(), request.uri.decode(), header("host"), header("authorization"), header("content-type"), content, headers)
        )
        answer = self.answers.pop(0)
        if answer is None:
            return NOT_DONE_YET
        status, body, headers = answer
        request.setResponseCode(status)
        for name, value in headers.items():
            request.setHeader(name.replace("_", "-"), value)
        return body


@implementer(IAgent)
class BrokenAgent:
    """Every request fails in the given way; `None` = it hangs until it is cancelled."""

    def __init__(self, problem: Exception | None) -> None:
        self._problem = problem

    def request(self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None) -> Deferred[IResponse]:
        """Fails or hangs."""
        return fail(self._problem) if self._problem is not None else Deferred()


def lost(*reasons: BaseException) -> ResponseNeverReceived:
    """What an Agent errbacks with when a connection ends before the answer."""
    return ResponseNeverReceived([Failure(reason) for reason in reasons])


def build(settings: ChannelsSettings, agent: IAgent, name: str, clock: ManualClock | None = None) -> Channel:
    """The channel of these settings, talking to `agent`."""
    clock = clock or ManualClock()
    return build_channels(Settings(channels_config=settings), clock.reactor, clock, agent)[name]  # type: ignore[arg-type]  # nothing is connected
