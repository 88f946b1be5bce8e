"""Nodes: machines that connect and let themselves be called. Ring: domain. Source: construct-realtime.md §5; zeroclaw.md B7.

A call, from its invocation on:

    state   | result   | timeout | link closed
    --------+----------+---------+------------
    WAITING | ANSWERED | EXPIRED | DROPPED
    others  | stay as they are
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import msgspec

from clawgate.domain.errors import BadRequest, Conflict, Forbidden, GatewayError, NotFound, ToolUncertain, Unavailable
from clawgate.domain.messages import is_storable
from clawgate.domain.tools import ANY_OBJECT, Risk, Tool, hashed_name

MAX_ID_BYTES = 128
MAX_NAME_BYTES, MAX_DESCRIPTION_CHARS, MAX_SCHEMA_BYTES = 256, 4096, 32 * 1024
MOST_CAPABILITIES = 64
MOST_CALLS = 32
"""To one node at once."""
CALL_SECONDS = 30.0
_SENSITIVE = ("camera.", "screen.", "location.")


class CallState(Enum):
    """Where a call stands."""

    WAITING = "waiting"
    ANSWERED = "answered"
    EXPIRED = "expired"
    DROPPED = "dropped"


class CallEvent(Enum):
    """What can happen to it."""

    RESULT = "result"
    TIMEOUT = "timeout"
    LINK_CLOSED = "link closed"


_TABLE = {
    (CallState.WAITING, CallEvent.RESULT): CallState.ANSWERED,
    (CallState.WAITING, CallEvent.TIMEOUT): CallState.EXPIRED,
    (CallState.WAITING, CallEvent.LINK_CLOSED): CallState.DROPPED,
}


def after(state: CallState, event: CallEvent) -> CallState:
    """The table's word: an ended call stays as it ended."""
    return _TABLE.get((state, event), state)


class Capability(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a node can do; `parameters` is a JSON Schema as JSON text."""

    name: str
    description: str
    parameters: str = ANY_OBJECT

    @property
    def is_sensitive(self) -> bool:
        """Whether it looks at people or places."""
        return is_sensitive(self.name)


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says of itself."""

    node_id: str
    capabilities: tuple[Capability, ...]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a node answered; one that failed is an answer too."""

    call_id: str
    success: bool
    output: str
    error: str | None = None


class NoNode(NotFound):
    """No node of this id is connected.

    Attributes:
        node_id: the one that was asked for.
    """

    def __init__(self, node_id: str) -> None:
        super().__init__(f"Node '{node_id}' is not connected")
        self.node_id = node_id


class NotSent(Unavailable):
    """The call did not leave: the node is busy, or goes."""


class NodeDropped(ToolUncertain):
    """The node went while a call waited."""


class NodeTimedOut(ToolUncertain):
    """The node did not answer in time."""


class NeedsApproval(Forbidden):
    """A sensitive capability was called without somebody's word."""

    def __init__(self, capability: str) -> None:
        super().__init__(f"Capability '{capability}' requires approval. Set approved=true to proceed.")


class NodeTaken(Conflict):
    """Somebody else's node has this id and is connected."""


def is_sensitive(capability: str) -> bool:
    """Whether a capability needs somebody's word; spelling it oddly does not help."""
    return capability.strip().casefold().startswith(_SENSITIVE)


def checked(registration: Registration) -> Registration:
    """The registration itself.

    Raises:
        BadRequest: an id, a name, a description or a schema that cannot be, or too many capabilities.
    """
    _check_name("node_id", registration.node_id, MAX_ID_BYTES)
    if len(registration.capabilities) > MOST_CAPABILITIES:
        raise BadRequest(f"a node has at most {MOST_CAPABILITIES} capabilities")
    for capability in registration.capabilities:
        _check_name("a capability's name", capability.name, MAX_NAME_BYTES)
        if len(capability.description) > MAX_DESCRIPTION_CHARS or not is_storable(capability.description):
            raise BadRequest(f"a description has at most {MAX_DESCRIPTION_CHARS} characters")
        if len(capability.parameters.encode()) > MAX_SCHEMA_BYTES:
            raise BadRequest(f"parameters have at most {MAX_SCHEMA_BYTES} bytes")
    return registration


def _check_name(what: str, name: str, most_bytes: int) -> None:
    if not is_storable(name) or not 1 <= len(name.encode()) <= most_bytes:
        raise BadRequest(f"{what} has 1 to {most_bytes} bytes")


def tool_name(node_id: str, capability: str) -> str:
    """`node_<id>_<capability>_<hash>`, for upstream's `node:<id>:<capability>` (`tools.hashed_name`)."""
    return hashed_name(f"node_{node_id}_{capability}", "node", node_id, capability)


def offered(registrations: Sequence[Registration]) -> dict[str, tuple[Tool, str, str]]:
    """What agents may call, by the names they see, each with the node's id and its own name for it."""
    found: dict[str, tuple[Tool, str, str]] = {}
    for node in registrations:
        for capability in node.capabilities:
            tool = Tool(
                name=tool_name(node.node_id, capability.name),
                description=f"{capability.description} (node:{node.node_id}:{capability.name})",
                parameters=capability.parameters,
                risk=Risk.OUTSIDE,
                always_asks=capability.is_sensitive,
            )
            found.setdefault(tool.name, (tool, node.node_id, capability.name))
    return found


def ended(state: CallState, node_id: str) -> GatewayError:
    """What a call that got no result is, in the words of the agent's tool."""
    if state is CallState.EXPIRED:
        return NodeTimedOut(f"Node '{node_id}' invocation timed out after {CALL_SECONDS:g}s")
    return NodeDropped(f"Node '{node_id}' dropped the invocation channel")
