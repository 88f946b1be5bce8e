"""Who is asking. Ring: domain. Source: design §4.7–4.9.

A caller is bound by the server to a principal and its scopes; nothing that a client sends about itself changes either.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import msgspec

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

UNKNOWN_CLIENT = "unknown"
MOST_HOPS = 64
"""Proxies of ours that a request may have come through: a header of nothing but commas would take long to read."""
OPERATOR, LOCAL, OPEN = "operator", "local", "open"
"""Principals that are no device: the control socket, a loopback peer on a route that allows it, anybody while pairing is off."""
UNBOUND = frozenset({OPERATOR, LOCAL, OPEN})
"""They hold every scope."""


class Scope(StrEnum):
    """What a credential may do; `ADMIN` does not imply the others, a full credential lists all of them."""

    READ = "read"
    CHAT = "chat"
    WRITE = "write"
    APPROVE = "approve"
    TERMINAL = "terminal"
    ADMIN = "admin"


ALL_SCOPES: frozenset[Scope] = frozenset(Scope)


class Caller(msgspec.Struct, frozen=True):
    """One authenticated party.

    Attributes:
        principal: stable name of who owns what is asked: a device id, one of `UNBOUND`, "channel:<name>".
        scopes: what the server bound to it.
        client: the client key of design §4.7, for limits and logs.
        expires_ms: when its credential ends, 0 = never.
    """

    principal: str
    scopes: frozenset[Scope]
    client: str
    expires_ms: int = 0

    def may(self, scope: Scope) -> bool:
        """Whether this caller holds `scope`."""
        return scope in self.scopes

    @property
    def sees_everything(self) -> bool:
        """Whether ownership checks are waived: an administrator looks at anybody's items."""
        return Scope.ADMIN in self.scopes

    @property
    def sees_only(self) -> str | None:
        """The principal whose things exist for this caller; None = everybody's."""
        return None if self.sees_everything else self.principal

    def may_see(self, owner: str | None) -> bool:
        """Whether what belongs to a principal (None = nobody) exists for this caller."""
        return self.sees_everything or owner == self.principal


class Peer(msgspec.Struct, frozen=True):
    """Where a request came from, as the socket and the trusted proxies tell it.

    Attributes:
        client: the client key: an address, an IPv6 /64, or "unknown".
        is_local: the socket peer is loopback, nothing was forwarded, and no tunnel is configured (design §4.8).
        is_operator: it came through the 0600 control socket.
    """

    client: str
    is_local: bool = False
    is_operator: bool = False


def parse_networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """Networks of `gateway.trusted_proxies`.

    Raises:
        ValueError: one of the texts is neither an address nor a network.
    """
    return tuple(ip_network(text, strict=False) for text in texts)


def parse_address(text: str) -> Address | None:
    """One forwarded candidate: bare, quoted, with a port, or in brackets; None when it is no address.

    Source: zeroclaw.md A1.6. IPv4-mapped IPv6 folds into IPv4 (GHSA-5847-rm3g-23mw).
    """
    text = text.strip().strip('"').strip()
    for candidate in (text, _without_port(text), text.removeprefix("[").removesuffix("]")):
        try:
            address = ip_address(candidate)
        except ValueError:
            continue
        return _folded(address)
    return None


def _without_port(text: str) -> str:
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return host if port.startswith(":") and port[1:].isdecimal() else text
    host, colon, port = text.rpartition(":")
    return host if colon and text.count(":") == 1 and port.isdecimal() else text


def _folded(address: Address) -> Address:
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if mapped is not None else address


def client_key(peer: str, forwarded_for: str | None, real_ip: str | None, *, trusted: tuple[Network, ...]) -> str:
    """The key under which a client is limited.

    Args:
        peer: the socket's address, "" when it has none.
        forwarded_for: the `X-Forwarded-For` value, or None.
        real_ip: the `X-Real-IP` value, or None.
        trusted: networks whose word on forwarding is believed; empty means headers are ignored altogether.

    Returns:
        The right-most forwarded address that is not itself a trusted proxy, else the real ip, else the peer; an IPv6 address as its /64;
        "unknown" when there is no peer. This departs from upstream's "first address" on purpose: the left end can be forged (design §4.7).
    """
    address = parse_address(peer)
    if address is not None and trusted and is_in(address, trusted):
        address = _forwarded(forwarded_for, real_ip, trusted) or address
    return bucket(address)


def _forwarded(forwarded_for: str | None, real_ip: str | None, trusted: tuple[Network, ...]) -> Address | None:
    for candidate in reversed((forwarded_for or "").rsplit(",", MOST_HOPS)):
        address = parse_address(candidate)
        if address is None and candidate.strip():
            break  # a proxy that does not tell its client ("unknown"): what stands further left is the client's own word
        if address is not None and not is_in(address, trusted):
            return address
    return parse_address(real_ip) if real_ip else None


def is_in(address: Address, networks: tuple[Network, ...]) -> bool:
    """Whether an address belongs to one of these networks."""
    return any(address.version == network.version and address in network for network in networks)


def bucket(address: Address | None) -> str:
    """The limiter's key of an address: IPv4 as it is, IPv6 by /64."""
    if address is None:
        return UNKNOWN_CLIENT
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, 64), strict=False)) if not address.is_loopback else str(address)
    return str(address)


def is_loopback(peer: str) -> bool:
    """Whether a socket peer's address is loopback, mapped forms included."""
    address = parse_address(peer)
    return address is not None and address.is_loopback


def could_be_ours(host: str, expected: Collection[str]) -> bool:
    """Whether a `Host` can mean this gateway where no credential protects it.

    An address and a name without a public domain can: a page of elsewhere cannot be at them. Any other name can be bent to any address (DNS rebinding), so
    it has to be one of the `expected`; `*` expects all.
    """
    name = _without_port(host.strip()).lower().removesuffix(".")
    return (
        parse_address(name) is not None
        or "." not in name
        or name.rpartition(".")[2] in ("localhost", "local", "internal")
        or "*" in expected
        or name in expected
    )
