"""Anthropic, and servers that speak its Messages API. Ring: agents. Source: design §5."""

from __future__ import annotations

from clawgate.agents.anthropic_wire import PATH, AnthropicDialect
from clawgate.agents.vendor import Poster, VendorBackend
from clawgate.domain.secret import Secret
from clawgate.ports.clock import Clock


def anthropic_backend(
    name: str, http: Poster, clock: Clock, *, model: str, max_output_tokens: int, key: Secret | None = None, key_remedy: str = ""
) -> VendorBackend:
    """A backend over a client whose base URL is the server's, without `/v1/messages`."""
    return VendorBackend(name, model, http, AnthropicDialect(max_output_tokens), clock, key, key_remedy)


def base_of(url: str) -> str:
    """A custom base URL without the path that this dialect appends."""
    return url.rstrip("/").removesuffix(PATH).removesuffix("/v1")
