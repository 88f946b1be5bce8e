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

    def __init__(self, web: GatewayResource, limits: Limits, *, is_secure: bool = False, **options: Any) -> None:  # Any: GatewaySite's own options
        """As `GatewaySite`, for the resource of a gateway; `is_secure`: it is served over TLS."""
        super().__init__(web, limits, cap_for=web.body_cap, known_sender=web.known_sender, **options)
        self._web, self._is_secure = web, is_secure

    def refusal_headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Those of every answer."""
        return common_headers(self._web.next_request_id(), secure=self._is_secure)
