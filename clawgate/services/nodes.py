"""Nodes that are connected, and calls to them. Ring: services. Source: construct-realtime.md §5; zeroclaw.md B7.

A registration and the calls made through it belong to one link (an open connection). When a link goes, its calls are dropped and those registrations go that
are still its own: a node that has come back on another connection stays.
"""

from __future__ import annotations

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from clawgate.domain.errors import Overloaded
from clawgate.domain.nodes import (
    CALL_SECONDS,
    MOST_CALLS,
    CallEvent,
    CallState,
    NodeTaken,
    NoNode,
    NotSent,
    Registration,
    Result,
    after,
    checked,
    ended,
)
from clawgate.domain.settings.model import NodesSettings
from clawgate.ports.clock import Clock, Ids
from clawgate.ports.nodes import NodeLink
from clawgate.services.deadlines import Expired, within
from clawgate.services.events import Events

_log = Logger()


class _Call(msgspec.Struct, eq=False):
    id: str
    node_id: str
    link: NodeLink
    state: CallState = CallState.WAITING
    answer: Deferred[Result | None] = msgspec.field(default_factory=Deferred)

    def happened(self, event: CallEvent, result: Result | None = None) -> None:
        self.state = after(self.state, event)
        if not self.answer.called:  # it is, when the time is up or nobody waits any more
            self.answer.callback(result)


class Nodes(msgspec.Struct, eq=False):
    """The registry of one gateway."""

    clock: Clock
    ids: Ids
    events: Events
    settings: NodesSettings
    _nodes: dict[str, tuple[Registration, NodeLink]] = {}
    _calls: dict[str, _Call] = {}

    def connected(self) -> tuple[Registration, ...]:
        """The nodes that can be called, in the order they came."""
        return tuple(registration for registration, _ in self._nodes.values())

    def check(self, node_id: str) -> None:
        """Raises NoNode when the node is not connected."""
        if node_id not in self._nodes:
            raise NoNode(node_id)

    def register(self, link: NodeLink, registration: Registration) -> None:
        """Takes a node up, in place of its earlier registration.

        Raises:
            BadRequest: it cannot be one. Overloaded: `[nodes] max_nodes` are connected. NodeTaken: the id is that of somebody else's node.
        """
        node_id = checked(registration).node_id
        present = self._nodes.get(node_id)
        if present is not None and present[1].principal != link.principal:
            raise NodeTaken(f"node_id '{node_id}' is in use")
        if present is None and len(self._nodes) >= self.settings.max_nodes:
            raise Overloaded(f"at most {self.settings.max_nodes} nodes may be connected")
        self._nodes[node_id] = (registration, link)
        if present is not None and present[1] is link:
            return  # it is there already: saying so again, as fast as a node can, would push everything else out of log and history
        _log.info("node {node!r} of {principal} is connected", node=node_id, principal=link.principal)
        self.events.publish("node_connected", {"node_id": node_id, "capabilities": len(registration.capabilities)})

    def left(self, link: NodeLink) -> None:
        """Lets go of everything of a link that is gone."""
        for node_id in [node_id for node_id, (_, owner) in self._nodes.items() if owner is link]:
            del self._nodes[node_id]
            _log.info("node {node!r} is gone", node=node_id)
            self.events.publish("node_disconnected", {"node_id": node_id})
        for call in [call for call in self._calls.values() if call.link is link]:
            call.happened(CallEvent.LINK_CLOSED)

    def answered(self, link: NodeLink, result: Result) -> None:
        """Takes a result; one that nobody waits for, or of a call to another link, is ignored."""
        call = self._calls.get(result.call_id)
        if call is not None and call.link is link:
            call.happened(CallEvent.RESULT, result)

    async def invoke(self, node_id: str, capability: str, arguments: str) -> Result:
        """Calls a node and waits for its result.

        Args:
            arguments: JSON text.

        Raises:
            NoNode: it is not connected. NotSent: too many calls wait for it, or it is going.
            NodeDropped, NodeTimedOut: it was sent, and what came of it is unknown.
        """
        self.check(node_id)
        link = self._nodes[node_id][1]
        if sum(1 for call in self._calls.values() if call.node_id == node_id) >= MOST_CALLS:
            raise NotSent(f"too many calls wait for node '{node_id}'")
        call = _Call(self.ids.uuid(), node_id, link)
        self._calls[call.id] = call
        try:
            if not link.invoke(call.id, capability, arguments):
                raise NotSent(f"Node '{node_id}' is going")
            result = await within(call.answer, CALL_SECONDS, self.clock)
        except Expired:
            call.happened(CallEvent.TIMEOUT)
            result = None
        finally:
            del self._calls[call.id]
        if result is None:
            raise ended(call.state, node_id)
        return result
