"""The connection to a node. Ring: ports. Source: construct-realtime.md §5."""

from __future__ import annotations

from typing import Protocol


class NodeLink(Protocol):
    """One open connection, on which one or several nodes have registered.

    Attributes:
        principal: whose credential opened it.
    """

    principal: str

    def invoke(self, call_id: str, capability: str, arguments: str) -> bool:
        """Asks the node; False = the connection is going and nothing was sent.

        Args:
            arguments: JSON text.
        """
