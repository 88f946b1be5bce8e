"""The one table of providers: names, addresses, keys, and models worth offering before anybody asked the vendor. Ring: domain.

Source: rantaiclaw.md §10 (GET /providers), design §4.13, §5.

The order and the ids are the contract's, and every id is taken in `default_provider`. A row with a key's name, or of this machine, can answer; Anthropic and
Gemini speak their own language, all others OpenAI's chat completions. A row without (an account in the URL, signed requests, exchanged tokens) answers only at
an `api_url` of the operator's. The lists of models are short on purpose: what is true today comes from the vendor, by a refresh.
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
        base_url: what paths are appended to; "" = none is known.
        key_names: environment variables that hold its key, in the order in which they are tried; empty = it needs none, or cannot answer here.
        models: the curated list, the default first; empty = clawgate knows none.
        is_open: its list can be asked for without a key.
    """

    id: str
    display_name: str
    aliases: tuple[str, ...] = ()
    listing: Listing = Listing.OPENAI
    base_url: str = ""
    key_names: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    is_local: bool = False
    is_open: bool = False

    @property
    def default_model(self) -> str:
        """The first of the curated list, "" when there is none."""
        return self.models[0] if self.models else ""

    @property
    def can_answer(self) -> bool:
        """Whether turns can go to its own address."""
        return self.is_local or bool(self.key_names)

    def address(self, api_url: str = "") -> str:
        """What paths are appended to; "" = unknown.

        Args:
            api_url: goes before its own. Other projects write Ollama's without `/v1`.
        """
        url = api_url.rstrip("/") or self.base_url
        return url if self.id != "ollama" or "/v1" in url else url.removesuffix("/api") + "/v1"


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


def _row(
    id_: str,
    name: str,
    base_url: str = "",
    *models: str,
    keys: tuple[str, ...] = (),
    aliases: tuple[str, ...] = (),
    listing: Listing | None = None,
) -> Provider:
    is_local = base_url.startswith("http://localhost")
    return Provider(
        id=id_,
        display_name=name,
        aliases=aliases,
        listing=listing or (Listing.OPENAI if base_url else Listing.NONE),
        base_url=base_url,
        key_names=keys,
        models=models,
        is_local=is_local,
        is_open=is_local or id_ in ("openrouter", "vercel"),
    )


_LLAMA_TOGETHER = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
_LLAMA_FIREWORKS = "accounts/fireworks/models/llama-v3p3-70b-instruct"
_GEMINI_MODELS = ("gemini-2.5-flash", "gemini-2.5-pro")
_GEMINI = "https://generativelanguage.googleapis.com/v1beta"
_VERCEL_KEYS = ("AI_GATEWAY_API_KEY", "VERCEL_API_KEY")
_OVH_KEYS = ("OVH_AI_ENDPOINTS_ACCESS_TOKEN",)

PROVIDERS: tuple[Provider, ...] = (
    _row(
        "openrouter", "OpenRouter", "https://openrouter.ai/api/v1", "anthropic/claude-sonnet-4.6", "openai/gpt-4.1-mini", keys=("OPENROUTER_API_KEY",)
    ),
    _row("anthropic", "Anthropic", "https://api.anthropic.com", "claude-sonnet-4-6", keys=("ANTHROPIC_API_KEY",), listing=Listing.ANTHROPIC),
    _row("openai", "OpenAI", "https://api.openai.com/v1", "gpt-4.1-mini", "gpt-4.1", keys=("OPENAI_API_KEY",)),
    _row("openai-codex", "OpenAI Codex", aliases=("codex",)),
    _row("ollama", "Ollama", "http://localhost:11434/v1", "llama3.2"),
    _row("gemini", "Google Gemini", _GEMINI, *_GEMINI_MODELS, keys=("GEMINI_API_KEY", "GOOGLE_API_KEY"), aliases=("google",), listing=Listing.GEMINI),
    _row("venice", "Venice", "https://api.venice.ai/api/v1", "llama-3.3-70b", keys=("VENICE_API_KEY",)),
    _row("vercel", "Vercel AI Gateway", "https://ai-gateway.vercel.sh/v1", "openai/gpt-4.1-mini", keys=_VERCEL_KEYS),
    _row("cloudflare", "Cloudflare AI Gateway"),
    _row("moonshot", "Moonshot", "https://api.moonshot.ai/v1", "kimi-k2.5-instant", keys=("MOONSHOT_API_KEY", "KIMI_API_KEY"), aliases=("kimi",)),
    _row("kimi-code", "Kimi Code", "https://api.kimi.com/coding/v1"),
    _row("synthetic", "Synthetic", "https://api.synthetic.new/openai/v1", "hf:meta-llama/Llama-3.3-70B-Instruct", keys=("SYNTHETIC_API_KEY",)),
    _row("opencode", "OpenCode Zen", "https://opencode.ai/zen/v1"),
    _row("zai", "Z.AI", "https://api.z.ai/api/paas/v4", "glm-4.6", keys=("ZAI_API_KEY",)),
    _row("glm", "GLM", "https://open.bigmodel.cn/api/paas/v4", "glm-4.6", keys=("GLM_API_KEY", "ZHIPUAI_API_KEY")),
    _row("minimax", "MiniMax", "https://api.minimax.io/v1", "MiniMax-M2", keys=("MINIMAX_API_KEY",)),
    _row("bedrock", "Amazon Bedrock"),
    _row("qianfan", "Qianfan", "https://qianfan.baidubce.com/v2", "ernie-4.5-turbo-128k", keys=("QIANFAN_API_KEY",)),
    _row("doubao", "Doubao", "https://ark.cn-beijing.volces.com/api/v3", "doubao-seed-1-6-250615", keys=("ARK_API_KEY", "DOUBAO_API_KEY")),
    _row("qwen", "Qwen", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "qwen-plus", keys=("DASHSCOPE_API_KEY",)),
    _row("groq", "Groq", "https://api.groq.com/openai/v1", "llama-3.3-70b-versatile", keys=("GROQ_API_KEY",)),
    _row("mistral", "Mistral", "https://api.mistral.ai/v1", "mistral-small-latest", keys=("MISTRAL_API_KEY",)),
    _row("xai", "xAI", "https://api.x.ai/v1", "grok-4", keys=("XAI_API_KEY",)),
    _row("deepseek", "DeepSeek", "https://api.deepseek.com/v1", "deepseek-chat", "deepseek-reasoner", keys=("DEEPSEEK_API_KEY",)),
    _row("together", "Together AI", "https://api.together.xyz/v1", _LLAMA_TOGETHER, keys=("TOGETHER_API_KEY",)),
    _row("fireworks", "Fireworks AI", "https://api.fireworks.ai/inference/v1", _LLAMA_FIREWORKS, keys=("FIREWORKS_API_KEY",)),
    _row("perplexity", "Perplexity", "https://api.perplexity.ai", "sonar", keys=("PERPLEXITY_API_KEY",), listing=Listing.NONE),
    _row("cohere", "Cohere", "https://api.cohere.ai/compatibility/v1", "command-a-03-2025", keys=("COHERE_API_KEY",)),
    _row("copilot", "GitHub Copilot"),
    _row("lmstudio", "LM Studio", "http://localhost:1234/v1"),
    _row("llamacpp", "llama.cpp", "http://localhost:8080/v1"),
    _row("nvidia", "NVIDIA NIM", "https://integrate.api.nvidia.com/v1", "meta/llama-3.3-70b-instruct", keys=("NVIDIA_API_KEY",)),
    _row("ovhcloud", "OVHcloud AI Endpoints", "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1", "Meta-Llama-3_3-70B-Instruct", keys=_OVH_KEYS),
)
BY_NAME: dict[str, Provider] = {name: provider for provider in PROVIDERS for name in (provider.id, *provider.aliases)}
"""By id and by alias."""
