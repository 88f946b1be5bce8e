"""Names of agent backends and where their keys come from. Ring: domain. Source: design §4.13, §5, zeroclaw.md A4."""

from __future__ import annotations

import shlex
import urllib.parse
from collections.abc import Callable, Mapping

from clawgate.domain.errors import Invalid
from clawgate.domain.providers_catalog import BY_NAME, PROVIDERS

_FIRST = ("openrouter", "openai", "anthropic", "gemini", "moonshot", "groq", "mistral", "deepseek")
"""Whose key counts first where `default_provider` is not set; then the others, in the order of the table."""

KEY_NAMES: Mapping[str, tuple[str, ...]] = {
    name: BY_NAME[name].key_names for name in dict.fromkeys((*_FIRST, *(each.id for each in PROVIDERS))) if BY_NAME[name].key_names
}
"""Each vendor's own variables, in the order in which an unset `default_provider` looks for one."""

OFFLINE = "offline"
_PLAIN = {name: provider.id for name, provider in BY_NAME.items()} | {OFFLINE: OFFLINE}
VENDORS = (*KEY_NAMES, *(each.id for each in PROVIDERS if each.can_answer and not each.key_names), OFFLINE)
"""Providers that answer by their name alone."""
_LISTED = ", ".join((*VENDORS, "custom:<url>, anthropic-custom:<url>, local:<path>, command:<argv>"))
ADDRESS_REMEDY = 'Write default_provider = "custom:<base URL>" for an OpenAI-compatible server, or set api_url to its base URL'


def normalised(path: str, name: str) -> str:
    """The one name of a provider: `Kimi` is `moonshot`, and what follows a colon is kept as written; "" stays "".

    Args:
        path: where the name was written, for the error.
        name: as written in config.toml or a variable.

    Raises:
        Invalid: no such provider, or what follows the colon cannot work.
    """
    stripped = name.strip()
    family, colon, rest = stripped.partition(":")
    family, rest = family.strip().lower(), rest.strip()
    if not colon:
        if not stripped or family in _PLAIN:
            return _PLAIN.get(family, "")
        raise Invalid(path, f'unknown provider "{stripped[:60]}"', f"Write one of: {_LISTED}")
    if family not in _ARGUMENTS:
        raise Invalid(path, f'unknown provider "{family[:60]}:…"', f"Write one of: {_LISTED}")
    _ARGUMENTS[family](path, family, rest)
    return f"{family}:{rest}"


def named(provider: str) -> str:
    """What everybody may read of a provider: its name, not where it asks or what it runs."""
    return provider.partition(":")[0]


def needs_key(provider: str) -> bool:
    """Whether turns fail for certain without a key."""
    return provider in KEY_NAMES


def has_address(provider: str, api_url: str) -> bool:
    """Whether clawgate knows where to ask: false for providers of the table that answer only at an `api_url` of the operator's."""
    listed = BY_NAME.get(provider)
    return listed is None or listed.can_answer or bool(api_url)


def base_url(provider: str) -> str | None:
    """The URL of `custom:` and `anthropic-custom:`; None for the others."""
    family, colon, rest = provider.partition(":")
    return rest if colon and family in ("custom", "anthropic-custom") else None


def check_url(path: str, url: str) -> None:
    """Refuses what is no absolute http or https URL.

    Raises:
        Invalid: and says what is missing.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_good = False
    if not is_good or any(char.isspace() or not char.isprintable() for char in url):
        raise Invalid(path, "is not an http or https URL", "Write the whole URL, such as https://host.example/v1")


def _url(path: str, family: str, rest: str) -> None:
    try:
        check_url(path, rest)
    except Invalid:
        raise Invalid(path, f"what follows {family}: is not an http or https URL", f"Write {family}:https://host.example/v1") from None


def _file(path: str, family: str, rest: str) -> None:
    if not rest:
        raise Invalid(path, f"{family}: names no file", f"Write {family}:/path/to/model.gguf")


def _argv(path: str, family: str, rest: str) -> None:
    try:
        words = shlex.split(rest)
    except ValueError as problem:
        raise Invalid(path, f"{family}: cannot be split into words ({problem})", "Close every quote") from None
    if not words:
        raise Invalid(path, f"{family}: names no program", f"Write {family}:/path/to/program --option")


_ARGUMENTS: Mapping[str, Callable[[str, str, str], None]] = {"custom": _url, "anthropic-custom": _url, "local": _file, "command": _argv}
