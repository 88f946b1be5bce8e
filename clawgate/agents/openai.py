"""OpenAI and every server that speaks its chat completions. Ring: agents. Source: design §5."""

from __future__ import annotations

import msgspec

from clawgate.agents.openai_wire import PATH, OpenAIDialect
from clawgate.agents.vendor import Poster, VendorBackend
from clawgate.domain.secret import Secret
from clawgate.ports.clock import Clock


class Vendor(msgspec.Struct, frozen=True):
    """A known server.

    Attributes:
        key_name: environment variable that holds its key; "" = it needs none.
    """

    base_url: str
    default_model: str
    key_name: str = ""


VENDORS: dict[str, Vendor] = {
    "openrouter": Vendor("https://openrouter.ai/api/v1", "anthropic/claude-sonnet-4.6", "OPENROUTER_API_KEY"),
    "openai": Vendor("https://api.openai.com/v1", "gpt-4.1-mini", "OPENAI_API_KEY"),
    "ollama": Vendor("http://localhost:11434/v1", "llama3.2"),
    "moonshot": Vendor("https://api.moonshot.ai/v1", "kimi-k2.5-instant", "MOONSHOT_API_KEY"),
    "groq": Vendor("https://api.groq.com/openai/v1", "llama-3.3-70b-versatile", "GROQ_API_KEY"),
    "mistral": Vendor("https://api.mistral.ai/v1", "mistral-small-latest", "MISTRAL_API_KEY"),
    "deepseek": Vendor("https://api.deepseek.com/v1", "deepseek-chat", "DEEPSEEK_API_KEY"),
}
ALIASES = {"kimi": "moonshot"}


def openai_backend(name: str, http: Poster, clock: Clock, *, model: str, key: Secret | None = None, key_remedy: str = "") -> VendorBackend:
    """A backend over a client whose base URL is the server's, without `/chat/completions`."""
    return VendorBackend(name, model, http, OpenAIDialect(), clock, key, key_remedy)


def base_of(url: str) -> str:
    """A custom base URL without the path that this dialect appends."""
    return url.rstrip("/").removesuffix(PATH)
