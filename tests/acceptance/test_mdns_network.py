"""A gateway that announces itself is found by a real mDNS browser on this machine's network, and forgotten when it stops."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from clawgate import __version__
from clawgate.system.mdns import own_addresses
from clawgate.system.mdns_wire import SERVICE_TYPE
from tests.acceptance.daemon import DEADLINE_SECONDS, Daemon, settings, until

zeroconf = pytest.importorskip("zeroconf")
pytestmark = pytest.mark.acceptance
_PROBE = ("224.0.0.251", 50_353)
"""The group of mDNS, on a port of our own."""


def hears_itself(address: str) -> bool:
    """Whether multicast works on the interface of an address."""
    member = socket.inet_aton(_PROBE[0]) + socket.inet_aton(address)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hears, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as speaks:
            hears.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            hears.bind(("", _PROBE[1]))
            hears.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            hears.settimeout(1.0)
            speaks.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
            speaks.sendto(b"?", _PROBE)
            return hears.recv(1) == b"?"
    except OSError:
        return False


class Browser:
    """Everybody of our type that is there."""

    def __init__(self, address: str, name: str) -> None:
        self.name, self.found, self.gone = f"{name}.{SERVICE_TYPE}", threading.Event(), threading.Event()
        self.speaker = zeroconf.Zeroconf(interfaces=[address])
        self.browser = zeroconf.ServiceBrowser(self.speaker, SERVICE_TYPE, handlers=[self._happened])

    def _happened(self, zeroconf: object, service_type: str, name: str, state_change: object) -> None:
        if name == self.name:
            (self.gone if str(state_change).endswith("Removed") else self.found).set()

    def close(self) -> None:
        self.browser.cancel()
        self.speaker.close()


@pytest.fixture
def address() -> str:
    found = next(filter(hears_itself, own_addresses()), None)
    if found is None:
        pytest.skip("no interface here carries multicast")
    return found


@pytest.fixture
def browser(address: str, tmp_path: Path) -> Iterator[Browser]:
    made = Browser(address, f"gate {tmp_path.name[:20]}")
    yield made
    made.close()


@pytest.fixture
def daemon(address: str, browser: Browser, tmp_path: Path) -> Iterator[Daemon]:
    name = browser.name.removesuffix(f".{SERVICE_TYPE}")
    gateway = f'host = "{address}"\nallow_public_bind = true\n'
    more = f'[nodes]\nenabled = true\nauth_token = "7b6f2c1e9d8a4f350b"\nannounce = true\nannounce_name = "{name}"\n'
    one = Daemon(tmp_path / "home", settings(gateway=gateway, more=more))
    yield one
    one.close()


def test_a_gateway_is_found_while_it_runs(daemon: Daemon, browser: Browser, address: str) -> None:
    daemon.start()
    assert browser.found.wait(DEADLINE_SECONDS)
    info = browser.speaker.get_service_info(SERVICE_TYPE, browser.name, timeout=10_000)
    assert info.decoded_properties == {"path": "/", "tls": "0", "version": __version__}
    assert (info.parsed_addresses(), f"http://{address}:{info.port}") == ([address], daemon.url)
    until(lambda: "mdns" in daemon.call("GET", "/health").json["runtime"]["components"], "the announcement is over")
    assert daemon.call("GET", "/readyz").status == 200
    assert daemon.stop() == 0
    assert browser.gone.wait(DEADLINE_SECONDS)
