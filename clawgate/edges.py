"""The outside of a gateway: every edge it is built with. Ring: assembly. Source: design §2.

`Edges.real` is the one place that chooses clocks, stores, vendors and platforms; tests and embedders hand in their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import execute

from clawgate.agents.catalog import build_catalog
from clawgate.agents.choose import build_backend
from clawgate.channels.kinds import build_channels
from clawgate.domain.secret import Secret
from clawgate.domain.settings import Settings
from clawgate.lifecycle import Step
from clawgate.ports.agents import AgentBackend, ModelCatalog
from clawgate.ports.attachments import AttachmentFiles
from clawgate.ports.channels import Channel
from clawgate.ports.clock import Clock, Entropy, Ids
from clawgate.ports.config import ChannelAllowlist, ConfigStore, SkillSwitch, TokenMirror
from clawgate.ports.control import Signer
from clawgate.ports.cron import Schedules
from clawgate.ports.events import LogLines, Meter
from clawgate.ports.knowledge import Extractor
from clawgate.ports.mcp import McpConnector
from clawgate.ports.personality import PersonalityFile
from clawgate.ports.processes import Processes
from clawgate.ports.skills import Marketplace, SkillFiles
from clawgate.ports.stores import Store
from clawgate.ports.subscriptions import Poster
from clawgate.ports.terminals import PtySpawner
from clawgate.ports.threads import FileFacts, Passwords
from clawgate.ports.triggers import RoutesFile
from clawgate.ports.workspace import MemoryFile, Workspace
from clawgate.services.memory import Memory
from clawgate.stores.sqlite import SqliteStore
from clawgate.system.attachments import AttachmentDirectory, NoAttachments
from clawgate.system.channelsfile import ChannelsFile, NoFile
from clawgate.system.clock import SystemClock, SystemEntropy, SystemIds
from clawgate.system.configfile import ConfigFile, PairedTokensFile, gather_facts
from clawgate.system.configstore import ConfigFiles, FileConfigStore
from clawgate.system.extraction import FileExtractor
from clawgate.system.jwt import Hs256
from clawgate.system.lock import StateLock
from clawgate.system.logs import TAIL
from clawgate.system.marketplace import HttpMarketplace
from clawgate.system.mcp import Connector
from clawgate.system.memoryfile import MemoryMarkdown
from clawgate.system.passwords import Argon2Passwords
from clawgate.system.personafile import PersonaFiles
from clawgate.system.poster import HttpPoster, NoPoster
from clawgate.system.processes import NoProcesses, SystemProcesses
from clawgate.system.prometheus import NoMeter, PrometheusMeter
from clawgate.system.pty import NoPtys, SystemPtys
from clawgate.system.routesfile import NAME, JsonRoutes, NoRoutes
from clawgate.system.schedules import SystemSchedules
from clawgate.system.skillfiles import SkillDirectory
from clawgate.system.skillswitch import SkillEntriesFile
from clawgate.system.threads import Threads
from clawgate.system.workspace import NoWorkspace, WorkspaceFiles, directory_of

Reactor = Any  # the reactor offers some fifteen interfaces; there is no intersection type


class Edges(msgspec.Struct):
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
    skill_files: SkillFiles
    skill_switch: SkillSwitch
    persona: PersonalityFile
    build_marketplace: Callable[[Callable[[], Settings]], Marketplace]
    """Makes what offers skills; asks where the marketplace is each time."""
    mcp: McpConnector
    steps: tuple[Step, ...] = ()
    """What has to run before anything else: the state lock, thread pools."""
    build_backend: Callable[[Settings], AgentBackend] | None = None
    """Makes a backend from changed settings; None = `backend` whatever they say."""
    build_channels: Callable[[Settings], Mapping[str, Channel]] | None = None
    """Makes the channels of changed settings; None = `channels` whatever they say."""
    passwords: Passwords = msgspec.field(default_factory=Argon2Passwords)
    build_signer: Callable[[Secret], Signer] = Hs256
    """Makes what signs the control plane's tokens."""
    facts: FileFacts = lambda settings: execute(gather_facts, settings)
    memory_file: MemoryFile | None = None
    """Where what is remembered is written for people; None = nowhere."""
    allowlist: ChannelAllowlist = msgspec.field(default_factory=NoFile)
    schedules: Schedules = msgspec.field(default_factory=SystemSchedules)
    processes: Processes = msgspec.field(default_factory=NoProcesses)
    ptys: PtySpawner = msgspec.field(default_factory=NoPtys)
    workspace: Workspace = msgspec.field(default_factory=NoWorkspace)
    attachments: AttachmentFiles = msgspec.field(default_factory=NoAttachments)
    routes: RoutesFile = msgspec.field(default_factory=NoRoutes)
    config: ConfigStore | None = None
    """The files of the configuration; None = what is changed lasts until the end of the process."""
    extractor: Extractor = msgspec.field(default_factory=FileExtractor)
    build_catalog: Callable[[Callable[[], Settings]], ModelCatalog] | None = None
    """Makes what asks vendors for their models; None = nobody is asked."""
    poster: Poster = msgspec.field(default_factory=NoPoster)
    """Sends events to subscribers."""
    logs: LogLines = TAIL
    """The last lines of the log."""

    @classmethod
    def real(
        cls,
        settings: Settings,
        reactor: Reactor,
        answers: object = None,
        environment: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> Edges:
        """The real ones: system clock, SQLite, vendors, platforms.

        Args:
            environment: variables for agents that are child processes.
            variables: those that stand above the configuration's files; None = the files are neither read again nor written.
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
        pools = _Pools.of(reactor)

        def make_backend(wanted: Settings) -> AgentBackend:
            return build_backend(wanted, reactor=reactor, clock=clock, notes=notes, service=answers, environment=environment)

        def make_channels(wanted: Settings) -> Mapping[str, Channel]:
            return build_channels(wanted, reactor, clock)

        def make_catalog(current: Callable[[], Settings]) -> ModelCatalog:
            return build_catalog(current, reactor, clock)

        def make_marketplace(current: Callable[[], Settings]) -> Marketplace:
            return HttpMarketplace(reactor, clock, lambda: current().skills.marketplace_url, lambda: current().skills.max_bytes)

        return cls(
            clock=clock,
            entropy=entropy,
            ids=ids,
            meter=meter,
            store=store,
            backend=make_backend(settings),
            channels=make_channels(settings),
            processes=SystemProcesses(reactor, clock, directory_of(settings)),
            ptys=SystemPtys(reactor, clock),
            memory=memory,
            build_marketplace=make_marketplace,
            mcp=Connector(reactor, clock),
            poster=HttpPoster(reactor, clock),
            steps=(_state(StateLock(settings.state_dir), pools),),
            build_backend=make_backend,
            build_channels=make_channels,
            passwords=Argon2Passwords(pools.hashing),
            build_catalog=make_catalog,
            extractor=FileExtractor(pools.reading),
            attachments=AttachmentDirectory(str(Path(settings.state_dir) / "attachments"), pools.attaching, settings.store.min_free_bytes),
            **_files(settings, clock, pools, environment or {}, variables),
        )


class _Pools(msgspec.Struct):
    """The threads of one gateway, each pool for one kind of work: what waits for a disk must not wait for a password."""

    files: Threads
    hashing: Threads
    looking: Threads
    reading: Threads
    scanning: Threads
    attaching: Threads

    @classmethod
    def of(cls, reactor: Reactor) -> _Pools:
        """Nothing starts yet."""
        return cls(
            Threads(reactor, "clawgate-files", 1),
            Threads(reactor, "clawgate-passwords", 1),
            Threads(reactor, "clawgate-facts", 1),
            Threads(reactor, "clawgate-extraction", 2),
            Threads(reactor, "clawgate-skills", 1),
            Threads(reactor, "clawgate-attachments", 1),
        )

    def start(self) -> None:
        """Threads start with their first work."""
        for pool in (self.files, self.hashing, self.looking, self.reading, self.scanning, self.attaching):
            pool.start()

    def stop(self) -> None:
        """What writes files is waited for, the rest is left behind."""
        for pool in (self.scanning, self.reading, self.looking, self.hashing):
            pool.stop()
        self.attaching.finish()
        self.files.finish()


def _state(lock: StateLock, pools: _Pools) -> Step:
    """The lock is held as long as a thread may write."""

    async def hold() -> None:
        lock.acquire()
        pools.start()

    async def let_go() -> None:
        pools.stop()
        lock.release()

    return Step("state", hold, let_go)


def _beside(settings: Settings) -> Path:
    return Path(settings.config_path).parent if settings.config_path else Path(settings.state_dir)


def _files(
    settings: Settings, clock: Clock, pools: _Pools, environment: Mapping[str, str], variables: Mapping[str, str] | None
) -> dict[str, Any]:  # parts of `Edges` by name, each of its own type
    """Everything that reads and writes the user's files."""
    beside, workspace, config_path = _beside(settings), directory_of(settings), settings.config_path
    files = ConfigFiles(config_path, variables or {})
    skills = Path(settings.skills.directory).expanduser() if settings.skills.directory else beside / "skills"
    return {
        "mirror": PairedTokensFile(ConfigFile(config_path, files.follow), pools.files),
        "memory_file": MemoryMarkdown(workspace, pools.files) if config_path else None,
        "allowlist": ChannelsFile(ConfigFile(config_path), pools.files),
        "workspace": WorkspaceFiles(workspace, pools.looking),
        "routes": JsonRoutes(str(beside / NAME), clock, pools.looking) if config_path else NoRoutes(),
        "skill_files": SkillDirectory(str(skills), pools.scanning, environment),
        "skill_switch": SkillEntriesFile(config_path, pools.files),
        "persona": PersonaFiles(str(beside), pools.scanning),
        "config": FileConfigStore(files, pools.files) if config_path and variables is not None else None,
        "facts": lambda current: pools.looking(partial(gather_facts, current)),
    }


def _store(settings: Settings, reactor: Reactor, clock: Clock, meter: Meter) -> Store:
    return SqliteStore(
        settings.database,
        reactor,
        clock,
        queue_max=settings.store.queue_max,
        idempotency_max_keys=settings.gateway.idempotency_max_keys,
        high_water=settings.inbox.high_water,
        min_free_bytes=settings.store.min_free_bytes,
        backups_kept=settings.store.backups_kept,
        meter=meter,
    )
