"""OpenAI and every server that speaks its chat completions. Ring: agents. Source: design §5."""

from __future__ import annotations

from clawgate.agents.openai_wire import PATH, OpenAIDialect
from clawgate.agents.vendor import Poster, VendorBackend
from clawgate.domain.secret import Secret
from clawgate.ports.clock import Clock


def openai_backend(name: str, http: Poster, clock: Clock, *, model: str, key: Secret | None = None, key_remedy: str = "") -> VendorBackend:
    """A backend over a client whose base URL is the server's, without `/chat/completions`."""
    return VendorBackend(name, model, http, OpenAIDialect(), clock, key, key_remedy)


def base_of(url: str) -> str:
    """A custom base URL without the path that this dialect appends."""
    return url.rstrip("/").removesuffix(PATH)
