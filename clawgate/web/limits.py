"""How much one connection may ask for before anybody has authenticated it. Ring: web (edge). Source: design §3, advisories.md §3.2."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds that hold while a request is being read.

    Attributes:
        header_timeout_seconds: absolute, from the first byte of a request (or from the connect) to the end of its head.
        body_timeout_seconds: absolute, from the end of the head to the end of the body.
        idle_timeout_seconds: how long a kept-alive connection may wait for its next request.
        max_body_bytes: default cap of a body; a route may have another (`cap_for` of the site).
        max_header_bytes: request line, header lines and the empty line together; also the trailers of a chunked body.
        max_headers: number of header lines; also of trailer lines.
        max_connections: open connections in all; 0 = unlimited.
        max_connections_per_client: open connections of one IPv4 address or one IPv6 /64; 0 = unlimited.
    """

    header_timeout_seconds: float = 10.0
    body_timeout_seconds: float = 30.0
    idle_timeout_seconds: float = 75.0
    max_body_bytes: int = 65_536
    max_header_bytes: int = 16_384
    max_headers: int = 100
    max_connections: int = 4_096
    max_connections_per_client: int = 256
