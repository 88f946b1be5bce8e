"""OpenAI and every server that speaks its chat completions. Ring: agents. Source: design §5."""

from __future__ import annotations

import msgspec

from clawgate.agents.openai_wire import PATH, OpenAIDialect
from clawgate.agents.vendor import Poster, VendorBackend
from clawgate.domain.providers_catalog import BY_NAME
from clawgate.domain.secret import Secret
from clawgate.domain.settings.providers import KEY_NAMES
from clawgate.ports.clock import Clock


class Vendor(msgspec.Struct, frozen=True):
    """A known server.

    Attributes:
        key_name: environment variable that holds its key; "" = it needs none.
    """

    base_url: str
    default_model: str
    key_name: str = ""


_SPEAK_IT = ("openrouter", "openai", "ollama", "moonshot", "groq", "mistral", "deepseek")
VENDORS: dict[str, Vendor] = {
    name: Vendor(BY_NAME[name].base_url, BY_NAME[name].default_model, next(iter(KEY_NAMES.get(name, ())), "")) for name in _SPEAK_IT
}
ALIASES = {"kimi": "moonshot"}


def openai_backend(name: str, http: Poster, clock: Clock, *, model: str, key: Secret | None = None, key_remedy: str = "") -> VendorBackend:
    """A backend over a client whose base URL is the server's, without `/chat/completions`."""
    return VendorBackend(name, model, http, OpenAIDialect(), clock, key, key_remedy)


def base_of(url: str) -> str:
    """A custom base URL without the path that this dialect appends."""
    return url.rstrip("/").removesuffix(PATH)
