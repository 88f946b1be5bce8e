"""Nodes on the wire: messages of `/ws/nodes`, REST bodies, refusals. Ring: edge, under the domain rule. Source: construct-realtime.md §5; zeroclaw.md B7.

    node → gateway   register {node_id, capabilities: [{name, description, parameters?}]} · result {call_id, success, output, error?}
    gateway → node   registered {node_id, capabilities_count} · invoke {call_id, capability, args} · error {message}

What is no JSON, of an unknown type, or a result that cannot be read is ignored, as upstream; a registration that cannot be taken is answered.
"""

from __future__ import annotations

from typing import Any

import msgspec

from clawgate.domain.errors import BadRequest, Forbidden, GatewayError, NotFound, Refusal, Unauthenticated
from clawgate.domain.json_schemas import is_object_schema
from clawgate.domain.nodes import CALL_SECONDS, Capability, NodeDropped, NodeTimedOut, NoNode, NotSent, Registration, Result
from clawgate.domain.tools import ANY_OBJECT
from clawgate.web.dialects import root_wire

SUBPROTOCOLS = ("construct.nodes.v1", "zeroclaw.nodes.v1")
BAD_TOKEN = "Unauthorized — provide a valid node auth token"
NO_TOKEN = "Unauthorized — provide Authorization header or ?token= query param"
SWITCHED_OFF = "Nodes are switched off; set [nodes] enabled = true in config.toml"
NO_CREDENTIAL = "Nodes need a credential; set [nodes] auth_token in config.toml, or turn pairing on"
CAPABILITY_REQUIRED = "capability is required"


class NodesOff(NotFound):
    """`[nodes] enabled` is off."""


class NoNodeCredential(Refusal):
    """Nothing that a node could present would be right."""


class InvokeBody(msgspec.Struct):
    """What is asked of a node; `args` is handed on as it is written."""

    capability: Any = None  # anything but a text that is not empty is 400
    args: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"{}"))  # a schema cannot show a default that is raw
    approved: bool = False


class _Type(msgspec.Struct):
    type: str


class _Capability(msgspec.Struct):
    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None  # a JSON Schema


class _Register(msgspec.Struct):
    node_id: str
    capabilities: list[_Capability]


def decoded(text: str) -> Registration | Result | None:
    """A node's message; None = ignored.

    Raises:
        BadRequest: it is a registration of another shape.
    """
    try:
        kind = msgspec.json.decode(text, type=_Type).type
        if kind == "result":
            return msgspec.json.decode(text, type=Result)
    except _DECODE_ERRORS:
        return None
    return _registration(text) if kind == "register" else None


_DECODE_ERRORS = (msgspec.DecodeError, UnicodeError, RecursionError)


def _registration(text: str) -> Registration:
    try:
        asked = msgspec.json.decode(text, type=_Register)
        capabilities = tuple(Capability(name=one.name, description=one.description, parameters=_schema(one.parameters)) for one in asked.capabilities)
    except _DECODE_ERRORS as problem:
        raise BadRequest(f"register: {problem}") from None
    return Registration(node_id=asked.node_id, capabilities=capabilities)


def _schema(parameters: dict[str, Any] | None) -> str:  # JSON values
    """A schema that vendors take: of an object, else of any object."""
    if parameters is None or not is_object_schema(parameters):
        return ANY_OBJECT
    return msgspec.json.encode(parameters).decode()


def arguments(body: InvokeBody) -> str:
    """The arguments as JSON text. Raises BadRequest when they are not UTF-8."""
    try:
        return bytes(body.args).decode()
    except UnicodeDecodeError:
        raise BadRequest("args: not UTF-8") from None


def invoke(call_id: str, capability: str, args: str) -> str:
    """A call, for the node."""
    return _text("invoke", call_id=call_id, capability=capability, args=msgspec.Raw(args.encode()))


def registered(node_id: str, count: int) -> str:
    """The node is taken up."""
    return _text("registered", node_id=node_id, capabilities_count=count)


def error(message: str) -> str:
    """The registration was not taken."""
    return _text("error", message=message)


def _text(kind: str, **more: object) -> str:
    return msgspec.json.encode({"type": kind, **more}).decode()


def node_object(node: Registration) -> dict[str, object]:
    """A node as `GET /api/nodes` lists it, without schemas."""
    shown = [{"name": capability.name, "description": capability.description} for capability in node.capabilities]
    return {"node_id": node.node_id, "capabilities": shown, "capability_count": len(shown)}


def result_object(result: Result) -> dict[str, object]:
    """What a node answered."""
    return {"call_id": result.call_id, "success": result.success, "output": result.output, "error": result.error}


def refusal(problem: GatewayError) -> root_wire.Refusal:
    """The answer to an error of the REST routes."""
    match problem:
        case NoNode():
            return 404, {"error": f"Node not found: {problem.node_id}"}, 0
        case NotSent():
            return 500, {"error": "Failed to send to node"}, 0
        case NodeDropped():
            return 500, {"error": "Node dropped the response channel"}, 0
        case NodeTimedOut():
            return 504, {"error": f"Node invocation timed out ({CALL_SECONDS:g}s)"}, 0
    return root_wire.refusal(problem)


def socket_refusal(problem: GatewayError) -> root_wire.Refusal:
    """The answer to an error before the handshake."""
    match problem:
        case NodesOff():
            return 404, {"error": SWITCHED_OFF}, 0
        case NoNodeCredential():
            return 503, {"error": NO_CREDENTIAL}, 0
        case Unauthenticated():
            return 401, {"error": str(problem)}, 0
        case Forbidden():
            return 403, {"error": str(problem)}, 0
    return root_wire.refusal(problem)
