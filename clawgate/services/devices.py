"""Paired devices: adding, revoking, and their mirror in config.toml. Ring: services. Source: design §4.9–4.10, construct-realtime.md §1.

The store is the truth. `[gateway] paired_tokens` mirrors it: a hash deleted there by hand revokes; a hash that the store has revoked stays revoked even if an
old file brings it back. The mirror is bounded, since a list is read and written whole: beyond `MOST_MIRRORED` devices, further ones stand in the store alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import msgspec
from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from clawgate.domain.audit import FILES, GATEWAY, Action
from clawgate.domain.caller import Scope
from clawgate.domain.devices import Device
from clawgate.domain.errors import GatewayError, NotFound
from clawgate.domain.tokens import earliest, new_token, stored_hash, token_hash
from clawgate.ports.audit import Recorder
from clawgate.ports.clock import Clock, Entropy, Ids
from clawgate.ports.config import TokenMirror
from clawgate.ports.stores import Devices as DeviceRows
from clawgate.services.access import Access
from clawgate.services.audit import NOT_RECORDED
from clawgate.services.deadlines import Expired, within

_log = Logger()
MIRROR_SECONDS = 10.0
"""What somebody who pairs, or revokes, waits for the file at most."""
MOST_MIRRORED = 1_000
"""Hashes that we put into config.toml; writing more of them takes a quarter of a second and more each time. A longer list that was there before stays."""


class Issued(msgspec.Struct, frozen=True):
    """A new token, shown once; `persisted` tells whether config.toml holds what it should."""

    token: str
    device: Device
    persisted: bool


class Devices(msgspec.Struct):
    """The paired devices of this gateway.

    Attributes:
        revoked: told the id of a device whose token has died, so that its live connections can be ended.
    """

    rows: DeviceRows
    access: Access
    mirror: TokenMirror
    clock: Clock
    entropy: Entropy
    ids: Ids
    token_prefix: str
    revoked: Callable[[str], None] = lambda device_id: None
    audit: Recorder = NOT_RECORDED
    _lock: DeferredLock = msgspec.field(default_factory=DeferredLock)
    _paired_until_ms: float = 0
    _writes: int = 0

    async def add(
        self,
        *,
        name: str | None,
        device_type: str | None,
        scopes: frozenset[Scope],
        ttl_seconds: int,
        until_ms: int = 0,
        address: str,
        by: str = GATEWAY,
    ) -> Issued:
        """A new device with a fresh token.

        Args:
            ttl_seconds: life of the token, 0 = for ever.
            until_ms: its end at the latest, 0 = none.
            address: the client key it came from.
            by: principal who let it in.

        Raises:
            StoreUnavailable: nothing was stored, no token exists.
        """
        now_ms = self.clock.wall_ms()
        token = new_token(self.token_prefix, self.entropy.random_bytes(32))
        device = Device(
            id=self.ids.uuid(),
            token_hash=token_hash(token),
            name=name,
            device_type=device_type,
            scopes=scopes,
            paired_ms=now_ms,
            last_seen_ms=now_ms,
            ip_address=address,
            expires_ms=earliest(now_ms + ttl_seconds * 1000 if ttl_seconds else 0, until_ms),
        )
        deed = self.audit.deed(Action.DEVICE_PAIRED, by, device.id, name=name, scopes=sorted(scopes), client=address, expires_ms=device.expires_ms)
        await self.rows.add(device, deed)
        return Issued(token, device, await self._mirrored())

    async def listed(self) -> tuple[Device, ...]:
        """Devices whose token opens something, newest first."""
        return await self.rows.alive(self.clock.wall_ms())

    async def find(self, device_id: str) -> Device:
        """The live device. Raises NotFound."""
        device = await self.rows.by_id(device_id)
        if device is None or not device.is_alive(self.clock.wall_ms()):
            raise NotFound("device", detail=device_id)
        return device

    async def revoke(self, device_id: str, by: str = GATEWAY) -> Device:
        """Kills token and row in one step, also when that cannot be recorded, and tells `revoked`. Raises NotFound."""
        device = await self.find(device_id)
        gone = await self._revoked(device, self.clock.wall_ms(), by)
        await self._mirrored()
        _log.info("device {device} revoked", device=device.id)
        return gone

    async def revoke_all(self, by: str = GATEWAY) -> int:
        """Revokes every device; returns how many."""
        devices, now_ms = await self.listed(), self.clock.wall_ms()
        for device in devices:
            await self._revoked(device, now_ms, by)
        await self._mirrored()
        _log.info("all {count} devices revoked", count=len(devices))
        return len(devices)

    @property
    def is_paired(self) -> bool:
        """Whether any token that was known when devices last changed opens something now; costs nothing, for `/health`."""
        return self.clock.wall_ms() < self._paired_until_ms

    async def any_paired(self) -> bool:
        """Whether any token opens something now."""
        await self._note_paired()
        return self.is_paired

    @property
    def writes(self) -> int:
        """How often the list has been written to the file; one that was read before the last time is an old one."""
        return self._writes

    async def adopt(self, entries: tuple[str, ...], *, list_present: bool, writes: int | None = None) -> None:
        """Brings store and `paired_tokens` together, at start and when the file changed.

        Args:
            entries: hashes, or plain tokens of old files.
            list_present: whether the file has the list at all; if not, nothing is taken as deleted.
            writes: `writes` from before the file was read; None = as they are now.
        """
        await self._lock.run(self._adopt, entries, list_present, self._writes if writes is None else writes)

    async def _adopt(self, entries: tuple[str, ...], list_present: bool, writes: int) -> None:
        in_file, now_ms = {stored_hash(entry) for entry in entries}, self.clock.wall_ms()
        # What we have written since is missing in an old list, and nobody has deleted it; the watch on the file brings the list that we left.
        is_old = writes != self._writes
        if not is_old:
            self.mirror.acknowledge(tuple(sorted(in_file)))
        for hashed in sorted(in_file - await self.rows.known(in_file)):
            imported = Device(id=self.ids.uuid(), token_hash=hashed, device_type="legacy", paired_ms=now_ms, last_seen_ms=now_ms, mirrored=True)
            await self.audit.despite(self.audit.deed(Action.DEVICE_IMPORTED, FILES, imported.id), partial(self.rows.add, imported))
        if list_present and not is_old:
            await self._revoke_deleted(in_file, now_ms)
        await self._note_paired()
        listed = await self.rows.to_mirror(now_ms, MOST_MIRRORED)
        is_mirrored = {device.token_hash for device in listed} == in_file and all(device.mirrored for device in listed)
        if not is_mirrored or any(entry not in in_file for entry in entries):
            await self._write_mirror()

    async def _revoke_deleted(self, in_file: set[str], now_ms: int) -> None:
        for device in await self.rows.to_mirror(now_ms, 0):
            if device.token_hash not in in_file:
                await self._revoked(device, now_ms, FILES)
                _log.warn("device {device} revoked: its hash was removed from [gateway] paired_tokens", device=device.id)

    async def _revoked(self, device: Device, now_ms: int, by: str) -> Device:
        gone = msgspec.structs.replace(device, revoked_ms=now_ms)
        deed = self.audit.deed(Action.DEVICE_REVOKED, by, device.id, name=device.name)
        await self.audit.despite(deed, partial(self.rows.replace, gone))
        self._killed(device)
        return gone

    async def _note_paired(self) -> None:
        until_ms = await self.rows.paired_until(self.clock.wall_ms())
        self._paired_until_ms = 0 if until_ms is None else until_ms or math.inf

    def _killed(self, device: Device) -> None:
        self.access.forget(device.token_hash)
        self.revoked(device.id)

    async def _mirrored(self) -> bool:
        """Writes the hashes to config.toml, one writer at a time; a file that cannot be written costs the mirror, never the token."""
        return bool(await self._lock.run(self._write_mirror))

    async def _write_mirror(self) -> bool:
        await self._note_paired()
        listed = await self.rows.to_mirror(self.clock.wall_ms(), MOST_MIRRORED)
        try:
            await within(self.mirror.write(frozenset(device.token_hash for device in listed)), MIRROR_SECONDS, self.clock)
        except Expired:  # a disk that hangs; it may be written yet, and is marked when the list is next taken up
            _log.warn("[gateway] paired_tokens was not written within {seconds} s. Check the disk it is on.", seconds=MIRROR_SECONDS)
            return False
        except (GatewayError, OSError) as problem:
            _log.warn("[gateway] paired_tokens was not written: {problem}. Check the path and its permissions.", problem=str(problem))
            return False
        self._writes += 1
        await self._mark_mirrored([device for device in listed if not device.mirrored])
        return True

    async def _mark_mirrored(self, devices: list[Device]) -> None:
        """What cannot be marked is marked when the list is next taken up."""
        if not devices:
            return
        try:
            await self.rows.mark_mirrored([device.id for device in devices])
        except GatewayError as problem:
            _log.info("{count} devices are not marked as written: {problem}", count=len(devices), problem=str(problem))
        for device in devices:
            self.access.forget(device.token_hash)
