"""Assembly: the only place where everything meets. Ring: assembly. Source: design §2.

`Gateway.build` makes objects and touches nothing outside the package; work begins when `service` starts. It can be mounted in somebody else's
Twisted process: give `service` a parent and put `resource` anywhere below their site (docs/howto/embed.md). `Daemon` adds what a process of its own
needs: listeners, tunnel, signals' work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from twisted.web.resource import IResource

from clawgate.agents.choose import build_backend
from clawgate.channels.kinds import KINDS, build_channels
from clawgate.domain.caller import parse_networks
from clawgate.domain.inbox import RetryPolicy
from clawgate.domain.prompts import PromptPolicy
from clawgate.domain.ratelimit import SlidingWindow, auth_limiter
from clawgate.domain.settings import Settings
from clawgate.lifecycle import GatewayService, Lifecycle, Step
from clawgate.ports.agents import AgentBackend
from clawgate.ports.channels import Channel
from clawgate.ports.clock import Clock, Entropy, Ids
from clawgate.ports.config import TokenMirror
from clawgate.ports.events import Meter
from clawgate.ports.stores import Store
from clawgate.services.access import Access
from clawgate.services.delivery import Delivery
from clawgate.services.desk import Desk
from clawgate.services.devices import Devices
from clawgate.services.dispatch import Dispatch
from clawgate.services.guard import Guard
from clawgate.services.health import Health
from clawgate.services.housekeeping import Housekeeping
from clawgate.services.ingress import Ingress
from clawgate.services.memory import Memory
from clawgate.services.pairing import Pairing
from clawgate.services.turns import Turns
from clawgate.services.waiters import Waiters
from clawgate.stores.sqlite import SqliteStore
from clawgate.system.clock import SystemClock, SystemEntropy, SystemIds
from clawgate.system.configfile import ConfigFile, PairedTokensFile
from clawgate.system.lock import StateLock
from clawgate.system.prometheus import NoMeter, PrometheusMeter
from clawgate.web.auth import Doorkeeper, Peers
from clawgate.web.resource import GatewayResource
from clawgate.web.router import Router
from clawgate.web.surfaces.channels import ChannelSurface
from clawgate.web.surfaces.health import HealthSurface
from clawgate.web.surfaces.inbox import InboxSurface
from clawgate.web.surfaces.pairing import PairingSurface
from clawgate.web.surfaces.webhook import WebhookSurface
from clawgate.web.surfaces.welcome import WelcomeSurface

Reactor = Any  # the reactor offers some fifteen interfaces; there is no intersection type


@define
class Edges:
    """The outside of a gateway; tests and embedders replace what they like."""

    clock: Clock
    entropy: Entropy
    ids: Ids
    meter: Meter
    store: Store
    backend: AgentBackend
    channels: Mapping[str, Channel]
    mirror: TokenMirror
    memory: Memory
    steps: tuple[Step, ...] = ()
    """What has to run before anything else: the state lock, thread pools."""

    @classmethod
    def real(cls, settings: Settings, reactor: Reactor, answers: object = None, environment: Mapping[str, str] | None = None) -> Edges:
        """The real ones: system clock, SQLite, vendors, platforms.

        Args:
            environment: variables for agents that are child processes.
            answers: an object of the embedder's that answers instead of a vendor (`agents.service`).

        Raises:
            Invalid: a setting cannot work.
        """
        clock, entropy = SystemClock(reactor), SystemEntropy()
        ids = SystemIds(clock, entropy)
        is_metered = settings.observability.backend != "none"
        meter: Meter = PrometheusMeter(settings.observability.metrics_namespace) if is_metered else NoMeter()
        store = _store(settings, reactor, clock, meter)
        memory = Memory(store.memory, clock, ids)
        notes = memory if settings.memory.backend != "none" else None
        files = ThreadPool(0, 1, "clawgate-files")
        lock = StateLock(settings.state_dir)

        async def hold() -> None:
            lock.acquire()
            files.start()

        async def let_go() -> None:
            files.stop()
            lock.release()

        def in_file_thread(function: Callable[[], None]) -> Deferred[None]:
            return deferToThreadPool(reactor, files, function)

        return cls(
            clock=clock,
            entropy=entropy,
            ids=ids,
            meter=meter,
            store=store,
            backend=build_backend(settings, reactor=reactor, clock=clock, notes=notes, service=answers, environment=environment),
            channels=build_channels(settings, reactor, clock),
            mirror=PairedTokensFile(ConfigFile(settings.config_path), in_file_thread),
            memory=memory,
            steps=(Step("state", hold, let_go),),
        )


def _store(settings: Settings, reactor: Reactor, clock: Clock, meter: Meter) -> Store:
    path = settings.store.url.removeprefix("sqlite:") or str(Path(settings.state_dir) / "clawgate.db")
    return SqliteStore(
        path,
        reactor,
        clock,
        queue_max=settings.store.queue_max,
        idempotency_max_keys=settings.gateway.idempotency_max_keys,
        high_water=settings.inbox.high_water,
        min_free_bytes=settings.store.min_free_bytes,
        backups_kept=settings.store.backups_kept,
        meter=meter,
    )


@define
class Gateway:
    """One gateway.

    Attributes:
        resource: `IResource`, mountable anywhere.
        service: `IService`; its `started` fires when the gateway runs.
    """

    settings: Settings
    edges: Edges
    health: Health
    pairing: Pairing
    devices: Devices
    ingress: Ingress
    dispatch: Dispatch
    router: Router
    web: GatewayResource
    _steps: tuple[Step, ...]
    _outer: tuple[Step, ...] = field(default=(), init=False)
    _service: GatewayService | None = field(default=None, init=False)

    @classmethod
    def build(
        cls,
        settings: Settings,
        reactor: Reactor,
        edges: Edges | None = None,
        *,
        answers: object = None,
        announce: Callable[[str], None] = lambda code: None,
        pid: int = 0,
        environment: Mapping[str, str] | None = None,
    ) -> Gateway:
        """Makes a gateway; nothing outside the package is read, nothing is opened, bound or started.

        Args:
            edges: None = the real ones.
            answers: an in-process object that answers instead of a vendor; see docs/howto/embed.md.
            announce: is given a pairing code to show to the operator.
            pid: shown by `/health`.
            environment: variables for agents that are child processes.

        Raises:
            Invalid: a setting cannot work.
        """
        return _Assembly(settings, edges or Edges.real(settings, reactor, answers, environment), announce, pid).gateway()

    @property
    def resource(self) -> IResource:
        """For a Site, or for `putChild`."""
        return self.web

    @property
    def service(self) -> IService:
        """For `setServiceParent`, or to be started by hand."""
        return self.lifecycle_service()

    def lifecycle_service(self, on_failed: Callable[[Failure], object] = lambda failure: None) -> GatewayService:
        """The one service of this gateway; `on_failed` of the first call is told why a start failed."""
        if self._service is None:
            self._service = GatewayService(Lifecycle((*self._steps, *self._outer, self._pairing_step()), self.edges.clock), on_failed)
        return self._service

    def _pairing_step(self) -> Step:
        """Last: a code is announced when it can be used."""

        async def stop() -> None:
            self.pairing.stop()

        return Step("pairing", self.pairing.start, stop)

    def add_steps(self, *steps: Step) -> None:
        """Steps around the gateway: started after it, stopped before it. Only before the service is first asked for."""
        self._outer = (*self._outer, *steps)


class _Assembly:
    """The wiring of one gateway, part by part."""

    def __init__(self, settings: Settings, edges: Edges, announce: Callable[[str], None], pid: int) -> None:
        self.settings, self.edges = settings, edges
        own, clock = settings.gateway, edges.clock
        self.boot = edges.entropy.random_bytes(6).hex()
        self.health = Health(clock, pid)
        self.access = Access(edges.store.devices, clock, own.require_pairing)
        self.devices = Devices(edges.store.devices, self.access, edges.mirror, clock, edges.entropy, edges.ids, own.token_prefix)
        self.pairing = Pairing(self.devices, clock, edges.entropy, edges.meter, own.require_pairing, own.pairing_code_ttl_secs, announce)
        self.devices.revoked = self.pairing.withdraw
        self.guard = Guard(_windows(settings), auth_limiter(own.rate_limit_max_keys), clock, edges.meter)
        self._wire_road()

    def _wire_road(self) -> None:
        settings, edges = self.settings, self.edges
        agent, store, clock = settings.agent, edges.store, edges.clock
        retry = RetryPolicy(max_attempts=agent.max_attempts, initial_seconds=agent.retry_initial_secs, max_seconds=agent.retry_max_secs)
        prompts = PromptPolicy(
            system=agent.system_prompt,
            model=settings.default_model,
            temperature=settings.default_temperature,
            history_lines=agent.history_messages,
        )
        turns = Turns(edges.backend, store.inbox, clock, edges.entropy, edges.meter, retry, prompts, agent.turn_timeout_secs)
        self.waiters = Waiters(settings.inbox.max_waiters)
        self.delivery = Delivery(store.outbox, edges.channels, clock, edges.entropy, edges.ids, edges.meter, self.health, retry)
        self.dispatch = Dispatch(
            store.inbox,
            turns,
            self.waiters,
            clock,
            edges.meter,
            self.boot,
            agent.max_concurrent_turns,
            self.delivery.replies,
            self.delivery.wake,
        )
        auto_save = settings.memory.auto_save and settings.memory.backend != "none"
        self.ingress = Ingress(store.inbox, self.dispatch, self.waiters, clock, edges.ids, edges.meter, auto_save)
        kept = (settings.inbox.retention_secs, settings.memory.max_auto_saved)
        self.housekeeping = Housekeeping(store, self.access, clock, edges.meter, self.health, *kept)

    def gateway(self) -> Gateway:
        router = Router()
        for surface in self._surfaces():
            surface.register(router)
        web = self._resource(router)
        return Gateway(self.settings, self.edges, self.health, self.pairing, self.devices, self.ingress, self.dispatch, router, web, self._steps(web))

    def _surfaces(self) -> tuple[Any, ...]:  # surfaces share one method, `register`
        settings, edges = self.settings, self.edges
        own, webhook = settings.gateway, settings.channels_config.webhook
        desk = Desk(edges.store.inbox, edges.store.outbox, self.dispatch, edges.clock)
        return (
            HealthSurface(self.health, self.devices, edges.meter, own.require_pairing),
            PairingSurface(self.pairing, self.devices, self.guard, edges.clock),
            WelcomeSurface.load(),
            WebhookSurface(
                self.ingress,
                edges.ids,
                webhook.secret if webhook is not None else None,
                own.idempotency_ttl_secs,
                own.request_timeout_secs,
            ),
            InboxSurface(desk),
            *(
                ChannelSurface(name, kind.title, edges.channels, self.ingress, edges.clock, edges.ids, edges.meter, kind.has_handshake)
                for name, kind in KINDS.items()
            ),
        )

    def _resource(self, router: Router) -> GatewayResource:
        own = self.settings.gateway
        trusted = parse_networks(own.trusted_proxies) if own.trust_forwarded_headers else ()
        return GatewayResource(
            router=router,
            doorkeeper=Doorkeeper(self.access, self.guard),
            peers=Peers(trusted, self.settings.tunnel.provider != "none"),
            clock=self.edges.clock,
            meter=self.edges.meter,
            boot=self.boot,
            timeout_seconds=own.request_timeout_secs,
            max_body_bytes=own.max_body_bytes,
            prefix=own.path_prefix.encode(),
        )

    def _steps(self, web: GatewayResource) -> tuple[Step, ...]:
        edges, own = self.edges, self.settings.gateway

        async def adopt() -> None:
            await self.devices.adopt(own.paired_tokens, list_present=self.settings.paired_tokens_present)

        async def recover() -> None:
            await edges.store.inbox.recover(self.boot, edges.clock.wall_ms())
            self.dispatch.start()

        async def drain() -> None:
            self.ingress.close()
            await self.dispatch.drain(own.drain_secs)

        async def close_channels() -> None:
            for channel in edges.channels.values():
                await channel.stop()

        async def open_door() -> None:
            self.health.ok("gateway")

        async def close_door() -> None:
            web.draining = True

        return (
            *edges.steps,
            Step("store", lambda: edges.store.start(), lambda: edges.store.stop(), 10.0),
            Step("devices", adopt),
            Step("agent", lambda: edges.backend.start(), lambda: edges.backend.stop()),
            Step("channels", stop=close_channels),
            Step("delivery", lambda: self.delivery.start(), lambda: self.delivery.stop(3.0)),
            Step("answers", stop=lambda: self._answered(web)),
            Step("dispatch", recover, drain, own.drain_secs + 5.0),
            Step("housekeeping", self.housekeeping.start, self.housekeeping.stop),
            Step("door", open_door, close_door),
        )

    async def _answered(self, web: GatewayResource) -> None:
        """Waits until every handler has answered, a moment at most."""
        deadline = self.edges.clock.monotonic() + 2.0
        while web.in_flight and self.edges.clock.monotonic() < deadline:
            await self.edges.clock.sleep(0.02)


def _windows(settings: Settings) -> dict[str, SlidingWindow]:
    own = settings.gateway
    limits = {"pair": own.pair_rate_limit_per_minute, "webhook": own.webhook_rate_limit_per_minute, "api": own.api_rate_limit_per_minute}
    return {name: SlidingWindow(limit, own.rate_limit_max_keys) for name, limit in limits.items()}
