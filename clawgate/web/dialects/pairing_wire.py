"""Exact shapes and sentences of pairing and devices. Ring: edge, under the domain rule.

Source: zeroclaw.md A3 (/pair), B1, B3, B4; construct-realtime.md §1; construct-rest.md §5.1; design §4.1 (union first), §4.4.
"""

from __future__ import annotations

from clawgate.domain.devices import Device
from clawgate.domain.errors import Conflict, GatewayError, LockedOut, NotFound, Unauthenticated
from clawgate.domain.times import rfc3339
from clawgate.web.dialects import root_wire

CODE_READY = "Use this one-time code to pair"
CODE_NONE = "Pairing is active but no new code available (already paired or code expired)"
CODE_OFF = "Pairing is disabled for this gateway"
CODE_NEW = "New pairing code generated — use this one-time code to pair"
INITIATED = "New pairing code generated"
UNAVAILABLE = "Pairing is disabled or not available"
REVOKED = "Device revoked and bearer token invalidated"
ROTATED = "Use this code to re-pair the device"
ROTATED_NO_CODE = "The token is revoked. Another pairing code is pending: use it up or let it expire, then make a new one"
SHORT_UNAUTHORIZED = "Unauthorized"


def device_object(device: Device) -> dict[str, object]:
    """A device as lists show it; the hash is not among the fields."""
    return {
        "id": device.id,
        "name": device.name,
        "device_type": device.device_type,
        "paired_at": rfc3339(device.paired_ms),
        "last_seen": rfc3339(device.last_seen_ms),
        "ip_address": device.ip_address,
        "scopes": sorted(device.scopes),
        "expires_at": rfc3339(device.expires_ms) if device.expires_ms else None,
    }


def paired_object(token: str, *, persisted: bool, issued_ms: int, message: str) -> dict[str, object]:
    """The union of every family's success fields."""
    return {"paired": True, "persisted": persisted, "token": token, "message": message, "issued_at": rfc3339(issued_ms)}


def pair_refusal(error: GatewayError) -> root_wire.Refusal:
    """Refusals of `POST /pair`: a wrong code is 403."""
    if isinstance(error, Unauthenticated):
        return 403, {"error": root_wire.BAD_CODE}, 0
    return root_wire.refusal(error)


def api_pair_refusal(error: GatewayError) -> root_wire.Refusal:
    """Refusals of `POST /api/pair`: a wrong code is 400, and every body says `paired: false`."""
    match error:
        case Unauthenticated():
            return 400, {"paired": False, "error": "Invalid or expired pairing code"}, 0
        case LockedOut():
            seconds = error.retry_after_seconds
            return 429, {"paired": False, "error": f"Too many attempts. Locked out for {seconds}s", "retry_after": seconds}, seconds
    status, body, seconds = root_wire.refusal(error)
    return status, {"paired": False, **body}, seconds


def device_refusal(error: GatewayError) -> root_wire.Refusal:
    """Refusals of the device routes: the short 401, and "Device not found"."""
    match error:
        case NotFound():
            return 404, {"error": "Device not found"}, 0
        case Conflict():
            return 503, {"error": UNAVAILABLE}, 0
    return root_wire.refusal(error, unauthorized=SHORT_UNAUTHORIZED)
