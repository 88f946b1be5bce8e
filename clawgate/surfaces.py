"""The surfaces of one gateway, and what each of them is given. Ring: assembly. Source: design §2.

A surface is registered here and nowhere else; `web/surfaces/__init__.py` is their table of contents.
"""

from __future__ import annotations

from functools import partial

from clawgate import __version__
from clawgate.assembly import Assembly
from clawgate.channels.kinds import KINDS
from clawgate.domain.caller import parse_networks
from clawgate.domain.settings.providers import named
from clawgate.services.catalog import Catalog, NobodyAsked
from clawgate.services.chat_sessions import ChatSessions
from clawgate.services.doctor import Doctor
from clawgate.services.hooks import Hooks
from clawgate.services.login import Login
from clawgate.services.subscription_desk import SubscriptionDesk
from clawgate.web.asking import Asking
from clawgate.web.auth import Doorkeeper, Peers
from clawgate.web.dialects import hooks_wire, root_wire, triggers_wire
from clawgate.web.public_url import public_url
from clawgate.web.resource import GatewayResource
from clawgate.web.router import Router, Surface
from clawgate.web.surfaces.about import AboutSurface
from clawgate.web.surfaces.agent_chat import AgentChatSurface
from clawgate.web.surfaces.attachments import AttachmentsSurface
from clawgate.web.surfaces.audit import AuditSurface
from clawgate.web.surfaces.canvas import CanvasSurface
from clawgate.web.surfaces.channels import ChannelDeskSurface, ChannelSurface
from clawgate.web.surfaces.chat_relays import Relays
from clawgate.web.surfaces.chat_sessions import ChatSessionsSurface
from clawgate.web.surfaces.chat_socket import ChatSocketSurface
from clawgate.web.surfaces.config_api import ConfigApiSurface
from clawgate.web.surfaces.control import ControlSurface
from clawgate.web.surfaces.cron import CronSurface
from clawgate.web.surfaces.events import EventsSurface
from clawgate.web.surfaces.health import HealthSurface
from clawgate.web.surfaces.hooks import HooksSurface
from clawgate.web.surfaces.inbox import InboxSurface
from clawgate.web.surfaces.knowledge import KnowledgeSurface
from clawgate.web.surfaces.live_config import LiveConfigSurface
from clawgate.web.surfaces.login import LoginSurface
from clawgate.web.surfaces.logs import LogsSurface
from clawgate.web.surfaces.memory import MemorySurface
from clawgate.web.surfaces.nodes import NodesSurface
from clawgate.web.surfaces.openapi import OpenApiSurface
from clawgate.web.surfaces.pairing import PairingSurface
from clawgate.web.surfaces.personality import PersonalitySurface
from clawgate.web.surfaces.sessions import SessionsSurface
from clawgate.web.surfaces.skills import SkillSurface
from clawgate.web.surfaces.subscriptions import SubscriptionsSurface
from clawgate.web.surfaces.tasks import TasksSurface
from clawgate.web.surfaces.terminal import TerminalSurface
from clawgate.web.surfaces.triggers import TriggersSurface
from clawgate.web.surfaces.webhook import WebhookSurface
from clawgate.web.surfaces.welcome import WelcomeSurface
from clawgate.web.surfaces.workflow_approvals import WorkflowApprovalsSurface


def build_web(parts: Assembly) -> tuple[Router, GatewayResource]:
    """The routes, and the resource that serves them."""
    router, peers = Router(), _peers(parts)
    for surface in _surfaces(parts, peers):
        surface.register(router)
    web = _resource(parts, router, peers)

    def revoked(device_id: str) -> None:
        parts.pairing.withdraw(device_id)
        parts.onboarding.withdraw(device_id)
        parts.tickets.end_of(device_id)
        web.end_of(device_id)

    parts.devices.revoked = revoked
    return router, web


def _surfaces(parts: Assembly, peers: Peers) -> tuple[Surface, ...]:
    settings, edges = parts.settings, parts.edges
    own, webhook = settings.gateway, settings.channels_config.webhook
    asking = partial(Asking, parts.ingress, edges.store.journal, own.request_timeout_secs)
    return (
        OpenApiSurface(__version__, own.path_prefix),
        HealthSurface(parts.health, parts.devices, edges.meter, own.require_pairing),
        *_about(parts),
        PairingSurface(parts.pairing, parts.devices, parts.guard, edges.clock),
        WelcomeSurface.load(),
        # asking the agent
        WebhookSurface(
            asking(root_wire.LLM_FAILED),
            edges.ids,
            webhook.secret if webhook is not None else None,
            own.idempotency_ttl_secs,
        ),
        TriggersSurface(parts.triggers, asking(triggers_wire.FAILED), own.idempotency_ttl_secs),
        HooksSurface(_hooks(parts), asking(hooks_wire.FAILED), partial(public_url, peers)),
        AgentChatSurface(
            parts.ingress,
            parts.streams,
            parts.approvals,
            parts.sessions,
            edges.clock,
            lambda: named(parts.settings.default_provider),
            own.idempotency_ttl_secs,
        ),
        ChatSocketSurface(parts.chats, Relays(parts.events), edges.clock),
        AttachmentsSurface(parts.attachments),
        *(
            ChannelSurface(name, kind.route, kind.title, parts.channels, parts.channel_ingress, edges.clock, kind.has_handshake)
            for name, kind in KINDS.items()
        ),
        ChannelDeskSurface(parts.onboarding, parts.channels, {name: kind.title for name, kind in KINDS.items()}),
        # what became of it, and what it knows
        InboxSurface(parts.desk),
        SessionsSurface(parts.sessions),
        ChatSessionsSurface(ChatSessions(parts.sessions, parts.chats), edges.clock),
        MemorySurface(edges.memory, settings.memory.backend, lambda: not edges.store.health().problem),
        KnowledgeSurface(parts.knowledge, settings.knowledge.max_document_bytes),
        SkillSurface(parts.skills),
        PersonalitySurface(parts.personalities),
        # work
        TasksSurface(parts.tasks),
        CronSurface(parts.cron),
        WorkflowApprovalsSurface(parts.workflow_approvals),
        # what happens
        *_events(parts),
        # in real time
        TerminalSurface(parts.terminals),
        # what agents show and reach
        CanvasSurface(parts.canvases),
        NodesSurface(parts.nodes, parts.access, parts.guard),
        # the configuration
        LiveConfigSurface(parts.live, parts.channels, parts.mcp, parts.health, tuple(KINDS)),
        ConfigApiSurface(parts.live, tuple(KINDS)),
        ControlSurface(parts.control),
    )


def _hooks(parts: Assembly) -> Hooks:
    edges = parts.edges
    return Hooks(lambda: parts.settings.hooks, parts.settings.gateway.rate_limit_max_keys, edges.clock, edges.meter)


def _events(parts: Assembly) -> tuple[Surface, ...]:
    edges, subscriptions = parts.edges, parts.subscriptions
    return (
        EventsSurface(parts.events, parts.tickets, edges.clock),
        LogsSurface(edges.logs, edges.clock),
        SubscriptionsSurface(SubscriptionDesk(subscriptions.rows, edges.clock, subscriptions.configured, subscriptions)),
        AuditSurface(parts.audit),
    )


def _about(parts: Assembly) -> tuple[Surface, ...]:
    edges, clock = parts.edges, parts.edges.clock
    login = Login(lambda: parts.settings.gateway.login, edges.passwords, clock, edges.meter, parts.recorder)
    doctor = Doctor(lambda: parts.settings, edges.facts, parts.health, edges.store, clock)
    vendors = NobodyAsked() if edges.build_catalog is None else edges.build_catalog(lambda: parts.settings)
    catalog = Catalog(lambda: parts.settings, vendors, edges.store.facts, clock)
    about = AboutSurface(
        __version__,
        lambda: parts.settings,
        parts.health,
        parts.devices,
        login,
        doctor,
        catalog,
    )
    return about, LoginSurface(login)


def _peers(parts: Assembly) -> Peers:
    own = parts.settings.gateway
    trusted = parse_networks(own.trusted_proxies) if own.trust_forwarded_headers else ()
    return Peers(trusted, parts.settings.tunnel.provider != "none")


def _resource(parts: Assembly, router: Router, peers: Peers) -> GatewayResource:
    own = parts.settings.gateway
    return GatewayResource(
        router=router,
        doorkeeper=Doorkeeper(parts.access, parts.guard, parts.tickets, ("*",) if peers.trusted or peers.has_tunnel else own.allowed_hosts),
        peers=peers,
        clock=parts.edges.clock,
        meter=parts.edges.meter,
        boot=parts.boot,
        timeout_seconds=own.request_timeout_secs,
        max_body_bytes=own.max_body_bytes,
        prefix=own.path_prefix.encode(),
        audit=parts.recorder,
    )
