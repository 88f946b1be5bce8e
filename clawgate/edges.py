"""The outside of a gateway: every edge it is built with. Ring: assembly. Source: design §2.

`Edges.real` is the one place that chooses clocks, stores, vendors and platforms; tests and embedders hand in their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from clawgate.agents.choose import build_backend
from clawgate.channels.kinds import build_channels
from clawgate.domain.settings import Settings
from clawgate.lifecycle import Step
from clawgate.ports.agents import AgentBackend
from clawgate.ports.channels import Channel
from clawgate.ports.clock import Clock, Entropy, Ids
from clawgate.ports.config import TokenMirror
from clawgate.ports.events import Meter
from clawgate.ports.stores import Store
from clawgate.services.memory import Memory
from clawgate.stores.sqlite import SqliteStore
from clawgate.system.clock import SystemClock, SystemEntropy, SystemIds
from clawgate.system.configfile import ConfigFile, PairedTokensFile
from clawgate.system.lock import StateLock
from clawgate.system.prometheus import NoMeter, PrometheusMeter

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
    build_backend: Callable[[Settings], AgentBackend] | None = None
    """Makes a backend from changed settings; None = `backend` whatever they say."""
    build_channels: Callable[[Settings], Mapping[str, Channel]] | None = None
    """Makes the channels of changed settings; None = `channels` whatever they say."""

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

        def make_backend(wanted: Settings) -> AgentBackend:
            return build_backend(wanted, reactor=reactor, clock=clock, notes=notes, service=answers, environment=environment)

        def make_channels(wanted: Settings) -> Mapping[str, Channel]:
            return build_channels(wanted, reactor, clock)

        return cls(
            clock=clock,
            entropy=entropy,
            ids=ids,
            meter=meter,
            store=store,
            backend=make_backend(settings),
            channels=make_channels(settings),
            mirror=PairedTokensFile(ConfigFile(settings.config_path), in_file_thread),
            memory=memory,
            steps=(Step("state", hold, let_go),),
            build_backend=make_backend,
            build_channels=make_channels,
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
