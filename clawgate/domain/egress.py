"""Which addresses strangers' URLs may lead to. Ring: domain. Source: IANA special-purpose registries; advisories.md (SSRF).

The standard library's tables of these registries differ from one patch release of Python to the next: what matters and is missing in some stands here.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_NAT64 = IPv6Network("64:ff9b::/96")
_NEAR = (
    IPv4Network("192.0.0.0/24"),  # protocol assignments; one cloud keeps its metadata there
    IPv4Network("192.88.99.0/24"),
    IPv4Network("168.63.129.16/32"),  # looks public, and is another cloud's machine agent
    IPv6Network("64:ff9b:1::/48"),  # translators of one's own network: where the IPv4 address stands in it is theirs to say
    IPv6Network("2001:20::/28"),
    IPv6Network("3fff::/20"),
    IPv6Network("5f00::/16"),
)


def is_far(address: str) -> bool:
    """Whether an address is somewhere on the public internet.

    False for loopback, private, link-local (where clouds keep their metadata), shared, multicast and reserved ones, for IPv6 forms that carry such an IPv4
    address, and for what is no address.
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        carried = _carried(found)
        if carried is not None:
            return _is_global(carried)
        return _is_global(found) and not found.is_site_local
    return _is_global(found)


def _is_global(address: IPv4Address | IPv6Address) -> bool:
    if any(address in network for network in _NEAR):  # of another version: False
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _carried(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that it leads to in the end."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64 or int(address) >> 32 == 0:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address.sixtofour
