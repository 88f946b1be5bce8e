"""TLS from a certificate and its key: a real daemon, a real handshake."""

from __future__ import annotations

import http.client
import json
import signal
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.daemon import DEADLINE_SECONDS, Daemon, Upstream, settings, until
from tests.certificates import Authority

pytestmark = pytest.mark.acceptance


def tls_section(cert_path: Path, key_path: Path) -> str:
    """`[gateway.tls]`"""
    return f'[gateway.tls]\nenabled = true\ncert_path = "{cert_path}"\nkey_path = "{key_path}"\n'


def ask(daemon: Daemon, context: ssl.SSLContext) -> http.client.HTTPResponse:
    port = int(daemon.url.rpartition(":")[2])
    connection = http.client.HTTPSConnection("localhost", port, timeout=DEADLINE_SECONDS, context=context)
    try:
        connection.request("GET", "/health")
        response = connection.getresponse()
        response.read()
        return response
    finally:
        connection.close()


def test_tls_is_served_with_the_configured_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ours")
    daemon = Daemon(tmp_path / "home", "[gateway]\nport = 0\n" + tls_section(*authority.issue("server")))
    daemon.spawn()
    try:
        until(lambda: daemon.announced, "it listens")
        assert daemon.url.startswith("https://127.0.0.1:")
        response = ask(daemon, ssl.create_default_context(cafile=str(authority.path)))
        assert (response.status, response.getheader("Strict-Transport-Security")) == (200, "max-age=63072000; includeSubDomains")
        with pytest.raises(ssl.SSLCertVerificationError):
            ask(daemon, ssl.create_default_context())
        old = ssl.create_default_context(cafile=str(authority.path))
        old.set_ciphers("DEFAULT:@SECLEVEL=0")  # else the client itself refuses, and nobody is asked
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"):
            ask(daemon, old)
    finally:
        assert daemon.stop() == 0


def test_key_of_another_certificate_is_refused_with_one_line(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ours")
    cert_path, _ = authority.issue("server")
    _, other_key = authority.issue("other")
    daemon = Daemon(tmp_path / "home", "[gateway]\nport = 0\n" + tls_section(cert_path, other_key))
    daemon.spawn()
    assert daemon.ended() == 78
    assert "gateway.tls.key_path" in daemon.printed + daemon.errors
    assert "Traceback" not in daemon.printed + daemon.errors


def test_changed_files_are_taken_up_while_connections_stay_open(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ours")
    cert_path, key_path = authority.issue("server")
    asked = f'[gateway.tls.client_auth]\nenabled = true\nca_cert_path = "{authority.path}"\n'
    daemon = Daemon(tmp_path / "home", "[gateway]\nport = 0\n" + tls_section(cert_path, key_path) + asked)
    daemon.spawn()
    context = ssl.create_default_context(cafile=str(authority.path))
    context.load_cert_chain(*map(str, authority.issue("client")))
    try:
        until(lambda: daemon.announced, "it listens")
        with pytest.raises((ssl.SSLError, OSError)):
            ask(daemon, ssl.create_default_context(cafile=str(authority.path)))
        connection = connected(daemon, context)
        first = served(connection)
        authority.issue("server")
        until(lambda: fresh(daemon, context) != first, "the changed files are seen")
        assert served(connection) == first
        good = cert_path.read_bytes()
        cert_path.write_text("nothing")
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: component(connection) == "error", "the health says so")
        assert fresh(daemon, context) != first
        cert_path.write_bytes(good)
        until(lambda: component(connection) == "ok", "the good pair is back")
        connection.close()
    finally:
        assert daemon.stop() == 0


def test_an_answer_under_way_comes_through_a_stop(tmp_path: Path) -> None:
    """And an authority that nobody asks for is not even read."""
    authority, upstream = Authority(tmp_path, "ours"), Upstream()
    unread = '[gateway.tls.client_auth]\nenabled = false\nca_cert_path = "/nowhere/ca.pem"\n'
    config = settings(upstream.provider, "require_pairing = false\n", tls_section(*authority.issue("server")) + unread)
    daemon = Daemon(tmp_path / "home", config)
    daemon.spawn()
    upstream.gate.clear()
    try:
        until(lambda: daemon.announced, "it listens")
        connection = connected(daemon, ssl.create_default_context(cafile=str(authority.path)))
        connection.request("POST", "/webhook", b'{"message":"hi"}', {"Content-Type": "application/json"})
        until(lambda: upstream.asked, "the agent is asked")
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGTERM)
        until(lambda: not (daemon.state / "daemon.json").exists(), "the stop is under way")
        upstream.gate.set()
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["response"]) == (200, "re hi")
        connection.close()
        assert daemon.ended() == 0
    finally:
        daemon.close()
        upstream.close()


def fresh(daemon: Daemon, context: ssl.SSLContext) -> bytes | None:
    """The certificate that a new connection is answered with."""
    connection = connected(daemon, context)
    try:
        return served(connection)
    finally:
        connection.close()


def connected(daemon: Daemon, context: ssl.SSLContext) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection("localhost", int(daemon.url.rpartition(":")[2]), timeout=DEADLINE_SECONDS, context=context)


def served(connection: http.client.HTTPSConnection) -> bytes | None:
    """The certificate that this connection was answered with."""
    health(connection)
    assert isinstance(connection.sock, ssl.SSLSocket)
    return connection.sock.getpeercert(binary_form=True)


def component(connection: http.client.HTTPSConnection) -> str:
    return str(health(connection)["runtime"]["components"]["tls"]["status"])


def health(connection: http.client.HTTPSConnection) -> dict[str, Any]:
    connection.request("GET", "/health")
    return dict(json.loads(connection.getresponse().read()))
