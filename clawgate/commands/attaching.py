"""`/attach` in `clawgate chat`: a file goes to the session, and its id into the next message. Ring: entry. Source: construct-realtime.md §12.5."""

from __future__ import annotations

import http.client
import mimetypes
import os
import secrets
from collections.abc import Callable
from urllib.parse import quote, urlsplit

from clawgate.commands.operator import Operator, Refused, accepted
from clawgate.domain.attachments import MOST_BYTES, clean_filename
from clawgate.domain.errors import Unavailable
from clawgate.system.control import Reply, read_reply
from clawgate.system.regular import open_regular

_SECONDS = 120.0
Post = Callable[[str, bytes, str], Reply]
"""Path, body, content type → the gateway's answer."""


def attached(post: Post, session_id: str, path: str) -> str:
    """Uploads a file; its id.

    Args:
        path: as the user typed it; `~` is the home directory.

    Raises:
        Refused: it cannot be read, is too large, or the gateway says no. Unavailable: no answer came.
    """
    data, boundary = _content(os.path.expanduser(path)), secrets.token_hex(16)
    name = clean_filename(path).replace('"', "%22")
    media = mimetypes.guess_type(name)[0] or "application/octet-stream"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: {media}\r\n\r\n'
    body = head.encode() + data + f"\r\n--{boundary}--\r\n".encode()
    reply = post(f"/api/sessions/{quote(session_id, safe='')}/attachments", body, f"multipart/form-data; boundary={boundary}")
    return str(accepted(reply).get("file_id"))


def _content(path: str) -> bytes:
    try:
        file = open_regular(path)
    except OSError as problem:
        raise Refused(f"{path}: {problem.strerror}") from None
    if file is None:
        raise Refused(f"{path} is no file")
    with file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise Refused(f"{path} is larger than {MOST_BYTES} bytes")
    return data


def poster(own: Operator, url: str | None, token: str) -> Post:
    """Posts to the gateway at `url`, which is shown `token`; None = to the daemon of this machine."""

    def local(path: str, body: bytes, media: str) -> Reply:
        return own.exchange("POST", path, body, headers={"Content-Type": media}, timeout_seconds=_SECONDS)

    def remote(path: str, body: bytes, media: str) -> Reply:
        return _posted(url or "", path, body, {"Content-Type": media} | ({"Authorization": f"Bearer {token}"} if token else {}))

    return remote if url else local


def _posted(url: str, path: str, body: bytes, headers: dict[str, str]) -> Reply:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_SECONDS)
    try:
        connection.request("POST", parts.path + path, body, {"Accept": "application/json"} | headers)
        return read_reply(connection.getresponse())
    except (OSError, http.client.HTTPException) as problem:
        raise Unavailable(f"the file was not taken: {problem or type(problem).__name__}") from None
    finally:
        connection.close()
