"""`/ws/nodes`, `/api/nodes…`: machines that connect and are called. Ring: edge (web). Source: construct-realtime.md §5; zeroclaw.md B7.

`[nodes] enabled` off → 404 · `auth_token` set: blank → 503, another → 401 · unset: a device's token with `write`, else 401 or 403; pairing off → 503
"""

from __future__ import annotations

from functools import partial

import msgspec

from clawgate.domain.caller import Caller, Scope
from clawgate.domain.errors import BadRequest, GatewayError, Unauthenticated
from clawgate.domain.messages import is_storable
from clawgate.domain.nodes import NeedsApproval, Registration, Result, is_sensitive
from clawgate.domain.secret import Secret
from clawgate.ports.sockets import Socket
from clawgate.services.access import Access
from clawgate.services.guard import Guard
from clawgate.services.nodes import Nodes
from clawgate.web.answers import Answer, json_answer
from clawgate.web.auth import require, socket_token
from clawgate.web.call import Call
from clawgate.web.dialects import nodes_wire
from clawgate.web.documented import documented
from clawgate.web.router import Door, Recorded, Router
from clawgate.web.sockets import SocketAnswer

NODE = "node"
"""Principal of who presents `[nodes] auth_token`."""


class NodesSurface(msgspec.Struct):
    """The routes of nodes."""

    nodes: Nodes
    access: Access
    guard: Guard

    def register(self, router: Router) -> None:
        """Adds the routes."""
        router.add(
            "GET",
            "/ws/nodes",
            self.connect,
            auth=Door.SIGNED,
            limiter="api",
            dialect=nodes_wire.socket_refusal,
            is_socket=True,
            summary="Connect as a node that can be called",
        )
        add = partial(router.add, limiter="api", dialect=nodes_wire.refusal)
        add("GET", "/api/nodes", self.list, auth=Scope.READ, summary="Nodes that are connected")
        add(
            "POST",
            "/api/nodes/<node_id>/invoke",
            self.invoke,
            auth=Scope.WRITE,
            timed=False,
            recorded=Recorded.ALWAYS,
            summary="Call a capability of a node and wait for its result",
        )

    async def list(self, call: Call) -> Answer:
        """In the order they came; none while `[nodes] enabled` is off."""
        found = [nodes_wire.node_object(node) for node in self.nodes.connected()]
        return json_answer(200, {"nodes": found, "count": len(found)})

    @documented(body=nodes_wire.InvokeBody)
    async def invoke(self, call: Call) -> Answer:
        """What the node answered; one that failed is a 200 too."""
        body, node_id = call.json(nodes_wire.InvokeBody), str(call.values["node_id"])
        name = body.capability
        if not isinstance(name, str) or not name or not is_storable(name):
            raise BadRequest(nodes_wire.CAPABILITY_REQUIRED)
        self.nodes.check(node_id)
        if is_sensitive(name):
            if not body.approved:
                raise NeedsApproval(name)
            require(call.caller, Scope.APPROVE)
        return json_answer(200, nodes_wire.result_object(await self.nodes.invoke(node_id, name, nodes_wire.arguments(body))))

    async def connect(self, call: Call) -> SocketAnswer:
        """A link to a node."""
        caller = await self._admitted(call)
        return SocketAnswer(NodeSocket(self.nodes, caller.principal), caller, nodes_wire.SUBPROTOCOLS)

    async def _admitted(self, call: Call) -> Caller:
        own = self.nodes.settings
        if not own.enabled:
            raise nodes_wire.NodesOff
        if own.auth_token is not None:
            return self._with_token(call, own.auth_token)
        if not self.access.require_pairing:
            raise nodes_wire.NoNodeCredential
        caller = await self.access.identify(socket_token(call), call.peer.client)
        if caller is None:
            self.guard.refused(call.peer, "/ws/nodes", counts=False)
            raise Unauthenticated(nodes_wire.NO_TOKEN)
        require(caller, Scope.WRITE)
        return caller

    def _with_token(self, call: Call, expected: Secret) -> Caller:
        if not expected:
            raise nodes_wire.NoNodeCredential
        if not Secret(expected.reveal().strip()).matches((socket_token(call) or "").strip()):
            self.guard.refused(call.peer, "/ws/nodes", counts=True)
            raise Unauthenticated(nodes_wire.BAD_TOKEN)
        return Caller(NODE, frozenset(), call.peer.client)


class NodeSocket(msgspec.Struct, eq=False):
    """One connection of a node's. Implements `ports.sockets.SocketHandler` and `ports.nodes.NodeLink`."""

    nodes: Nodes
    principal: str
    _socket: Socket | None = None

    def opened(self, socket: Socket) -> None:
        """The node speaks first."""
        self._socket = socket

    def text(self, text: str) -> None:
        """A registration or a result."""
        try:
            said = nodes_wire.decoded(text)
            if isinstance(said, Registration):
                self.nodes.register(self, said)
                self._send(nodes_wire.registered(said.node_id, len(said.capabilities)))
            elif isinstance(said, Result):
                self.nodes.answered(self, said)
        except GatewayError as problem:
            self._send(nodes_wire.error(str(problem)))

    def data(self, data: bytes) -> None:
        """Ignored."""

    def closed(self, code: int) -> None:
        """The node is gone."""
        self._socket = None
        self.nodes.left(self)

    def invoke(self, call_id: str, capability: str, arguments: str) -> bool:
        """`ports.nodes.NodeLink.invoke`."""
        return self._send(nodes_wire.invoke(call_id, capability, arguments))

    def _send(self, text: str) -> bool:
        return self._socket is not None and self._socket.send(text)
