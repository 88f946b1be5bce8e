"""Makes connections to MCP servers: a program is started, a URL is asked. Ring: system; implements `ports.mcp.McpConnector`. Source: rantaiclaw.md §15.

Each way is imported when a server asks for it: most gateways have none.
"""

from __future__ import annotations

from typing import Any

import msgspec

from clawgate.domain.redaction import Redactor
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import McpServer
from clawgate.ports.clock import Clock
from clawgate.system.mcp_session import CALL_SECONDS, Carrier, Session


class Connector(msgspec.Struct, eq=False):
    """The real one."""

    reactor: Any  # Any: processes, TCP, time and names at once
    clock: Clock
    call_seconds: float = CALL_SECONDS

    def open(self, name: str, server: McpServer) -> Session:
        """A session over what the settings describe; a URL wins."""
        carrier: Carrier
        if server.url.strip():
            from clawgate.system.mcp_http import HttpCarrier

            carrier = HttpCarrier(name, server, self.reactor, self.clock)
        else:
            from clawgate.system.mcp_stdio import StdioCarrier

            carrier = StdioCarrier(name, server, self.reactor, self.clock)
        return Session(name, carrier, self.clock, self.call_seconds, redactor_of(server))


def redactor_of(server: McpServer) -> Redactor:
    """Knows what a server is told in confidence."""
    redact = Redactor()
    for secret in (*server.env.values(), *server.headers.values()):
        redact.register(secret)
        redact.register(Secret(secret.reveal().strip().rpartition(" ")[2]))  # a scheme before it is no part of a token
    return redact
