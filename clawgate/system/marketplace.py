"""A marketplace of skills over HTTP. Ring: system edge; implements `ports.skills.Marketplace`. Source: docs/howto/skills.md; design §3 (HTTP client).

The operator names the server in `[skills] marketplace_url`; nothing else is ever asked: no redirects, no archives elsewhere. Bodies have a cap, both calls a
deadline.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse

from clawgate.domain.skills import Candidate, Reference, SkillSourceFailed
from clawgate.ports.clock import Clock
from clawgate.services.deadlines import Expired, within
from clawgate.system.marketplace_wire import archive_url, decode_matches, look_up_url

_log = Logger()
CONNECT_SECONDS, LOOK_UP_SECONDS, DOWNLOAD_SECONDS = 10.0, 15.0, 120.0
_MOST_LIST_BYTES = 256 * 1024


class HttpMarketplace(msgspec.Struct, eq=False):
    """Asks one server.

    Attributes:
        base: `[skills] marketplace_url` as it is now; "" = there is none.
        max_bytes: of an archive.
        agent: None = one of its own, without kept connections.
    """

    reactor: Any  # the reactor offers some fifteen interfaces; there is no intersection type
    clock: Clock
    base: Callable[[], str]
    max_bytes: Callable[[], int]
    agent: IAgent | None = None

    def look_up(self, wanted: Reference) -> Deferred[tuple[Candidate, ...]]:
        """See `Marketplace.look_up`."""
        return Deferred.fromCoroutine(self._look_up(wanted))

    def download(self, chosen: Candidate) -> Deferred[bytes]:
        """See `Marketplace.download`."""
        return Deferred.fromCoroutine(self._download(chosen))

    async def _look_up(self, wanted: Reference) -> tuple[Candidate, ...]:
        base = self.base()
        if not base:
            raise SkillSourceFailed("no marketplace is configured; set [skills] marketplace_url")
        status, body = await self._get(look_up_url(base, wanted), _MOST_LIST_BYTES, LOOK_UP_SECONDS)
        return () if status == 404 else decode_matches(_good(status, body), wanted)

    async def _download(self, chosen: Candidate) -> bytes:
        url = archive_url(self.base(), chosen.url)
        body = _good(*await self._get(url, self.max_bytes(), DOWNLOAD_SECONDS))
        if chosen.sha256 and hashlib.sha256(body).hexdigest() != chosen.sha256.strip().lower():
            raise SkillSourceFailed("the archive is not the one that the marketplace promised")
        return body

    async def _get(self, url: str, cap_bytes: int, seconds: float) -> tuple[int, bytes]:
        try:
            return await within(Deferred.fromCoroutine(self._exchange(url, cap_bytes)), seconds, self.clock)
        except Expired:
            raise SkillSourceFailed("the marketplace did not answer in time") from None
        except (CancelledError, SkillSourceFailed):
            raise
        except Exception as problem:
            _log.warn("the marketplace cannot be asked: {problem}", problem=repr(problem))
            raise SkillSourceFailed("the marketplace cannot be reached", detail=repr(problem)) from None

    async def _exchange(self, url: str, cap_bytes: int) -> tuple[int, bytes]:
        import treq  # imported at the first call: nobody pays for it who installs nothing
        from twisted.web.client import Agent

        if self.agent is None:
            self.agent = Agent(self.reactor, connectTimeout=CONNECT_SECONDS)
        headers = Headers({b"User-Agent": [b"clawgate"], b"Accept-Encoding": [b"identity"]})
        response = await treq.get(
            url, headers=headers, agent=self.agent, allow_redirects=False, unbuffered=True, browser_like_redirects=False, reactor=self.reactor
        )
        return response.code, await _body(response, cap_bytes)


def _good(status: int, body: bytes) -> bytes:
    if status != 200:
        raise SkillSourceFailed(f"the marketplace answered {status}")
    return body


def _body(response: IResponse, cap_bytes: int) -> Deferred[bytes]:
    """The whole body; cancelling closes the connection."""
    reading = _Body(cap_bytes)
    response.deliverBody(reading)
    return reading.whole


class _Body(Protocol):
    """Collects a body up to a cap."""

    def __init__(self, cap_bytes: int) -> None:
        self.whole: Deferred[bytes] = Deferred(lambda _: self._close())
        self._left, self._pieces = cap_bytes, list[bytes]()

    def dataReceived(self, data: bytes) -> None:
        """One more piece."""
        self._left -= len(data)
        if self._left >= 0:
            self._pieces.append(data)
        elif not self.whole.called:
            self.whole.errback(SkillSourceFailed("the marketplace's answer is too large"))
            self._close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The end, good or bad."""
        if self.whole.called:
            return
        from twisted.web.client import ResponseDone  # as above

        if reason.check(ResponseDone, PotentialDataLoss):
            self.whole.callback(b"".join(self._pieces))
        else:
            self.whole.errback(reason)

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()
