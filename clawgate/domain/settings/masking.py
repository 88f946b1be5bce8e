"""The whole configuration as an object without a secret in it. Ring: domain. Source: rantaiclaw.md §11 (GET /config), §15 (which masked nothing).

Secrets are known by their type, wherever they are: one that is set is "", one that is not is null. Upstream goes by names alone and so shows the environment
of MCP servers; its names are applied on top, to what is no secret by type. Texts that can carry credentials (URLs, commands, arguments) are redacted by shape.
"""

from __future__ import annotations

from collections.abc import Mapping

from clawgate.domain.redaction import MASK, Redactor, is_sensitive
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import Section, Settings
from clawgate.domain.settings.schema import tree

_HIDDEN = frozenset({"provider_api_keys"})
_SHOWN = frozenset({"max_tokens", "rate_limit_max_keys", "idempotency_max_keys", "system_prompt", "secrets"})
"""What the rules on names would hit, or redaction would spoil, and must not."""
_ENDINGS = ("_token", "_secret", "_password", "_key")
_NAMES = frozenset({"token", "secret", "password", "password_hash", "paired_tokens", "api_keys", "provider_api_keys", "db_url"})
_redactor = Redactor()


def masked(settings: Settings) -> dict[str, object]:
    """Every setting by its name in config.toml, as JSON values, secrets masked."""
    return {name: _shown(name, getattr(settings, name)) for name in tree().names if name not in _HIDDEN}


def _shown(name: str, value: object) -> object:
    if isinstance(value, Secret):
        return ""
    if isinstance(value, Section):
        return {below: _shown(below, getattr(value, below)) for below in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {str(below): _shown(str(below), entry) for below, entry in value.items()}
    if name not in _SHOWN and is_secret_name(name):
        return "" if isinstance(value, str) else None
    if isinstance(value, tuple):
        return [_after(before, _shown("", entry)) for before, entry in zip(("", *value), value, strict=False)]
    return shown_text(value) if isinstance(value, str) and name not in _SHOWN else value


def _after(before: object, shown: object) -> object:
    """An entry of a list of arguments: what follows `--password` is one."""
    is_value = isinstance(before, str) and before.startswith("-") and "=" not in before and is_sensitive(before)
    return MASK if is_value and isinstance(shown, str) else shown


def shown_text(text: str) -> str:
    """A setting that is no secret by type, such as a provider's name, which may be a URL or a command line: without what looks like credentials."""
    return _redactor.text(text)


def is_secret_name(name: str) -> bool:
    """Whether upstream masks values under this name."""
    lower = name.lower()
    return lower.endswith(_ENDINGS) or lower in _NAMES or "credential" in lower
