"""Signed deliveries, from the request to a message for the one road. Ring: services.

Source: webhook-signatures.md §1; design §4.3, §4.5; advisories.md theme 5.

    unknown hook · signature · limit · what a platform wants answered at once · body · message

A signature is checked whatever the limits say, and genuine deliveries are counted apart from others: whoever cannot sign cannot use up the sender's share,
not even from behind the same proxy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec

from clawgate.domain import hooks
from clawgate.domain.caller import Peer
from clawgate.domain.errors import NoSecret, NotFound, RateLimited, Unauthenticated
from clawgate.domain.hooks import Template
from clawgate.domain.idempotency import from_signature
from clawgate.domain.messages import Inbound, TurnOptions
from clawgate.domain.ratelimit import WINDOW_SECONDS, SlidingWindow
from clawgate.domain.settings.hooks import options_of, template_of
from clawgate.domain.settings.model import HookSettings
from clawgate.domain.signing.registry import SCHEMES
from clawgate.domain.signing.scheme import Delivery, Options, Scheme, Verified
from clawgate.ports.clock import Clock
from clawgate.ports.events import Meter

LIMITER = "hook"


class Hook(msgspec.Struct, frozen=True):
    """A hook as it is configured now.

    Attributes:
        scheme, options: how its deliveries are signed.
        keys: what may have signed; None = nothing that the scheme could use.
        template, turn: what its messages are made of, and asked with.
        genuine, others: what it has let in and turned away, by client.
    """

    name: str
    settings: HookSettings
    scheme: Scheme
    options: Options
    keys: object
    template: Template
    turn: TurnOptions | None
    genuine: SlidingWindow
    others: SlidingWindow

    def __repr__(self) -> str:
        return f"Hook({self.name!r})"  # not its keys

    @property
    def is_sync(self) -> bool:
        """Whether its sender waits for the answer."""
        return self.settings.respond == "sync"

    @property
    def says_ok(self) -> bool:
        """Whether its sender takes a 200 only: to some, a 202 is a failure."""
        return self.settings.respond == "ok"


class Hooks(msgspec.Struct):
    """What `[hooks.*]` says now."""

    configured: Callable[[], Mapping[str, HookSettings]]
    max_keys: int
    clock: Clock
    meter: Meter
    _known: dict[str, Hook] = {}

    def find(self, name: str) -> Hook:
        """The hook of a name. Raises NotFound."""
        found = self.configured().get(name)
        if found is None:
            raise NotFound("hook")
        known = self._known.get(name)
        return known if known is not None and known.settings is found else self._read(name, found)

    def cap(self, name: str) -> int:
        """The largest body of a hook, in bytes; 0 where there is none of that name."""
        found = self.configured().get(name)
        return found.max_body_bytes if found is not None else 0

    def verify(self, hook: Hook, delivery: Delivery, peer: Peer) -> Verified:
        """What the signature of a delivery proves.

        Raises:
            NoSecret: nothing could prove anything. Unauthenticated: it is not genuine. RateLimited: this client has sent too many, of its kind.
        """
        keys = hook.keys
        try:
            if keys is None:
                keys = hook.scheme.keys_of(hook.settings.secrets, hook.options)
            verified = hook.scheme.prove(delivery, keys, hook.options, self.clock.wall_ms() / 1000)
        except (NoSecret, Unauthenticated):
            self.meter.count("auth_failures_total", "/hooks")
            self._count(hook.others, peer)
            raise
        self._count(hook.genuine, peer)
        return verified

    def message(self, hook: Hook, verified: Verified, body: bytes, content_type: str) -> Inbound:
        """What a genuine delivery asks of the agent.

        Raises:
            UnsupportedMedia, BadRequest: the body cannot be read, or has nothing to ask. TooLarge: the message would be.
        """
        template = hook.template
        value = hooks.read(body, content_type)
        tolerance = hook.options.tolerance_seconds if verified.sent_at is not None else None
        return Inbound(
            source="hook",
            principal=f"hook:{hook.name}",
            text=hooks.prompt(hook.name, template, value),
            conversation=hooks.conversation(hook.name, template, value),
            dedupe=from_signature(hook.name, signed_id=verified.id, digest=verified.digest, tolerance_seconds=tolerance),
            options=hook.turn,
        )

    def _read(self, name: str, settings: HookSettings) -> Hook:
        """A hook that is new, or configured anew, which keeps its counts; those of names that are there no longer are forgotten."""
        scheme, options, keys = SCHEMES[settings.verify], options_of(settings), None
        with suppress(NoSecret):
            keys = scheme.keys_of(settings.secrets, options)
        turn = TurnOptions(skill=settings.skill) if settings.skill else None
        hook = Hook(name, settings, scheme, options, keys, template_of(settings), turn, *self._windows(name, settings.rate_limit_per_minute))
        configured = self.configured()
        self._known = {other: known for other, known in self._known.items() if other in configured} | {name: hook}
        return hook

    def _count(self, window: SlidingWindow, peer: Peer) -> None:
        if not window.allow(peer.client, self.clock.monotonic()):
            raise RateLimited(LIMITER, int(WINDOW_SECONDS))

    def _windows(self, name: str, limit: int) -> tuple[SlidingWindow, SlidingWindow]:
        known = self._known.get(name)
        if known is None:
            return SlidingWindow(limit, self.max_keys), SlidingWindow(limit, self.max_keys)
        known.genuine.limit = known.others.limit = limit
        return known.genuine, known.others
