"""Which raw paths are looked at at all. Ring: edge (web). Source: design §3; GHSA-8j2w-6fmm-m587, CVE-2026-32004; pallets/werkzeug#2821.

A path is judged once, raw, before anything is matched; authentication and routing then act on the very same value.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from clawgate.domain.errors import BadRequest

_PLAIN = re.compile(rb"(?:/[A-Za-z0-9_~!$&'()*+,=:@-][A-Za-z0-9._~!$&'()*+,=:@-]*)+/?|/")
_ENCODED_TROUBLE = re.compile(rb"%(?:2f|5c|00|0[0-9a-f]|1[0-9a-f]|7f)|%(?![0-9a-f]{2})", re.IGNORECASE)


def check_path(path: bytes) -> None:
    """Lets a canonical path pass.

    Raises:
        BadRequest: double slashes, dot segments, encoded slashes, backslashes, controls or a stray `%`, bytes that are not UTF-8.
    """
    if _PLAIN.fullmatch(path):
        return
    if not path.startswith(b"/") or b"//" in path or b"\\" in path or _ENCODED_TROUBLE.search(path):
        raise BadRequest("Invalid path")
    try:
        decoded = unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest("Invalid path") from None
    if any(segment in (".", "..") for segment in decoded.split("/")) or not decoded.isprintable():
        raise BadRequest("Invalid path")
