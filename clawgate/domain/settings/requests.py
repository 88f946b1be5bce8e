"""What callers ask of the configuration, as edits. Ring: domain. Source: rantaiclaw.md §11 (/api/v1/config*), §15 (PATCH /config/*).

Every function takes the settings in force and gives an `Edit`; whether the outcome can work is for the preview to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from clawgate.domain.approvals import Level
from clawgate.domain.errors import BadRequest, Invalid, NotFound
from clawgate.domain.overlay import Change
from clawgate.domain.secret import Secret
from clawgate.domain.settings import providers
from clawgate.domain.settings.edits import KEEP, Edit, Target, checked_files
from clawgate.domain.settings.model import Settings
from clawgate.domain.settings.schema import Kind, Table, tree

PROMPT_FILE = "SYSTEM_PROMPT.md"
_KEY_LIKE = re.compile(r"(sk-|sk_|gsk_|xai-|AIza|hf_)")
_GLOB = frozenset("*?[]{}")


def channels_edit(settings: Settings, wanted: Mapping[str, Mapping[str, object] | None], supported: Iterable[str]) -> Edit:
    """Channels set, each as a whole, or removed.

    A secret that is left out or "" stays as it is; null clears. Keys that no channel has are left out.

    Raises:
        BadRequest: an unknown kind. NotFound: one to be removed is not configured.
    """
    known = tuple(supported)
    for name, table in wanted.items():
        if name not in known:
            raise BadRequest(f"Unknown channel type '{name[:64]}'. Supported: {', '.join(known)}")
        if table is None and getattr(settings.channels_config, name) is None:
            raise NotFound(f"Channel '{name}' not found")
    tables = {table.name: table for table in next(table for table in tree().tables if table.name == "channels_config").tables}
    changes = tuple(Change(("channels_config", name), None if given is None else table_value(tables[name], given)) for name, given in wanted.items())
    return Edit(target=Target.OVERLAY, changes=changes)


def mcp_edit(settings: Settings, wanted: Mapping[str, Mapping[str, object] | None], target: Target = Target.OVERLAY) -> Edit:
    """MCP servers set, each as a whole, or removed; secrets as for channels.

    Raises:
        NotFound: one to be removed is not configured.
    """
    for name, given in wanted.items():
        if given is None and name not in settings.mcp_servers:
            raise NotFound(f"MCP server '{name[:64]}' not found")
    spec = next(family for family in tree().families if family.path == "mcp_servers.*")
    changes = tuple(Change(("mcp_servers", name), None if given is None else table_value(spec, given)) for name, given in wanted.items())
    return Edit(target=target, changes=changes)


def model_edit(settings: Settings, target: Target, provider: str | None, model: str | None, temperature: float | None) -> Edit:
    """Provider, model and temperature; None = as it is, "" = no longer set.

    A key belongs to its provider: another provider is given the key kept for it, or none, and the old one's is kept. A base URL does not go along.
    """
    asked = {"default_provider": provider, "default_model": model}
    changes = [Change((name,), text.strip() or None) for name, text in asked.items() if text is not None]
    if temperature is not None:
        changes.append(Change(("default_temperature",), temperature))
    return Edit(target=target, changes=tuple(changes), besides=_key_changes(settings, provider))


def _key_changes(settings: Settings, provider: str | None) -> tuple[Change, ...]:
    old = settings.default_provider
    new = _name(provider or "")
    if provider is None or new == old:
        return ()
    stored = settings.provider_api_keys.get(new)
    changes = [Change(("api_key",), stored)] if settings.api_key is not None or stored is not None else []
    if settings.api_key is not None and old:
        changes.append(Change(("provider_api_keys", old), settings.api_key))
    if settings.api_url:
        changes.append(Change(("api_url",)))
    return tuple(changes)


def _name(provider: str) -> str:
    try:
        return providers.normalised("default_provider", provider)
    except Invalid:
        return provider.strip()


def tools_edit(auto_approve: tuple[str, ...] | None) -> Edit:
    """The tools that run unasked; None = as they are."""
    changes = () if auto_approve is None else (Change(("autonomy", "auto_approve"), list(auto_approve)),)
    return Edit(target=Target.OVERLAY, changes=changes)


def agent_edit(system_prompt: str | None, files: Mapping[str, str]) -> Edit:
    """The agent's instructions, in force and as a file, and further files of its workspace. Raises BadRequest, as `checked_files`."""
    given = dict(files) if system_prompt is None else {PROMPT_FILE: system_prompt, **files}
    changes = () if system_prompt is None else (Change(("agent", "system_prompt"), system_prompt.strip() or None),)
    return Edit(target=Target.OVERLAY, changes=changes, files=checked_files(given))


def autonomy_edit(wanted: Mapping[str, object]) -> Edit:
    """Keys of `[autonomy]`, each replaced.

    Raises:
        BadRequest: a level that does not exist, or a command that is no single plain word.
    """
    level = wanted.get("level")
    if isinstance(level, str) and Level.named(level) is None:
        raise BadRequest(f"invalid autonomy level: {level[:40]}")
    commands = wanted.get("allowed_commands")
    for command in commands if isinstance(commands, tuple | list) else ():
        if not command.strip() or len(command.split()) != 1 or not _GLOB.isdisjoint(command):
            raise BadRequest(f"invalid command: {command[:40]!r}; a program's name alone")
    changes = tuple(Change(("autonomy", name), list(value) if isinstance(value, tuple) else value) for name, value in wanted.items())
    return Edit(target=Target.FILE, changes=changes)


def secrets_edit(api_key: str | None, api_url: str | None) -> Edit:
    """Key and base URL of the default provider; None = as it is, "" = no longer set.

    Raises:
        BadRequest: the URL is none, or looks like a key.
    """
    changes: list[Change] = []
    if api_url is not None:
        changes.append(Change(("api_url",), _checked_url(api_url.strip()) or None))
    if api_key is not None:
        changes.append(Change(("api_key",), Secret(api_key.strip()) if api_key.strip() else None))
    return Edit(target=Target.FILE, changes=tuple(changes))


def _checked_url(url: str) -> str:
    if _KEY_LIKE.match(url):
        raise BadRequest("api_url looks like an API key; send that as api_key")
    if url and not url.lower().startswith(("http://", "https://")):
        raise BadRequest("api_url must be an http or https URL")
    return url


def knowledge_edit(enabled: bool | None, keys: Mapping[str, str | None]) -> Edit:
    """`[knowledge] enabled` and keys; None = as it is, "" = no longer set."""
    changes = [] if enabled is None else [Change(("knowledge", "enabled"), enabled)]
    changes += [Change(("knowledge", name), Secret(key.strip()) if key.strip() else None) for name, key in keys.items() if key is not None]
    return Edit(target=Target.FILE, changes=tuple(changes))


def table_value(spec: Table, given: Mapping[str, object]) -> dict[str, object]:
    """A table as an edit takes it: secrets wrapped, those left out or "" kept, null and unknown keys left out."""
    found: dict[str, object] = {}
    for key in spec.keys:
        value = given.get(key.name)
        if key.kind is Kind.SECRET:
            found[key.name] = _secret(value) if key.name in given else KEEP
        elif key.kind is Kind.SECRETS and isinstance(value, Mapping):
            found[key.name] = {str(name): _secret(text) for name, text in value.items()}
        elif key.name in given:
            found[key.name] = value
    return {name: value for name, value in found.items() if value is not None}


def _secret(value: object) -> object:
    if isinstance(value, str):
        return Secret(value) if value.strip() else KEEP
    return value
