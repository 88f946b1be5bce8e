"""The wiring of one gateway, part by part. Ring: assembly. Source: design §2.

Objects are made here and nothing outside the package is touched; work begins when the lifecycle's steps run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from clawgate import __version__
from clawgate.channels.kinds import admitted
from clawgate.domain.approvals import Level, ToolPolicy
from clawgate.domain.attempts import Outcome
from clawgate.domain.inbox import Item, RetryPolicy, State
from clawgate.domain.messages import TurnOptions
from clawgate.domain.personality import profile_of
from clawgate.domain.prompts import PromptPolicy
from clawgate.domain.ratelimit import SlidingWindow, auth_limiter
from clawgate.domain.settings import Settings
from clawgate.domain.settings.providers import named
from clawgate.edges import Edges
from clawgate.lifecycle import Step
from clawgate.ports.audit import Recorder
from clawgate.services.access import Access
from clawgate.services.approvals import Approvals
from clawgate.services.attachments import Attachments
from clawgate.services.audit import NOT_RECORDED, Audit
from clawgate.services.backends import Backends
from clawgate.services.canvas_tools import CanvasTools
from clawgate.services.canvases import Canvases
from clawgate.services.channel_ingress import ChannelIngress
from clawgate.services.channels import Channels
from clawgate.services.chat_approvals import ChatApprovals
from clawgate.services.chats import Chats
from clawgate.services.clock_watch import ClockWatch
from clawgate.services.context import Context
from clawgate.services.control_plane import ControlPlane, ControlTokens, signing_key
from clawgate.services.cron import Cron
from clawgate.services.cron_runs import CronPolicy, CronRuns
from clawgate.services.delivery import Delivery
from clawgate.services.desk import Desk
from clawgate.services.devices import Devices
from clawgate.services.dispatch import Dispatch
from clawgate.services.events import Events
from clawgate.services.guard import Guard
from clawgate.services.health import Health
from clawgate.services.heartbeat import Heartbeat
from clawgate.services.housekeeping import Housekeeping
from clawgate.services.ingress import Ingress
from clawgate.services.knowledge import Knowledge
from clawgate.services.knowledge_tools import KnowledgeTools
from clawgate.services.live_parts import ChannelsPart, McpPart, ModelPart, TokensPart
from clawgate.services.mcp import McpServers
from clawgate.services.memory_projection import MemoryProjection
from clawgate.services.memory_tools import MemoryTools
from clawgate.services.node_tools import NodeTools
from clawgate.services.nodes import Nodes
from clawgate.services.onboarding import Onboarding
from clawgate.services.pairing import Pairing
from clawgate.services.personality import Personalities
from clawgate.services.preface import Preface
from clawgate.services.rounds import Rounds
from clawgate.services.scheduler import Scheduler
from clawgate.services.sessions import Sessions
from clawgate.services.settings import LiveSettings
from clawgate.services.skill_tools import SkillTools
from clawgate.services.skills import Skills
from clawgate.services.streams import Streams
from clawgate.services.subscriptions import Subscriptions
from clawgate.services.supervisor import Supervisor
from clawgate.services.task_tools import TaskTools
from clawgate.services.tasks import Tasks
from clawgate.services.terminals import Terminals
from clawgate.services.tickets import Tickets
from clawgate.services.toolbox import Toolbox
from clawgate.services.triggers import Triggers
from clawgate.services.turn_events import TurnEvents
from clawgate.services.turns import TurnPolicy, Turns
from clawgate.services.waiters import Waiters
from clawgate.services.workflow_approvals import WorkflowApprovals
from clawgate.system.memoryconfig import MemoryConfigStore
from clawgate.web.resource import GatewayResource

_T = TypeVar("_T")


class Assembly:
    """The wiring of one gateway, part by part."""

    def __init__(self, settings: Settings, edges: Edges, announce: Callable[[str], None], pid: int) -> None:
        self.settings, self.edges = settings, edges
        own, clock = settings.gateway, edges.clock
        self.boot = edges.entropy.random_bytes(6).hex()
        self.health = Health(clock, pid)
        self.events = Events(clock)
        self.audit = Audit(edges.store.audit, clock, edges.meter, self.health, settings.audit.retention_days)
        self.recorder: Recorder = self.audit if settings.audit.enabled else NOT_RECORDED
        waits = settings.reliability
        self.supervisor = Supervisor(clock, self.health, waits.channel_initial_backoff_secs, waits.channel_max_backoff_secs)
        self.toolbox = Toolbox()
        self.channels = Channels(edges.channels)
        self.access = Access(edges.store.devices, clock, own.require_pairing)
        self.devices = Devices(edges.store.devices, self.access, edges.mirror, clock, edges.entropy, edges.ids, own.token_prefix, audit=self.recorder)
        self.onboarding = Onboarding(edges.store.facts, edges.allowlist, clock, edges.entropy, edges.meter, self._admitted, self.recorder)
        self.pairing = Pairing(
            self.devices,
            clock,
            edges.entropy,
            edges.meter,
            own.require_pairing,
            own.pairing_code_ttl_secs,
            announce,
            self.onboarding.vouch,
            self.recorder,
        )
        self.tickets = Tickets(clock, edges.entropy)
        self.guard = Guard(_windows(settings), auth_limiter(own.rate_limit_max_keys), clock, edges.meter)
        self._wire_memory()
        self._wire_road()
        self._wire_chats()
        # Not the supervisor of the others: it stops before the dispatch drains, and turns under way still call tools.
        backoff = (waits.channel_initial_backoff_secs, waits.channel_max_backoff_secs)
        self.mcp = McpServers(edges.mcp, Supervisor(clock, self.health, *backoff), clock)
        self._wire_channels()
        self._wire_tasks()
        self._wire_knowledge()
        self.terminals = Terminals(edges.ptys, clock, edges.ids, self.events, lambda: self.settings.terminal, self.recorder)
        self._wire_cron()
        self._wire_skills()
        self._wire_shown()
        self.toolbox.add(self.mcp)  # last: other people's tools never push out our own
        self.toolbox.add(NodeTools(self.nodes))  # nor those that come by themselves the ones that the operator chose
        self.subscriptions = self._subscriptions()
        self.clock_watch = self._clock_watch()
        self._wire_live()

    def _wire_live(self) -> None:
        """Last: the parts that follow a change of the settings."""
        edges, config = self.edges, self.edges.config or MemoryConfigStore(self.settings)
        self.live = LiveSettings(config, self.events, self.health, edges.clock, self.settings, self._taken_up, audit=self.recorder)
        build = edges.build_channels or (lambda _: edges.channels)
        tokens = TokensPart(self.devices)
        self.live.reading = tokens.reading
        self.live.parts += [
            ChannelsPart(self.channels, self.delivery, self.health, build),
            ModelPart(self.backends, self.backends.build),
            McpPart(self.mcp),
            tokens,
        ]

        self.control = self._control_plane() if self.settings.control.enabled else None

    def _subscriptions(self) -> Subscriptions:
        edges = self.edges
        told = (edges.store.subscriptions, edges.poster, edges.clock, edges.entropy, self.events, edges.meter)
        return Subscriptions(*told, lambda: self.settings.subscriptions, f"clawgate/{__version__}")

    def _control_plane(self) -> ControlPlane:
        edges, own = self.edges, self.settings.control
        signer = edges.build_signer(signing_key(own.jwt_secret, edges.entropy))
        tokens = ControlTokens(signer, edges.clock, edges.entropy, own.token_ttl_hours)
        return ControlPlane(tokens, self.live, self.backends, edges.clock, self.recorder)

    def _taken_up(self, settings: Settings) -> None:
        is_autonomy_new, self.settings = settings.autonomy != self.settings.autonomy, settings
        if is_autonomy_new:
            self.approvals.forget_grants()
        self.scheduler.wake()
        self.heartbeat.apply(self.supervisor)
        self.terminals.apply()
        self.subscriptions.follow()

    def _wire_memory(self) -> None:
        edges, memory = self.edges, self.edges.memory
        memory.is_on = self.settings.memory.backend != "none"
        self.memory_projection = MemoryProjection(edges.store.memory, edges.memory_file if memory.is_on else None, edges.clock)
        memory.told = self._memory_changed
        self.toolbox.add(MemoryTools(memory))
        self.sessions = Sessions(edges.store.sessions, edges.ids, self.events, edges.attachments, edges.store.inbox)
        self.attachments = Attachments(edges.attachments, self.sessions, edges.clock, edges.ids)

    def _memory_changed(self, kind: str, data: Mapping[str, Any]) -> None:  # JSON values
        self.events.publish(kind, data)
        self.memory_projection.changed()

    def _wire_road(self) -> None:
        settings, edges = self.settings, self.edges
        agent, store, clock = settings.agent, edges.store, edges.clock
        retry = RetryPolicy(max_attempts=agent.max_attempts, initial_seconds=agent.retry_initial_secs, max_seconds=agent.retry_max_secs)
        build = edges.build_backend or (lambda _: edges.backend)
        self.backends = Backends(edges.backend, build, lambda: self.settings, clock)
        self.streams = Streams()
        self.approvals = self._gate()
        tells = TurnEvents(self.events)
        rounds = Rounds(
            self.toolbox,
            self.approvals,
            store.journal,
            self.streams,
            clock,
            edges.meter,
            lambda: self.settings.agent.tool_timeout_secs,
            self._question,
            tells,
            self.recorder,
        )
        context = Context(store.inbox, self.sessions.history, self._preface, edges.memory.recalled, self.attachments.before)
        turns = Turns(
            self.backends,
            context,
            rounds,
            self.streams,
            clock,
            edges.entropy,
            edges.meter,
            retry,
            lambda: _turn_policy(self.settings),
            tells,
        )
        self.waiters = Waiters(settings.inbox.max_waiters)
        self.delivery = Delivery(store.outbox, self.channels, clock, edges.entropy, edges.ids, edges.meter, self.health, _sends(settings))
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
        auto_save = settings.memory.auto_save and edges.memory.is_on
        self.ingress = Ingress(store.inbox, self.dispatch, self.waiters, clock, edges.ids, edges.meter, auto_save)
        kept = (settings.inbox.retention_secs, settings.inbox.dead_retention_secs, settings.memory.max_auto_saved)
        self.housekeeping = Housekeeping(store, self.access, clock, edges.meter, self.health, *kept, (self.attachments.sweep, self.audit.prune))

    def _clock_watch(self) -> ClockWatch:
        store, scheduler = self.edges.store, self.scheduler
        mends = (store.inbox.mend_waits, store.outbox.mend_waits, store.subscriptions.mend_waits, scheduler.mend_waits)
        wakes = (self.dispatch.wake, self.delivery.follow, self.subscriptions.wake, scheduler.wake)
        return ClockWatch(self.edges.clock, self.edges.meter, mends, wakes)

    def _gate(self) -> Approvals:
        return Approvals(
            self.edges.store.journal,
            self.edges.clock,
            self.edges.ids,
            self.events,
            self.streams,
            lambda: _tool_policy(self.settings),
            lambda: self.settings.agent.approval_timeout_secs,
            lambda: self.settings.autonomy.max_actions_per_hour,
            self.recorder,
        )

    def _wire_chats(self) -> None:
        store = self.edges.store
        self.desk = Desk(store.inbox, store.outbox, store.journal, self.dispatch, self.edges.clock)
        self.chats = Chats(
            self.ingress,
            store.inbox,
            self.waiters,
            self.streams,
            self.approvals,
            self.sessions,
            self.desk,
            self.edges.clock,
            lambda: named(self.settings.default_provider),
        )
        self.ingress.told = self.desk.told = self.chats.heard

    async def _preface(self, options: TurnOptions | None) -> str:
        return await self.preface.text(options)

    async def _question(self, item: Item, tools: Sequence[str]) -> str:
        return await self.chat_approvals.question(item, tools)

    def _wire_channels(self) -> None:
        edges, store = self.edges, self.edges.store
        self.chat_approvals = ChatApprovals(
            store.facts,
            edges.clock,
            lambda sender: _tool_policy(self.settings).is_owner(sender),
            lambda: _terms(self.settings),
            self.recorder,
        )
        self.channel_ingress = ChannelIngress(
            store.inbox,
            store.facts,
            self.ingress,
            self.delivery,
            self.onboarding,
            self.chat_approvals,
            edges.clock,
            edges.ids,
            edges.meter,
        )

    def _admitted(self, name: str, identity: str, is_owner: bool) -> None:
        """Takes up what a pairing code has changed in config.toml."""
        channel = self.channels.get(name)
        if channel is not None and identity not in channel.allowed and "*" not in channel.allowed:
            channel.allowed = (*channel.allowed, identity)
        self.settings = self.live.settings = admitted(self.settings, name, identity, is_owner)

    def _wire_knowledge(self) -> None:
        edges = self.edges
        self.knowledge = Knowledge(edges.store.knowledge, edges.extractor, edges.clock, edges.ids, self.events, lambda: self.settings.knowledge)
        self.toolbox.add(KnowledgeTools(self.knowledge))

    def _wire_shown(self) -> None:
        """What agents show and reach on machines that connect by themselves."""
        edges = self.edges
        self.canvases = Canvases(edges.clock, edges.ids, self.events)
        self.nodes = Nodes(edges.clock, edges.ids, self.events, self.settings.nodes)
        self.toolbox.add(CanvasTools(self.canvases))

    def _wire_tasks(self) -> None:
        edges = self.edges
        self.tasks = Tasks(edges.store.tasks, edges.clock, edges.ids, self.events, lambda: self.settings.tasks)
        self.toolbox.add(TaskTools(self.tasks))
        self.triggers = Triggers(edges.routes, self.health)
        self.workflow_approvals = WorkflowApprovals(edges.store.facts, edges.clock, self.events, self.recorder)

    def _wire_cron(self) -> None:
        edges, clock, rows = self.edges, self.edges.clock, self.edges.store.cron

        def has_channel(name: str | None) -> bool:
            return name in self.channels

        telling = (self.events, self._cron_policy, has_channel, self.delivery)
        runs = CronRuns(rows, self.ingress, edges.store.inbox, self.waiters, edges.processes, clock, *telling)
        self.scheduler = Scheduler(rows, edges.schedules, runs, clock, self._cron_policy)
        wake = self.scheduler.wake
        self.cron = Cron(rows, edges.schedules, runs, clock, edges.ids, self.events, self._cron_policy, has_channel, wake)
        self.heartbeat = Heartbeat(edges.workspace, self.ingress, clock, edges.meter, self.health, lambda: self.settings.heartbeat)

    def _cron_policy(self) -> CronPolicy:
        own, programs = self.settings, self.edges.processes
        return CronPolicy(own.cron, own.scheduler, own.autonomy, own.channels_config, programs.workspace, programs.home)

    def _wire_skills(self) -> None:
        edges, clock = self.edges, self.edges.clock
        marketplace = edges.build_marketplace(lambda: self.settings)
        self.skills = Skills(edges.skill_files, marketplace, edges.skill_switch, lambda: self.settings.skills, clock, self.events)
        self.personalities = Personalities(edges.persona, profile_of(self.settings.config_path), clock, self.events)
        self.preface = Preface(self.personalities, self.skills)
        self.toolbox.add(SkillTools(self.skills))

    async def _open_store(self) -> None:
        await self.edges.store.start()
        self.edges.ids.go_on_after(self.edges.store.newest_id)

    async def _adopt(self) -> None:
        await self.devices.adopt(self.settings.gateway.paired_tokens, list_present=self.settings.paired_tokens_present)

    def steps(self, web: GatewayResource) -> tuple[Step, ...]:
        """Everything that is started and stopped, in the order of its start."""
        edges, own = self.edges, self.settings.gateway

        async def recover() -> None:
            running = (await edges.store.inbox.counts([State.RUNNING]))[State.RUNNING]  # all of them of processes that are gone
            await edges.store.inbox.recover(self.boot, edges.clock.wall_ms())
            edges.meter.count("turn_attempts_total", Outcome.LOST, by=running)
            self.dispatch.start()

        async def drain() -> None:
            self.ingress.close()
            await self.dispatch.drain(own.drain_secs)

        async def open_channels() -> None:
            for name in ("channels", *(f"channel:{name}" for name in self.channels)):
                self.health.ok(name)

        async def close_channels() -> None:
            for channel in self.channels.values():
                await channel.stop()

        async def start_cron() -> None:
            await self.scheduler.start(self.supervisor)
            self.heartbeat.apply(self.supervisor)

        async def open_door() -> None:
            self.health.ok("daemon")
            self.health.ok("gateway")

        async def close_door() -> None:
            self.health.failed("daemon", "shutdown requested")
            web.draining = True
            web.sockets.end_all()
            web.streams.end_endless()

        return (
            *edges.steps,
            Step("store", self._open_store, lambda: edges.store.stop(), 10.0),
            Step("audit", lambda: self.audit.start(self.recorder, boot=self.boot), lambda: self.audit.stop(self.recorder)),
            # Before anything can end: outcomes are put into line from here on.
            Step("subscriptions", lambda: self.subscriptions.start(), lambda: self.subscriptions.stop(3.0), 6.0),
            Step("clock", self.clock_watch.start, self.clock_watch.stop),
            Step("devices", self._adopt),
            Step("memory projection", self.memory_projection.start, self.memory_projection.stop),
            Step("agent", self.backends.start, self.backends.stop),
            Step("mcp", lambda: self.mcp.start_all(self.settings.mcp_servers), self.mcp.stop_all, 6.0),
            Step("channels", open_channels, close_channels),
            Step("delivery", lambda: self.delivery.start(), lambda: self.delivery.stop(3.0)),
            Step("answers", stop=lambda: self._answered(web)),
            Step("dispatch", recover, drain, own.drain_secs + 5.0),
            Step("components", stop=self.supervisor.stop_all),
            Step("live settings", stop=self.live.stop),
            Step("cron", start_cron, lambda: self.scheduler.stop(self.supervisor), 8.0),
            Step("triggers", self.triggers.start, self.triggers.stop),
            Step("housekeeping", self.housekeeping.start, self.housekeeping.stop),
            Step("terminals", stop=self.terminals.stop),
            Step("door", open_door, close_door),
        )

    async def _answered(self, web: GatewayResource) -> None:
        """Waits until every handler has answered, a moment at most."""
        deadline = self.edges.clock.monotonic() + 2.0
        while web.in_flight and self.edges.clock.monotonic() < deadline:
            await self.edges.clock.sleep(0.02)


def _turn_policy(settings: Settings) -> TurnPolicy:
    """What turns take from the settings."""
    agent = settings.agent
    prompts = PromptPolicy(
        system=agent.system_prompt,
        temperature=settings.default_temperature,
        history_lines=agent.history_messages,
        recalled=agent.recalled_memories if settings.memory.backend != "none" else 0,
        tool_rounds=agent.max_tool_iterations,
    )
    return TurnPolicy(prompts=prompts, turn_timeout_seconds=agent.turn_timeout_secs, offers_tools=agent.offer_tools)


def _terms(settings: Settings) -> str:
    """Names the autonomy settings: a change of them takes back every "always", also one made while nothing runs."""
    return hashlib.sha256(msgspec.json.encode(settings.autonomy)).hexdigest()[:16]


def _sends(settings: Settings) -> RetryPolicy:
    """When a reply to a channel is sent again: over hours, since a platform may be down for long and nobody but it can say so."""
    own = settings.reliability
    first, longest = own.channel_initial_backoff_secs, own.channel_retry_max_secs
    return RetryPolicy(max_attempts=own.channel_max_attempts, initial_seconds=first, max_seconds=longest)


def _made_once(make: Callable[[Settings], _T]) -> Callable[[Settings], _T]:
    """`make`, but for the same settings as the last time it is what it was then: every turn asks, and settings hardly ever change."""
    last: list[tuple[Settings, _T]] = []

    def made(settings: Settings) -> _T:
        if not last or last[0][0] is not settings:
            last[:] = [(settings, make(settings))]
        return last[0][1]

    return made


@_made_once
def _tool_policy(settings: Settings) -> ToolPolicy:
    own, channels = settings.autonomy, settings.channels_config
    return ToolPolicy(
        level=Level(own.level),
        auto_approve=frozenset(own.auto_approve),
        always_ask=frozenset(own.always_ask),
        autonomous_tools=channels.autonomous_tools,
        owners=frozenset(channels.approval_owners),
        guest_tools=frozenset(channels.guest_allowed_tools),
    )


def _windows(settings: Settings) -> dict[str, SlidingWindow]:
    own = settings.gateway
    limits = {"pair": own.pair_rate_limit_per_minute, "webhook": own.webhook_rate_limit_per_minute, "api": own.api_rate_limit_per_minute}
    return {name: SlidingWindow(limit, own.rate_limit_max_keys) for name, limit in limits.items()}
