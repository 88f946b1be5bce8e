"""`POST /hooks/{name}`: signed deliveries of other people's systems. Ring: edge (web). Source: webhook-signatures.md §1; design §4.3, §4.5.

Order of checks: cap 413 (the resource's) · hook 404 · signature over the raw bytes 401 · the hook's limit 429 · body 415, 400. What a platform asks of the
address itself (a challenge, a ping) is answered at once, without a turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec
from twisted.logger import Logger

from clawgate.domain.errors import NoSecret, NotFound, Unauthenticated
from clawgate.domain.signing.scheme import Delivery, Reply, Verified
from clawgate.services.hooks import Hook, Hooks
from clawgate.web.answers import Answer
from clawgate.web.asking import Asking
from clawgate.web.call import Call, canonical
from clawgate.web.dialects import hooks_wire
from clawgate.web.documented import ANYTHING, JSON, TEXT, documented
from clawgate.web.http_wire import Unreadable
from clawgate.web.request import raw_headers
from clawgate.web.router import Door, Router

_log = Logger()


class HooksSurface(msgspec.Struct):
    """The door for signed deliveries.

    Attributes:
        url_of: the URL that the sender of a request called, as far as the request tells.
    """

    hooks: Hooks
    asking: Asking
    url_of: Callable[[Call], str]

    def register(self, router: Router) -> None:
        """Adds the routes."""
        router.add(
            "POST",
            "/hooks/<name>",
            self.deliver,
            auth=Door.SIGNED,
            dialect=hooks_wire.refusal,
            cap_of=lambda values: self.hooks.cap(str(values["name"])),
            timed=False,
            leaves_with_client=True,
            summary="A signed delivery for `[hooks.NAME]`; 202, or the answer where it responds `sync`",
        )
        router.add(
            "GET",
            "/hooks/<name>",
            self.subscribe,
            auth=Door.SIGNED,
            dialect=hooks_wire.refusal,
            summary="Subscription check of the platforms that have one",
        )

    @documented(takes=ANYTHING, statuses=(200, 202, 500))
    async def deliver(self, call: Call) -> Answer:
        """Promises an outcome, or waits for it."""
        hook = self.hooks.find(str(call.values["name"]))
        verified = self._verified(hook, call)
        if verified.reply is not None:
            return _at_once(verified.reply)
        message = self.hooks.message(hook, verified, call.body, call.header("content-type") or "")
        answer = await self.asking.answer(call, message, waits=hook.is_sync)
        return msgspec.structs.replace(answer, status=200) if answer.status == 202 and hook.says_ok else answer

    @documented(gives=(JSON, TEXT))
    async def subscribe(self, call: Call) -> Answer:
        """What the platform wants to read back; there is nothing else here to GET."""
        hook = self.hooks.find(str(call.values["name"]))
        verified = self._verified(hook, call)
        if verified.reply is None:
            raise NotFound("hook")
        return _at_once(verified.reply)

    def _verified(self, hook: Hook, call: Call) -> Verified:
        delivery = Delivery(call.request.method.decode("ascii"), self._url(hook, call), Headers(raw_headers(call.request)), call.body)
        try:
            return self.hooks.verify(hook, delivery, call.peer)
        except (NoSecret, Unauthenticated) as problem:
            _log.info("{id} hook {hook}: {problem}", id=call.request_id.decode(), hook=hook.name, problem=str(problem))
            raise

    def _url(self, hook: Hook, call: Call) -> str:
        """The hook's own with the query that came: senders add to it what they sign. "" where nobody looks at it."""
        if not hook.scheme.reads_url:
            return ""
        if not hook.settings.url:
            return self.url_of(call)
        _, mark, query = call.request.uri.decode("latin-1").partition("?")
        return hook.settings.url.partition("?")[0] + mark + query


def _at_once(reply: Reply) -> Answer:
    return Answer(reply.status, reply.body, reply.content_type.encode("ascii"))


class Headers(Mapping[str, str]):
    """Those of a request by lower-case name, read when they are asked for: most schemes look at one of many.

    Bytes that are no ASCII stay bytes in a signature, as latin-1 letters.
    """

    def __init__(self, raw: Mapping[bytes, list[bytes]]) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> str:
        try:
            lines = self._raw[canonical(name)]
        except (KeyError, Unreadable, UnicodeEncodeError):
            raise KeyError(name) from None
        return (lines[0] if len(lines) == 1 else b", ".join(lines)).decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1").lower() for name in self._raw)

    def __len__(self) -> int:
        return len(self._raw)
