"""Our site before our resource. Ring: edge (web). Source: zeroclaw.md B2 (security headers on every response).

What the site refuses while it still reads (400, 408, 413, 431, 503) never becomes a request; it carries the same headers as every answer all the same.
"""

from __future__ import annotations

from typing import Any

from clawgate.web.answers import common_headers
from clawgate.web.limits import Limits
from clawgate.web.resource import GatewayResource
from clawgate.web.site import GatewaySite


class FrontSite(GatewaySite):
    """The site of a whole gateway: the resource's own body caps, and refusals that look like its answers."""

    def __init__(self, web: GatewayResource, limits: Limits, **options: Any) -> None:  # Any: GatewaySite's own options
        """As `GatewaySite`, for the resource of a gateway."""
        super().__init__(web, limits, cap_for=web.body_cap, **options)
        self._web = web

    def refusal_of(self, status: int, path: bytes) -> bytes:
        """A whole answer that ends its connection."""
        first, rest = super().refusal_of(status, path).split(b"\r\n", 1)
        lines = b"".join(b"%b: %b\r\n" % header for header in common_headers(self._web.next_request_id()))
        return b"%b\r\n%b%b" % (first, lines, rest)
