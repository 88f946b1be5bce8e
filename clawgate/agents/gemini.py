"""Google's Gemini. Ring: agents. Source: design §5."""

from __future__ import annotations

from clawgate.agents.gemini_wire import GeminiDialect
from clawgate.agents.vendor import Poster, VendorBackend
from clawgate.domain.secret import Secret
from clawgate.ports.clock import Clock


def gemini_backend(name: str, http: Poster, clock: Clock, *, model: str, key: Secret | None = None, key_remedy: str = "") -> VendorBackend:
    """A backend over a client whose base URL is the API's version, `…/v1beta`."""
    return VendorBackend(name, model, http, GeminiDialect(), clock, key, key_remedy)
