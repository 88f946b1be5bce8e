"""Where a provider's URL leads. Ring: agents. Source: design §3 (HTTP client)."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.interfaces import IStreamClientEndpoint

from clawgate.domain.errors import Invalid

_URL = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?(/[!-~]*)?")


def checked_url(url: str) -> str:
    """The URL without a trailing slash.

    Raises:
        Invalid: it is not `http(s)://host[:port][/path]`, or carries credentials, a query, a fragment or a control character.
    """
    if not _URL.fullmatch(url) or "?" in url or "#" in url:
        raise Invalid("default_provider", f"{url!r} is not a URL of a provider", "Write http://HOST[:PORT]/PATH or https://HOST/PATH")
    return url.rstrip("/")


def target_of(url: str) -> tuple[str, str]:
    """The path that each request begins with, and the Host."""
    host, slash, path = url.partition("://")[2].partition("/")
    return slash + path, host


def endpoint_of(reactor: Any, url: str, timeout_seconds: float) -> IStreamClientEndpoint:  # Any: time, TCP and a name resolver at once
    """The way to the URL's host; over TLS its certificate is checked as browsers do."""
    # Half a second of imports (OpenSSL, cryptography): nobody who only runs offline pays for it.
    from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
    from twisted.internet.ssl import optionsForClientTLS

    found = _URL.fullmatch(url)
    assert found is not None  # it was checked
    scheme, host, port, _ = found.groups()
    host = host.strip("[]")
    is_tls = scheme == "https"
    tcp: IStreamClientEndpoint = HostnameEndpoint(reactor, host.encode(), int(port or (443 if is_tls else 80)), timeout=timeout_seconds)
    return wrapClientTLS(optionsForClientTLS(host), tcp) if is_tls else tcp
