"""A paired device: one token and what it may do. Ring: domain. Source: construct-realtime.md §1.5, zeroclaw.md B4, design §4.9–4.10."""

from __future__ import annotations

import msgspec

from clawgate.domain.caller import ALL_SCOPES, Scope


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One credential and its owner.

    Attributes:
        id: the name others know it by. Rotating its token revokes it: whoever pairs with the code is a new device with a new id.
        token_hash: 64 lower-case hexadecimal digits; never leaves the daemon but for `[gateway] paired_tokens`.
        device_type: what the client said it is, or what the rotated device was; "legacy-pair" from `/pair`, "legacy" from an imported hash.
        scopes: bound at pairing and never changed; a re-paired device has those of the old one at most.
        expires_ms: 0 = never.
        revoked_ms: 0 = alive. A revoked row stays, so that an old file cannot bring its hash back (design §4.10).
        mirrored: its hash has been written to config.toml; if it is missing there later, somebody deleted it by hand.
    """

    id: str
    token_hash: str
    name: str | None = None
    device_type: str | None = None
    scopes: frozenset[Scope] = ALL_SCOPES
    paired_ms: int = 0
    last_seen_ms: int = 0
    ip_address: str | None = None
    expires_ms: int = 0
    revoked_ms: int = 0
    mirrored: bool = False

    def is_alive(self, now_ms: int) -> bool:
        """Whether its token opens anything."""
        return not self.revoked_ms and (not self.expires_ms or now_ms < self.expires_ms)
