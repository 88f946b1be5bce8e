"""The gateway as a process of its own: listeners, tunnel, control socket, signals, exit code. Ring: assembly. Source: design §7.

Everything here is what `Gateway.build` leaves to whoever owns the process; `tap.py` and `clawgate run` share it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger, globalLogPublisher
from twisted.python.failure import Failure

from clawgate import __version__
from clawgate.banner import code_block, control_token, listening, outside_url
from clawgate.domain.caller import parse_networks
from clawgate.domain.errors import GatewayError, Invalid
from clawgate.domain.settings import Settings
from clawgate.domain.settings.findings import bind_refusal, is_announced
from clawgate.gateway import Gateway
from clawgate.lifecycle import GatewayService, Step
from clawgate.services.health import Health
from clawgate.system.activation import activated_socket
from clawgate.system.atomic import replace_file
from clawgate.system.configfile import fingerprint_of, overlay_path
from clawgate.system.control import CONTROL_SOCKET, DAEMON_FILE, RunningDaemon
from clawgate.system.environment import for_agents
from clawgate.system.lan import outward_address
from clawgate.system.mdns import Announcer, check_package
from clawgate.system.notify import Heartbeat, Notifier
from clawgate.system.threads import Threads
from clawgate.system.watch import FileWatch
from clawgate.system.watchdog import StallWatchdog, UnhandledErrors, enable_faulthandler, force_exit_after, raise_nofile, tune_gc
from clawgate.web.front import FrontSite
from clawgate.web.limits import Limits
from clawgate.web.listen import Certificate, ControlListener, PublicListener
from clawgate.web.site import GatewaySite

if TYPE_CHECKING:
    from clawgate.web.control_plane import ControlPlaneListener

_log = Logger()
EX_CONFIG = 78
EX_FAILED = 1
_DRAIN_MARGIN_SECONDS = 30.0
_TUNE_SECONDS = 0.25
"""From being ready to the collector's look at everything: whoever waits for the start is answered first."""


def check_startable(settings: Settings) -> None:
    """Refuses settings that must not be served.

    Raises:
        Invalid: a public bind without TLS or a tunnel; an announcement without its package.
    """
    refusal = bind_refusal(settings)
    if refusal:
        raise Invalid("gateway.host", refusal)
    if is_announced(settings):
        check_package()


class Daemon(msgspec.Struct, eq=False, dict=True):
    """One daemon process.

    Attributes:
        show: writes to the operator's real stdout.
        hide: keeps the secrets of these settings out of the log.
        exit_code: what the process should end with.
    """

    settings: Settings
    reactor: Any  # the reactor offers some fifteen interfaces; there is no intersection type
    show: Callable[[str], None]
    hide: Callable[[Settings], None] = lambda settings: None
    exit_code: int = 0
    _sites: list[GatewaySite] = []
    _public_url: str | None = None
    _is_ready: bool = False
    _reload_wanted: bool = False
    _tuning: IDelayedCall | None = None
    _finished: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        settings, reactor = self.settings, self.reactor
        children = for_agents(os.environ)
        self.gateway = Gateway.build(settings, reactor, announce=self._show_code, pid=os.getpid(), environment=children, variables=os.environ)
        self.gateway.live.beforehand = self.hide
        self._notifier = Notifier(os.environ.get("NOTIFY_SOCKET"))
        edges = self.gateway.edges
        self._site = self._new_site(is_secure=settings.gateway.tls.enabled)
        own = settings.gateway
        self._tls = _live_tls(settings, self.gateway.health)
        self._listener = PublicListener(self._site, reactor, own.host, own.port, own.listen_backlog, activated_socket(), self._tls)
        control_site = self._new_site()
        control = ControlListener(control_site, reactor, Path(settings.state_dir) / CONTROL_SOCKET)
        watch = FileWatch(edges.clock, (settings.config_path, overlay_path(settings.config_path)), lambda _: self.reload())
        tls_watch = FileWatch(edges.clock, self._tls.paths if self._tls is not None else (), lambda _: self._reload_tls())
        plane = self._control_plane()
        heartbeat = Heartbeat(self._notifier, edges.clock)
        watchdog = StallWatchdog(edges.clock, edges.meter)
        self.gateway.add_steps(
            Step("watchdog", _sync(watchdog.start), _sync(watchdog.stop)),
            Step("heartbeat", _sync(heartbeat.start), _sync(heartbeat.stop)),
            Step("control", control.start, self._closing(control_site, control.stop)),
            *([Step("certificate watch", _sync(tls_watch.start), _sync(tls_watch.stop))] if self._tls is not None else []),  # before they are read
            Step("listener", self._listening, self._closing(self._site, self._listener.stop)),
            *([Step("control plane", plane.start, plane.stop)] if plane is not None else []),
            *self._mdns_steps(),
            Step("config watch", _sync(watch.start), _sync(watch.stop)),
            *self._tunnel_steps(),
            Step("ready", self._ready, self._ending),
        )

    def service(self) -> GatewayService:
        """The service to be started; a failed start ends the process with its exit code."""
        return self.gateway.lifecycle_service(self._failed)

    def reload(self) -> None:
        """SIGHUP, or a file of the configuration changed: takes up what is live; a bad file leaves the last good settings (`services.settings`).
        So do certificates (`web.tls`).

        During the start it is put off until everything is up; during the stop nothing is taken up any more.
        """
        if not self._is_ready:
            self._reload_wanted = True
            return
        self._reload_tls()
        reloading = Deferred.fromCoroutine(self.gateway.live.reload())
        reloading.addErrback(lambda failure: _log.failure("the configuration was not read again", failure))

    def _reload_tls(self) -> None:
        if self._tls is not None:
            self._tls.reload()

    # --- steps

    async def _listening(self) -> None:
        await self._listener.start()
        self._write_daemon_file()
        self.show(listening(self._listener.url, None, self.settings, is_paired=self.gateway.devices.is_paired))

    def _tunnel_up(self, url: str) -> None:
        self._public_url = url
        self._write_daemon_file()
        code = None if self.gateway.devices.is_paired else self.gateway.pairing.pending_code
        self.show(listening(self._listener.url, url, self.settings, is_paired=code is None))
        if code is not None:
            self._show_code(code)

    async def _ready(self) -> None:
        raise_nofile()
        self._tuning = self.gateway.edges.clock.call_later(_TUNE_SECONDS, tune_gc)
        globalLogPublisher.addObserver(UnhandledErrors(self.gateway.edges.meter))
        self._notifier.ready(f"listening on {self._listener.url}")
        _log.info("listening on {url}", url=self._listener.url)
        self._is_ready = True
        if self._reload_wanted or self._files_differ():
            self.reload()

    def _files_differ(self) -> bool:
        """Whether a hand may have saved something between our reading of the files and our watch on them, or, under an overlay, while nothing ran."""
        path = self.settings.config_path
        return os.path.exists(overlay_path(path)) or fingerprint_of(path) != self.settings.config_fingerprint

    async def _ending(self) -> None:
        self._is_ready = False
        if self._tuning is not None and self._tuning.active():
            self._tuning.cancel()
        self._notifier.stopping()
        self._finished = force_exit_after(self.settings.gateway.drain_secs + _DRAIN_MARGIN_SECONDS, EX_FAILED)
        signal.signal(signal.SIGTERM, lambda *_: os._exit(EX_FAILED))
        self.reactor.addSystemEventTrigger("after", "shutdown", self._finished)
        Path(self.settings.state_dir, DAEMON_FILE).unlink(missing_ok=True)

    def _closing(self, site: GatewaySite, stop: Callable[[], Any]) -> Callable[[], Any]:  # awaitables of different kinds
        async def close() -> None:
            self.gateway.web.draining = True
            await stop()
            site.drain()

        return close

    # --- details

    def _control_plane(self) -> ControlPlaneListener | None:
        plane, own = self.gateway.control, self.settings.control
        if plane is None:
            return None
        from clawgate.web.control_plane import ControlPlaneListener  # few have one

        plane.tokens.announce = lambda token: self.show(control_token(token))
        edges, trusted = self.gateway.edges, parse_networks(own.trusted_ips)
        return ControlPlaneListener(plane, edges.clock, self.gateway.health, self.reactor, own.host, own.port, trusted)

    def _tunnel_steps(self) -> tuple[Step, ...]:
        """Beside the running gateway: a tunnel that does not come up costs nobody else anything."""
        own, edges = self.settings, self.gateway.edges
        if own.tunnel.provider == "none":
            return ()
        from clawgate.system.tunnel import Tunnel  # few have one

        tunnel = Tunnel(settings=own.tunnel, reactor=self.reactor, clock=edges.clock, health=self.gateway.health, on_url=self._tunnel_up)

        async def start() -> None:
            port = int(self._listener.url.rpartition(":")[2])
            starting = Deferred.fromCoroutine(_awaited(tunnel.start(own.gateway.host, port)))
            starting.addErrback(lambda failure: _log.warn("the tunnel did not start: {problem}", problem=failure.getErrorMessage()))

        return (Step("tunnel", start, lambda: tunnel.stop(), 10.0),)

    def _mdns_steps(self) -> tuple[Step, ...]:
        """Beside the running gateway, as the tunnel: nobody waits for the network's word."""
        own = self.settings
        if not is_announced(own):
            return ()
        threads = Threads(self.reactor, "clawgate-mdns", 1)
        announcer = Announcer(own.nodes.announce_name, own.gateway.path_prefix, __version__, self.gateway.health, threads)
        return (Step("announcement", _sync(lambda: announcer.start(self._listener.url)), announcer.stop),)

    def _show_code(self, code: str) -> None:
        outside = self._public_url or outside_url(self._listener.url, outward_address())
        self.show(code_block((outside or self._listener.url) + self.settings.gateway.path_prefix, code, outside is not None))

    def _new_site(self, *, is_secure: bool = False) -> GatewaySite:
        own, web = self.settings.gateway, self.gateway.web
        limits = Limits(
            header_timeout_seconds=own.header_timeout_secs,
            body_timeout_seconds=own.body_timeout_secs,
            idle_timeout_seconds=own.idle_timeout_secs,
            max_body_bytes=own.max_body_bytes,
            max_connections=own.max_connections,
            max_connections_per_client=own.max_connections_per_client,
        )
        meter = self.gateway.edges.meter
        site = FrontSite(
            web,
            limits,
            is_secure=is_secure,
            reactor=self.reactor,
            on_event=lambda name: meter.count("http_refused_total", name),
            on_connections=lambda _: meter.gauge("http_connections", sum(each.connections for each in self._sites)),
            is_uncapped=web.peers.is_trusted,
        )
        site.noisy = False
        self._sites.append(site)
        return site

    def _write_daemon_file(self) -> None:
        prefix = self.settings.gateway.path_prefix
        public_url = self._public_url + prefix if self._public_url is not None else None
        told = RunningDaemon(os.getpid(), self._listener.url + prefix, public_url, self.gateway.edges.clock.wall_ms() // 1000)
        replace_file(str(Path(self.settings.state_dir, DAEMON_FILE)), msgspec.json.encode(told))

    def _failed(self, failure: Failure) -> None:
        """One clear line, and the process ends."""
        self.exit_code = EX_CONFIG if failure.check(Invalid) else EX_FAILED
        problem = failure.value
        detail = getattr(problem, "detail", "")
        _log.critical("clawgate could not start: {problem} {detail}", problem=str(problem), detail=detail)
        if not failure.check(GatewayError):
            _log.failure("this is a bug", failure)
        self.reactor.callWhenRunning(self._end_reactor)

    def _end_reactor(self) -> None:
        if self.reactor.running:
            self.reactor.stop()


def prepare_process(reactor: Any) -> None:  # see Daemon.reactor
    """What a process does once, before anything runs: waits follow the monotonic clock, crashes leave a stack."""
    reactor.seconds = time.monotonic
    enable_faulthandler()


def _live_tls(settings: Settings, health: Health) -> Certificate | None:
    tls, asked = settings.gateway.tls, settings.gateway.tls.client_auth
    if not tls.enabled:
        return None
    from clawgate.web.tls import ClientAuth, LiveTls, TlsFiles  # OpenSSL takes its time to load

    client_auth = ClientAuth(asked.ca_cert_path, asked.require_client_cert, frozenset(asked.pinned_certs)) if asked.enabled else None
    return LiveTls(TlsFiles(tls.cert_path, tls.key_path, client_auth), health)


def _sync(function: Callable[[], object]) -> Callable[[], Any]:  # a step's action
    async def run() -> None:
        function()

    return run


async def _awaited(deferred: Any) -> None:  # a Deferred of any result
    await deferred
