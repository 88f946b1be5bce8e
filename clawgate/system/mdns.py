"""Announces the gateway in the local network, so that nodes find it (mDNS, DNS-SD). Ring: system (edge). Source: RFC 6762, RFC 6763; libraries.md §3 (mDNS).

The package `zeroconf` speaks it, in threads of its own: its asyncio side never runs under another reactor. Registering asks the network whether the name is
free and takes about a second; nobody waits for it. What goes wrong is a line in the log and in `/health`, and ends nothing.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawgate.domain.caller import is_loopback
from clawgate.domain.errors import Invalid
from clawgate.ports.events import ComponentHealth
from clawgate.system.mdns_wire import SERVICE_TYPE, Announcement, announcement
from clawgate.system.threads import Threads

_log = Logger()
COMPONENT = "mdns"
PACKAGE = "zeroconf"


def has_package() -> bool:
    """Whether the extra `clawgate[mdns]` is installed."""
    return importlib.util.find_spec(PACKAGE) is not None


def check_package() -> None:
    """Raises Invalid naming the extra when the package is missing."""
    if not has_package():
        raise Invalid("nodes.announce", f"needs the package {PACKAGE}", "Run `pip install clawgate[mdns]`, or set nodes.announce = false")


def own_addresses() -> tuple[str, ...]:
    """IPv4 addresses of this machine that others may reach it under; blocks briefly."""
    import ifaddr  # zeroconf stands on it

    found = [str(each.ip) for adapter in ifaddr.get_adapters() for each in adapter.ips if each.is_IPv4]
    return tuple(dict.fromkeys(address for address in found if not is_loopback(address)))


class Announcer(msgspec.Struct, eq=False):
    """One announcement, from `start` to `stop`.

    Attributes:
        name: of the instance; blank = the machine's.
        path: `gateway.path_prefix`.
        may_announce: whether an address may be announced; tests let loopback pass.
    """

    name: str
    path: str
    version: str
    health: ComponentHealth
    threads: Threads
    may_announce: Callable[[str], bool] = lambda address: not is_loopback(address)
    _speaker: Any = None  # zeroconf.Zeroconf, of an optional package
    _is_started: bool = False

    def start(self, url: str) -> Deferred[None] | None:
        """Begins to announce; fires when that is done, without errors.

        Args:
            url: where the gateway listens.

        Returns:
            None when nothing is announced, because only this machine reaches the gateway.
        """
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 0
        if not self.may_announce(host):
            _log.info("not announced by mDNS: {host} is reached from this machine only", host=host)
            return None
        self._is_started = True
        self.threads.start()
        done = self.threads(lambda: self._register(host, port, is_secure=parts.scheme == "https"))
        return done.addCallbacks(self._announced, self._failed)

    async def stop(self) -> None:
        """Says goodbye, so that others forget the gateway at once."""
        if not self._is_started:
            return
        self._is_started = False
        try:
            await self.threads(self._unregister)
        finally:
            self.threads.stop()

    def _announced(self, told: Announcement) -> None:
        self.health.ok(COMPONENT)
        _log.info("announced by mDNS as {name} at {addresses}", name=told.name, addresses=", ".join(told.addresses))

    def _failed(self, failure: Failure) -> None:
        problem = failure.getErrorMessage() or repr(failure.value)
        self.health.failed(COMPONENT, problem)
        _log.warn("not announced by mDNS: {problem}", problem=problem)

    # --- in the thread

    def _register(self, host: str, port: int, *, is_secure: bool) -> Announcement:
        import zeroconf

        addresses = own_addresses() if ipaddress.ip_address(host).is_unspecified else (host,)
        if not addresses:
            raise OSError("this machine has no address that others reach")
        told = announcement(self.name, socket.gethostname(), addresses, port, path=self.path, is_secure=is_secure, version=self.version)
        info = zeroconf.ServiceInfo(
            SERVICE_TYPE, told.instance, port, properties=dict(told.text), server=told.host, parsed_addresses=list(told.addresses)
        )
        self._speaker = zeroconf.Zeroconf(interfaces=list(addresses))
        self._speaker.register_service(info, allow_name_change=True)
        return msgspec.structs.replace(told, name=info.name.removesuffix(f".{SERVICE_TYPE}"))

    def _unregister(self) -> None:
        speaker, self._speaker = self._speaker, None
        if speaker is not None:
            speaker.close()
