"""The URL that the sender of a request called. Ring: edge (web). Source: webhook-signatures.md §1.1 (Twilio signs it), §1.3; design §4.7."""

from __future__ import annotations

from clawgate.web.auth import Peers
from clawgate.web.call import Call


def public_url(peers: Peers, call: Call) -> str:
    """Scheme, host and target of a request, as its sender wrote them; a trusted proxy's word on scheme and host is believed.

    A proxy that changes the path, or is not trusted, leaves only the setting.
    """
    request = call.request
    scheme, host = "https" if request.isSecure() else "http", _last(call, b"host")
    if peers.is_trusted(getattr(request.getClientAddress(), "host", "") or ""):
        forwarded = _last(call, b"x-forwarded-proto").lower()
        scheme = forwarded if forwarded in ("http", "https") else scheme
        host = _last(call, b"x-forwarded-host") or host
    return f"{scheme}://{host}{request.uri.decode('latin-1')}"


def _last(call: Call, name: bytes) -> str:
    """The last word of a header: the one of the nearest proxy."""
    values = call.request.requestHeaders.getRawHeaders(name) or [b""]
    return values[-1].decode("latin-1").rpartition(",")[2].strip()
