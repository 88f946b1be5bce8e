"""Ports and sockets the site is served on. Ring: edge (web). Source: zeroclaw.md A1.1 (with its bind quirks fixed), design §4.8, §7."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Any, Protocol

import msgspec
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.web.server import Site

from clawgate.domain.errors import Invalid

_SOCKET_PATH_BYTES = 100
_REMEDY = "Stop what listens there, or set another port (0 picks a free one)"


class Certificate(Protocol):
    """What puts a site behind TLS: `web.tls.LiveTls`."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file that is read."""

    def wrap(self, site: Site, reactor: Any) -> Any:  # a reactor; a TLSMemoryBIOFactory
        """The factory to listen with. Raises Invalid naming the file that cannot be used."""

    def reload(self) -> bool:
        """Takes up the files as they are now, for connections to come."""


class PublicListener(msgspec.Struct):
    """The TCP port, or the socket that systemd passed.

    Attributes:
        activated: a listening socket's file descriptor, None = bind ourselves.
        certificate: serve TLS with it; None = plain HTTP.
    """

    site: Site
    reactor: Any  # IReactorTCP and IReactorSocket; there is no intersection type
    host: str
    port: int
    backlog: int
    activated: int | None = None
    certificate: Certificate | None = None
    _listening: IListeningPort | None = None

    async def start(self) -> None:
        """Listens. Raises Invalid naming `gateway.port`, or the file of the certificate that cannot be used."""
        factory = self.site if self.certificate is None else self.certificate.wrap(self.site, self.reactor)
        if self.activated is not None:
            self._listening = _adopt(self.reactor, self.activated, factory)
            return
        try:
            self._listening = self.reactor.listenTCP(self.port, factory, self.backlog, bindable(self.host))
        except CannotListenError as problem:
            raise Invalid("gateway.port", f"cannot listen on {self.host}:{self.port}: {problem.socketError}", _REMEDY) from None

    async def stop(self) -> None:
        """Takes no new connections; those that exist go on."""
        if self._listening is not None:
            listening, self._listening = self._listening, None
            await maybeDeferred(listening.stopListening)

    @property
    def url(self) -> str:
        """Where it answers, with the real port."""
        if self._listening is None:
            return ""
        address: Any = self._listening.getHost()  # IPv4Address or IPv6Address, by their interface neither
        host = self.host if self.activated is None else address.host
        scheme = "http" if self.certificate is None else "https"
        return f"{scheme}://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{address.port}"


def bindable(host: str) -> str:
    """The address to bind: `localhost` and bracketed forms work here, unlike upstream."""
    return "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")


def _adopt(reactor: Any, descriptor: int, factory: Any) -> Any:  # IReactorSocket and a factory to IListeningPort
    with socket.socket(fileno=os.dup(descriptor)) as passed:
        family = passed.family
    os.set_blocking(descriptor, False)
    os.set_inheritable(descriptor, False)
    return reactor.adoptStreamPort(descriptor, family, factory)


class ControlListener(msgspec.Struct):
    """The operator's door: a unix socket that only this user may open."""

    site: Site
    reactor: Any  # IReactorUNIX, whose stubs do not know Site for a factory
    path: Path
    _listening: IListeningPort | None = None
    _directory: int = -1

    async def start(self) -> None:
        """Listens, replacing a socket that a killed daemon left behind (the state lock is held by now)."""
        try:
            if stat.S_ISSOCK(os.lstat(self.path).st_mode):
                os.unlink(self.path)
        except FileNotFoundError:
            pass
        name = str(self.path)
        if len(os.fsencode(name)) > _SOCKET_PATH_BYTES:
            self._directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            name = f"/proc/self/fd/{self._directory}/{self.path.name}"
        before = os.umask(0o177)
        try:
            self._listening = self.reactor.listenUNIX(name, self.site, mode=0o600)
        except CannotListenError as problem:
            raise Invalid(str(self.path), f"cannot listen: {problem.socketError}", "Check the state directory") from None
        finally:
            os.umask(before)

    async def stop(self) -> None:
        """Takes the socket away."""
        if self._listening is not None:
            listening, self._listening = self._listening, None
            await maybeDeferred(listening.stopListening)
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1
