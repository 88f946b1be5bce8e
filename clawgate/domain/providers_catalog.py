"""Providers as dashboards list them: names, and models worth offering before anybody asked the vendor. Ring: domain.

Source: rantaiclaw.md §10 (GET /providers).

The order and the ids are the contract's. `domain.settings.providers` says which of them can answer here; the others are listed because clients expect the whole
table. The lists of models are short on purpose: what is true today comes from the vendor, by a refresh.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Listing(StrEnum):
    """How a vendor's models are asked for."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    NONE = "none"
    """There is no plain way (an account in the URL, signed requests, exchanged tokens)."""


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One row.

    Attributes:
        base_url: what the path of the listing is appended to; "" = none is known.
        models: the curated list, the default first; empty = clawgate knows none.
        is_open: its list can be asked for without a key.
    """

    id: str
    display_name: str
    aliases: tuple[str, ...] = ()
    listing: Listing = Listing.OPENAI
    base_url: str = ""
    models: tuple[str, ...] = ()
    is_local: bool = False
    is_open: bool = False

    @property
    def default_model(self) -> str:
        """The first of the curated list, "" when there is none."""
        return self.models[0] if self.models else ""


class Models(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a provider's models.

    Attributes:
        source: "cache" when the vendor said so at some time, else "curated".
        age_seconds: since the vendor said so, None for a curated list.
        detail: why a refresh brought nothing, None when it did or none was asked for.
    """

    provider: Provider
    models: tuple[str, ...]
    default: str
    source: str
    age_seconds: int | None
    is_refreshed: bool = False
    detail: str | None = None


def _row(id_: str, name: str, base_url: str = "", *models: str, aliases: tuple[str, ...] = (), listing: Listing | None = None) -> Provider:
    chosen = listing or (Listing.OPENAI if base_url else Listing.NONE)
    is_local = base_url.startswith("http://localhost")
    is_open = is_local or id_ in ("openrouter", "vercel")
    return Provider(id=id_, display_name=name, aliases=aliases, listing=chosen, base_url=base_url, models=models, is_local=is_local, is_open=is_open)


PROVIDERS: tuple[Provider, ...] = (
    _row("openrouter", "OpenRouter", "https://openrouter.ai/api/v1", "anthropic/claude-sonnet-4.6", "openai/gpt-4.1-mini"),
    _row("anthropic", "Anthropic", "https://api.anthropic.com", "claude-sonnet-4-6", listing=Listing.ANTHROPIC),
    _row("openai", "OpenAI", "https://api.openai.com/v1", "gpt-4.1-mini", "gpt-4.1"),
    _row("openai-codex", "OpenAI Codex", aliases=("codex",)),
    _row("ollama", "Ollama", "http://localhost:11434/v1", "llama3.2"),
    _row(
        "gemini",
        "Google Gemini",
        "https://generativelanguage.googleapis.com/v1beta",
        "gemini-2.5-flash",
        "gemini-2.5-pro",
        aliases=("google",),
        listing=Listing.GEMINI,
    ),
    _row("venice", "Venice", "https://api.venice.ai/api/v1"),
    _row("vercel", "Vercel AI Gateway", "https://ai-gateway.vercel.sh/v1"),
    _row("cloudflare", "Cloudflare AI Gateway"),
    _row("moonshot", "Moonshot", "https://api.moonshot.ai/v1", "kimi-k2.5-instant", aliases=("kimi",)),
    _row("kimi-code", "Kimi Code", "https://api.kimi.com/coding/v1"),
    _row("synthetic", "Synthetic", "https://api.synthetic.new/openai/v1"),
    _row("opencode", "OpenCode Zen", "https://opencode.ai/zen/v1"),
    _row("zai", "Z.AI", "https://api.z.ai/api/paas/v4"),
    _row("glm", "GLM", "https://open.bigmodel.cn/api/paas/v4"),
    _row("minimax", "MiniMax", "https://api.minimax.io/v1"),
    _row("bedrock", "Amazon Bedrock"),
    _row("qianfan", "Qianfan", "https://qianfan.baidubce.com/v2"),
    _row("doubao", "Doubao", "https://ark.cn-beijing.volces.com/api/v3"),
    _row("qwen", "Qwen", "https://dashscope.aliyuncs.com/compatible-mode/v1"),
    _row("groq", "Groq", "https://api.groq.com/openai/v1", "llama-3.3-70b-versatile"),
    _row("mistral", "Mistral", "https://api.mistral.ai/v1", "mistral-small-latest"),
    _row("xai", "xAI", "https://api.x.ai/v1"),
    _row("deepseek", "DeepSeek", "https://api.deepseek.com/v1", "deepseek-chat", "deepseek-reasoner"),
    _row("together", "Together AI", "https://api.together.xyz/v1"),
    _row("fireworks", "Fireworks AI", "https://api.fireworks.ai/inference/v1"),
    _row("perplexity", "Perplexity", "", "sonar"),
    _row("cohere", "Cohere", "https://api.cohere.ai/compatibility/v1"),
    _row("copilot", "GitHub Copilot"),
    _row("lmstudio", "LM Studio", "http://localhost:1234/v1"),
    _row("llamacpp", "llama.cpp", "http://localhost:8080/v1"),
    _row("nvidia", "NVIDIA NIM", "https://integrate.api.nvidia.com/v1"),
    _row("ovhcloud", "OVHcloud AI Endpoints", "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1"),
)
BY_NAME: dict[str, Provider] = {name: provider for provider in PROVIDERS for name in (provider.id, *provider.aliases)}
"""By id and by alias."""
