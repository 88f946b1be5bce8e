"""TLS contexts, handshakes and reloading, in memory (construct-realtime.md §9)."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from OpenSSL import SSL

from clawgate.domain.errors import Invalid
from clawgate.services.health import Health
from clawgate.testing.clock import ManualClock
from clawgate.web.tls import COMPONENT, ClientAuth, LiveTls, TlsFiles, context_of, fingerprint
from tests.certificates import Authority


class Client:
    """A handshake with a server's connection, without a network."""

    def __init__(self, server: SSL.Connection, trusted: Path, identity: tuple[Path, Path] | None = None, alpn: list[str] | None = None) -> None:
        context = ssl.create_default_context(cafile=str(trusted))
        if identity is not None:
            context.load_cert_chain(*map(str, identity))
        context.set_alpn_protocols(alpn or ["http/1.1"])
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_hostname="localhost")
        self.server = server
        server.set_accept_state()

    def shake(self) -> None:
        """Raises what the server has against it."""
        is_done = False
        for _ in range(10):
            if not is_done:
                try:
                    self.tls.do_handshake()
                    is_done = True
                except ssl.SSLWantReadError:
                    pass
            self._to_server()
            try:
                self.server.do_handshake()
            except SSL.WantReadError:
                pass
            self._to_client()
        assert is_done

    def say(self, text: bytes) -> bytes:
        """What the server reads of it."""
        self.tls.write(text)
        self._to_server()
        return self.server.recv(100)

    def _to_server(self) -> None:
        if data := self._out.read():
            self.server.bio_write(data)

    def _to_client(self) -> None:
        try:
            self._in.write(self.server.bio_read(100_000))
        except SSL.WantReadError:
            pass


class Scene:
    """An authority, a server's files, and those of others."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ours, self.theirs = Authority(directory, "ours"), Authority(directory, "theirs")
        self.cert, self.key = self.ours.issue("server")

    def files(self, **asked: object) -> TlsFiles:
        client_auth = ClientAuth(str(self.ours.path), **asked) if asked else None  # type: ignore[arg-type]  # its own fields
        return TlsFiles(str(self.cert), str(self.key), client_auth)

    def shake(self, files: TlsFiles, identity: tuple[Path, Path] | None = None) -> Client:
        client = Client(SSL.Connection(context_of(files), None), self.ours.path, identity)
        client.shake()
        return client


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def pin(path: Path) -> str:
    return fingerprint(x509.load_pem_x509_certificate(path.read_bytes()))


def test_certificate_and_key_serve_http_1_over_tls_1_3(scene: Scene) -> None:
    client = scene.shake(scene.files())

    assert (client.tls.version(), client.tls.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")


def test_a_client_that_speaks_http_2_only_is_not_promised_it(scene: Scene) -> None:
    client = Client(SSL.Connection(context_of(scene.files()), None), scene.ours.path, alpn=["h2"])
    client.shake()

    assert client.tls.selected_alpn_protocol() is None


def test_a_client_certificate_of_the_right_issuer_is_let_in(scene: Scene) -> None:
    assert scene.shake(scene.files(is_required=True), scene.ours.issue("client")).say(b"hello") == b"hello"


def test_a_client_without_a_certificate_is_refused_when_one_is_required(scene: Scene) -> None:
    with pytest.raises(SSL.Error, match="peer did not return a certificate"):
        scene.shake(scene.files(is_required=True))


def test_a_client_without_a_certificate_is_let_in_when_none_is_required(scene: Scene) -> None:
    assert scene.shake(scene.files(is_required=False)).say(b"hello") == b"hello"


@pytest.mark.parametrize("is_required", [True, False])
def test_a_client_certificate_of_another_issuer_is_refused_even_when_none_is_required(scene: Scene, is_required: bool) -> None:
    with pytest.raises(SSL.Error, match="verify failed"):
        scene.shake(scene.files(is_required=is_required), scene.theirs.issue("client"))


def test_a_pinned_certificate_is_let_in_and_another_of_the_same_issuer_is_not(scene: Scene) -> None:
    pinned, other = scene.ours.issue("pinned"), scene.ours.issue("other")
    files = scene.files(pins=frozenset({pin(pinned[0])}))

    assert scene.shake(files, pinned).say(b"hello") == b"hello"
    with pytest.raises(SSL.Error, match="verify failed"):
        scene.shake(files, other)


def test_a_pin_lets_nobody_in_whom_the_issuer_does_not_know(scene: Scene) -> None:
    stranger = scene.theirs.issue("stranger")

    with pytest.raises(SSL.Error, match="verify failed"):
        scene.shake(scene.files(pins=frozenset({pin(stranger[0])})), stranger)


def test_pins_do_not_apply_to_clients_without_a_certificate(scene: Scene) -> None:
    assert scene.shake(scene.files(is_required=False, pins=frozenset({"0" * 64}))).say(b"hello") == b"hello"


def test_a_fingerprint_is_64_hexadecimal_digits_and_a_certificates_own(scene: Scene) -> None:
    first, second = scene.ours.issue("first")[0], scene.ours.issue("second")[0]

    assert pin(first) == pin(first) != pin(second)
    assert len(pin(first)) == 64
    assert set(pin(first)) <= set("0123456789abcdef")


BAD = {
    "no certificate file": ("cert", None, "cert_path", "failed to load server certificate from {p}: cannot open certificate file: {p}"),
    "an empty certificate file": ("cert", b"", "cert_path", "no certificates found in {p}"),
    "a broken certificate": (
        "cert",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "cert_path",
        "failed to parse PEM certificates from {p}",
    ),
    "no key file": ("key", None, "key_path", "failed to load private key from {p}: cannot open private key file: {p}"),
    "an empty key file": ("key", b"", "key_path", "no private key found in {p}"),
    "a broken key": ("key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "key_path", "failed to parse private key from {p}"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_cannot_be_used_is_named_with_the_published_words(scene: Scene, name: str) -> None:
    which, content, setting, words = BAD[name]
    path: Path = getattr(scene, which)
    path.unlink() if content is None else path.write_bytes(content)

    with pytest.raises(Invalid) as refused:
        context_of(scene.files())
    assert refused.value.path == f"gateway.tls.{setting}"
    assert words.format(p=path) in str(refused.value)


def test_the_key_of_another_certificate_is_refused(scene: Scene) -> None:
    scene.key = scene.ours.issue("other")[1]

    with pytest.raises(Invalid, match="invalid server certificate or key"):
        context_of(scene.files())


def test_an_authority_that_cannot_be_read_is_refused(scene: Scene) -> None:
    scene.ours.path.unlink()

    with pytest.raises(Invalid, match=r"failed to load CA certificate from .*: cannot open certificate file"):
        context_of(scene.files(is_required=True))


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")  # of serial numbers that are turned negative
@pytest.mark.parametrize("which", ["cert", "authority"])
def test_a_certificate_with_a_bit_turned_is_taken_or_refused_and_nothing_else(scene: Scene, which: str) -> None:
    path = scene.cert if which == "cert" else scene.ours.path
    der = ssl.PEM_cert_to_DER_cert(path.read_text())
    refused = 0
    for place in range(0, len(der) * 8, 9):
        turned = bytearray(der)
        turned[place // 8] ^= 1 << place % 8
        path.write_text(ssl.DER_cert_to_PEM_cert(bytes(turned)))
        try:
            context_of(scene.files(is_required=True))
        except Invalid as problem:
            refused += "failed to" in str(problem) or "invalid server" in str(problem)
    assert refused > len(der) // 9


class Reloading:
    """Live TLS with a look at its health."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.health = scene, Health(ManualClock(), 1)
        self.live = LiveTls(scene.files(), self.health)
        self.live.wrap(None, ManualClock().reactor)  # type: ignore[arg-type]  # nothing connects

    def shake(self) -> Client:
        client = Client(self.live.serverConnectionForTLS(None), self.scene.ours.path)
        client.shake()
        return client

    @property
    def problem(self) -> str | None:
        return self.health.snapshot().components[COMPONENT].last_error


def serial(client: Client) -> int:
    der = client.tls.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number


def test_a_new_pair_serves_new_connections_and_open_ones_go_on(scene: Scene) -> None:
    reloading = Reloading(scene)
    before = reloading.shake()
    scene.ours.issue("server")

    assert reloading.live.reload()
    assert serial(reloading.shake()) != serial(before)
    assert before.say(b"still here") == b"still here"


def test_a_bad_new_pair_keeps_the_old_one_and_shows_in_the_health(scene: Scene) -> None:
    reloading = Reloading(scene)
    before = reloading.shake()
    key = scene.key.read_bytes()
    scene.ours.issue("server")
    new_key = scene.key.read_bytes()
    scene.key.write_bytes(key)

    assert not reloading.live.reload()
    assert serial(reloading.shake()) == serial(before)
    assert "invalid server certificate or key" in (reloading.problem or "")
    scene.key.write_bytes(new_key)
    assert reloading.live.reload()
    assert reloading.problem is None
    assert serial(reloading.shake()) != serial(before)
