"""TLS from a certificate and its key: a real daemon, a real handshake."""

from __future__ import annotations

import datetime
import http.client
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.acceptance.daemon import DEADLINE_SECONDS, Daemon, until

pytestmark = pytest.mark.acceptance


def key_pair(directory: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for localhost and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_path, key_path = directory / f"{name}.pem", directory / f"{name}.key"
    cert_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return cert_path, key_path


def tls_section(cert_path: Path, key_path: Path) -> str:
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
    cert_path, key_path = key_pair(tmp_path, "localhost")
    daemon = Daemon(tmp_path / "home", "[gateway]\nport = 0\n" + tls_section(cert_path, key_path))
    daemon.spawn()
    try:
        until(lambda: daemon.announced, "it listens")
        assert daemon.url.startswith("https://127.0.0.1:")
        response = ask(daemon, ssl.create_default_context(cafile=str(cert_path)))
        assert (response.status, response.getheader("Strict-Transport-Security")) == (200, "max-age=63072000; includeSubDomains")
        with pytest.raises(ssl.SSLCertVerificationError):
            ask(daemon, ssl.create_default_context())
        old = ssl.create_default_context(cafile=str(cert_path))
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError):
            ask(daemon, old)
    finally:
        assert daemon.stop() == 0


def test_key_of_another_certificate_is_refused_with_one_line(tmp_path: Path) -> None:
    cert_path, _ = key_pair(tmp_path, "localhost")
    _, other_key = key_pair(tmp_path, "other")
    daemon = Daemon(tmp_path / "home", "[gateway]\nport = 0\n" + tls_section(cert_path, other_key))
    daemon.spawn()
    assert daemon.ended() == 78
    assert "gateway.tls.key_path" in daemon.printed + daemon.errors
    assert "Traceback" not in daemon.printed + daemon.errors
