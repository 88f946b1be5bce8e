"""Which caller a token stands for. Ring: services. Source: design §4.9–4.10, GHSA-xmxx-7p24-h892 (resolved per request, never captured).

Recently used devices are kept in a bounded map, so a request with a known token costs one SHA-256 and no I/O. Whoever changes a device calls `forget`; a read
that was under way when that happened is not believed (`_generation`), so a revoked token is dead at once.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec
from twisted.logger import Logger

from clawgate.domain.caller import ALL_SCOPES, OPEN, Caller
from clawgate.domain.devices import Device
from clawgate.domain.errors import StoreUnavailable
from clawgate.domain.tokens import token_hash
from clawgate.ports.clock import Clock
from clawgate.ports.stores import Devices

_MAX_KNOWN = 10_000
_SEEN_EVERY_MS = 60_000
_log = Logger()


class Access(msgspec.Struct):
    """Turns credentials into callers."""

    devices: Devices
    clock: Clock
    require_pairing: bool
    _known: OrderedDict[str, Device] = msgspec.field(default_factory=OrderedDict)
    _seen: dict[str, int] = {}
    _generation: int = 0

    async def identify(self, token: str | None, client: str) -> Caller | None:
        """The caller of a bearer token, or None when it opens nothing.

        Args:
            token: the presented text, None when there was none.
            client: the client key, carried into the caller.

        Raises:
            StoreUnavailable: the token is not in memory and the store cannot be read; the request is refused, not let in.
        """
        if not self.require_pairing:
            return Caller(OPEN, ALL_SCOPES, client)
        if token is None:
            return None
        hashed = token_hash(token)
        device = self._known.get(hashed) or await self._look_up(hashed)
        now_ms = self.clock.wall_ms()
        if device is None or not device.is_alive(now_ms):
            return None
        if now_ms - self._seen.get(device.id, device.last_seen_ms) >= _SEEN_EVERY_MS and len(self._seen) < _MAX_KNOWN:
            self._seen[device.id] = now_ms
        return Caller(device.id, device.scopes, client, device.expires_ms)

    def remembers(self, token: str | None) -> bool:
        """Whether this token opened something lately and still does; says nothing about others."""
        if not self.require_pairing:
            return True
        device = self._known.get(token_hash(token)) if token is not None else None
        return device is not None and device.is_alive(self.clock.wall_ms())

    def forget(self, hashed: str) -> None:
        """The device behind this hash has changed: the next request reads it anew."""
        self._generation += 1
        self._known.pop(hashed, None)

    async def write_last_seen(self) -> None:
        """Stores when devices were last seen; called now and then, not per request."""
        seen, self._seen = self._seen, {}
        if not seen:
            return
        try:
            await self.devices.touch(seen)
        except StoreUnavailable as problem:
            _log.warn("last-seen times were not stored: {problem}", problem=problem.detail)

    async def _look_up(self, hashed: str) -> Device | None:
        generation = self._generation
        device = await self.devices.by_hash(hashed)
        while generation != self._generation:
            generation = self._generation
            device = await self.devices.by_hash(hashed)
        if device is not None and not device.revoked_ms:
            self._known[hashed] = device
            if len(self._known) > _MAX_KNOWN:
                self._known.popitem(last=False)
        return device
