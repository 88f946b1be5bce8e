"""Which address other machines may reach this one under. Ring: system (edge)."""

from __future__ import annotations

import socket

_FAR = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
"""Addresses reserved for documentation (RFC 5737, RFC 3849): there is a route towards them, and nobody there."""


def outward_address() -> str | None:
    """The address this machine would send from to a far one; None when it has no route. Nothing is sent: connecting UDP only asks the routing table."""
    for family, far in _FAR:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((far, 9))
                return str(probe.getsockname()[0])
        except OSError:
            continue
    return None
