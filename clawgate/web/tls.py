"""TLS of the public listener: certificate, client certificates, and taking up changed files. Ring: edge (web). Source: construct-realtime.md §9; design §7.

    files → a context → every new connection

A context is built whole from the files and then used, or it is not used at all: a pair that does not fit leaves the last good one in service, and connections
that are open keep the context they began with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.web.server import Site
from zope.interface import implementer

from clawgate.domain.errors import Invalid
from clawgate.ports.events import ComponentHealth

_log = Logger()
COMPONENT = "tls"
HTTP = b"http/1.1"
_MOST_FILE_BYTES = 1024 * 1024
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_KEY = re.compile(rb"-----BEGIN ((?:[A-Z]+ )?PRIVATE KEY)-----.+?-----END \1-----", re.DOTALL)
_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: forward secrecy and authenticated encryption; TLS 1.3 has no others."""
_CERTIFICATE_REMEDY = "Name a PEM file with the certificate chain, leaf first"
_KEY_REMEDY = "Name a PEM file with the private key of the certificate, without a passphrase"
_CA_REMEDY = "Name a PEM file with the certificates of those who issue client certificates"


class ClientAuth(msgspec.Struct, frozen=True):
    """Which certificates clients must show.

    Attributes:
        ca_path: PEM file of the issuers.
        is_required: False = a client may show none; one that is shown must verify all the same.
        pins: SHA-256 of the leaf's DER as lower-case hexadecimal; empty = any certificate of the issuers.
    """

    ca_path: str
    is_required: bool = True
    pins: frozenset[str] = frozenset()


class TlsFiles(msgspec.Struct, frozen=True):
    """`[gateway.tls]`: PEM files of a certificate chain, leaf first, its key, and what is asked of clients (None = nothing)."""

    cert_path: str
    key_path: str
    client_auth: ClientAuth | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file that is read."""
        return (self.cert_path, self.key_path, *((self.client_auth.ca_path,) if self.client_auth is not None else ()))


@implementer(IOpenSSLServerConnectionCreator)
class LiveTls:
    """The context that new connections get, and its replacement."""

    def __init__(self, files: TlsFiles, health: ComponentHealth) -> None:
        """Reads nothing yet."""
        self.files, self._health = files, health
        self._context: SSL.Context | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file that is read."""
        return self.files.paths

    def wrap(self, site: Site, reactor: Any) -> TLSMemoryBIOFactory:  # Any: a reactor
        """The site behind TLS 1.2 or newer, HTTP/1.1 only.

        Raises:
            Invalid: a file is missing, or is no certificate or not its key.
        """
        self._context = context_of(self.files)
        self._health.ok(COMPONENT)
        return TLSMemoryBIOFactory(self, False, site, reactor)

    def reload(self) -> bool:
        """Takes up the files as they are now, for connections to come; False = they cannot be used, and the last good ones stay."""
        try:
            self._context = context_of(self.files)
        except Invalid as problem:
            self._health.failed(COMPONENT, str(problem))
            _log.error("the certificate was not taken up; the last good one stays: {problem}", problem=str(problem))
            return False
        self._health.ok(COMPONENT)
        _log.info("the certificate of {path} was taken up", path=self.files.cert_path)
        return True

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:
        """`IOpenSSLServerConnectionCreator`: a connection with the context of the moment."""
        if self._context is None:
            raise RuntimeError("wrap() comes first")
        return SSL.Connection(self._context, None)


def context_of(files: TlsFiles) -> SSL.Context:
    """A context of these files.

    Raises:
        Invalid: naming the setting, and in its words which file is wrong and how.
    """
    chain = _chain(files)
    key = _key(files.key_path)
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # a resumed session would skip the look at the client's certificate
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_alpn_select_callback(_chosen)
    try:
        context.use_certificate(chain[0])
        for certificate in chain[1:]:
            context.add_extra_chain_cert(certificate)
        context.use_privatekey(key)
        context.check_privatekey()
    except (SSL.Error, ValueError, TypeError) as problem:
        found = f"invalid server certificate or key: {files.key_path} is not the key of {files.cert_path} ({_said(problem)})"
        raise Invalid("gateway.tls.key_path", found, _KEY_REMEDY) from None
    if files.client_auth is not None:
        _ask_clients(context, files.client_auth)
    context.set_cipher_list(_CIPHERS)
    return context


def _chain(files: TlsFiles) -> Sequence[x509.Certificate]:
    return _certificates("gateway.tls.cert_path", files.cert_path, f"failed to load server certificate from {files.cert_path}", _CERTIFICATE_REMEDY)


def _ask_clients(context: SSL.Context, client_auth: ClientAuth) -> None:
    setting, path = "gateway.tls.client_auth.ca_cert_path", client_auth.ca_path
    store = context.get_cert_store()
    if store is None:
        raise RuntimeError("a new context has a store")
    for authority in _certificates(setting, path, f"failed to load CA certificate from {path}", _CA_REMEDY):
        store.add_cert(crypto.X509.from_cryptography(authority))
        context.add_client_ca(authority)
    required = SSL.VERIFY_FAIL_IF_NO_PEER_CERT if client_auth.is_required else 0
    context.set_verify(SSL.VERIFY_PEER | required, _judge(client_auth.pins))


def _judge(pins: frozenset[str]) -> Callable[[SSL.Connection, crypto.X509, int, int, int], bool]:
    def judge(connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, is_good: int) -> bool:
        if not is_good or depth or not pins:
            return bool(is_good)
        found = fingerprint(certificate.to_cryptography())
        if found not in pins:
            _log.debug("client certificate fingerprint {found} is not in the pinned set", found=found)
        return found in pins

    return judge


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the DER, 64 lower-case hexadecimal digits."""
    return certificate.fingerprint(SHA256()).hex()


def _chosen(connection: SSL.Connection, offered: list[bytes]) -> Any:  # bytes, or pyOpenSSL's private mark for none
    return HTTP if HTTP in offered else SSL.NO_OVERLAPPING_PROTOCOLS


def _certificates(setting: str, path: str, failed: str, remedy: str) -> list[x509.Certificate]:
    blocks = _CERTIFICATE.findall(_read(setting, path, f"{failed}: cannot open certificate file: {path}", remedy))
    if not blocks:
        raise Invalid(setting, f"{failed}: no certificates found in {path}", remedy)
    try:
        found = [x509.load_pem_x509_certificate(block) for block in blocks]
        for certificate in found:
            crypto.X509.from_cryptography(certificate)  # OpenSSL takes less than `cryptography` does
        return found
    except (ValueError, x509.InvalidVersion, crypto.Error) as problem:
        raise Invalid(setting, f"{failed}: failed to parse PEM certificates from {path} ({_said(problem)})", remedy) from None


def _key(path: str) -> Any:  # one of cryptography's private keys, which pyOpenSSL judges
    setting, failed = "gateway.tls.key_path", f"failed to load private key from {path}"
    found = _KEY.search(_read(setting, path, f"{failed}: cannot open private key file: {path}", _KEY_REMEDY))
    if found is None:
        raise Invalid(setting, f"{failed}: no private key found in {path}", _KEY_REMEDY)
    try:
        return load_pem_private_key(found[0], None)
    except Exception as problem:  # ValueError, TypeError of one with a passphrase, UnsupportedAlgorithm
        raise Invalid(setting, f"{failed}: failed to parse private key from {path} ({type(problem).__name__})", _KEY_REMEDY) from None


def _read(setting: str, path: str, failed: str, remedy: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_MOST_FILE_BYTES)
    except (OSError, ValueError) as problem:
        raise Invalid(setting, f"{failed} ({getattr(problem, 'strerror', None) or type(problem).__name__})", remedy) from None


def _said(problem: Exception) -> str:
    """One line of what a library said: pyOpenSSL's errors are lists of triples."""
    reasons = problem.args[0] if problem.args and isinstance(problem.args[0], list) else [(str(problem),)]
    return "; ".join(str(reason[-1]) for reason in reasons).splitlines()[0][:200] if reasons else type(problem).__name__
