"""What every answer of the gateway has to carry, and gateways in the shapes that the surface tests need."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from clawgate.domain.caller import Scope
from clawgate.domain.settings.model import GatewaySettings, Settings
from clawgate.testing.gateway import MemoryGateway, Response

SECURITY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self' ws: wss:; object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-permitted-cross-domain-policies": "none",
    "permissions-policy": "geolocation=(), microphone=(), camera=()",
    "cache-control": "no-store",
}
"""zeroclaw.md B2, and no-store: nothing that the gateway answers is for a cache."""

ODD_BODIES: tuple[bytes, ...] = (
    b"",
    b"{",
    b"null",
    b"[]",
    b'["hi"]',
    b'"hi"',
    b"1",
    b"\xff\xfe",
    b'{"message":"\xff"}',
    b'{"message":null}',
    b'{"message":1}',
    b'{"message":["hi"]}',
    b'{"message":"hi","x":NaN}',
    b'{"message":"hi","x":Infinity}',
    b'{"message":"hi"} trailing',
    b'{"message":"\\ud800"}',
    b'{"message":"\\udc00\\ud800"}',
    b'{"message":"a\x00b"}',
    b'{"message":"hi","x":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    b'{"message":' + b"9" * 60_000 + b"}",
    b'{"x":"hi"}',
    b'{"message":"a","message":"b"}',
    b'{"message":"a","\\u006dessage":"b"}',
)


def gateway(**changes: object) -> MemoryGateway:
    """A gateway whose `[gateway]` differs from the defaults."""
    return MemoryGateway(with_gateway(Settings(), **changes))


def with_gateway(settings: Settings, **changes: object) -> Settings:
    """The settings with another `[gateway]`."""
    return msgspec.structs.replace(settings, gateway=msgspec.structs.replace(settings.gateway, **changes))


def unlimited() -> GatewaySettings:
    """`[gateway]` without rate limits."""
    return GatewaySettings(pair_rate_limit_per_minute=0, webhook_rate_limit_per_minute=0, api_rate_limit_per_minute=0)


def check_common(answer: Response) -> None:
    """Security headers, a request id, and an explicit content type that no browser takes for a page."""
    assert {name: answer.headers.get(name) for name in SECURITY} == SECURITY
    assert len(answer.headers["x-request-id"]) > 8
    assert "content-type" in answer.headers
    assert "strict-transport-security" not in answer.headers


def without_scope(gate: MemoryGateway, scope: Scope) -> str:
    """A token that holds every scope but one."""
    return gate.pair(scopes=[other for other in Scope if other is not scope])


def device_of(gate: MemoryGateway, token: str) -> str:
    """The id of the device that was paired last."""
    listed = gate.client.get("/api/devices", token=token).json["devices"]
    return str(listed[0]["id"])


def eventually(gate: MemoryGateway, is_true: Callable[[], bool]) -> None:
    """Lets everything happen that needs no time, and insists."""
    gate.pump()
    assert is_true()
