"""`/config/*` and `/api/v1/config*`: shapes of bodies and answers. Ring: edge, under the domain rule. Source: rantaiclaw.md §11, §15.

The envelope of `/config/*` is `{"ok", "applied"?, "errors"?: {id: text}, "error"?}`; ours has `live` and `restart`, too: the paths that changed at
once, and those that will at the next start. Upstream applies what it can and answers both `applied` and `errors`; here a change is whole or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from clawgate.domain.errors import GatewayError, Invalid, InvalidSettings, NotApplied, Unauthenticated, WrongShape
from clawgate.domain.settings.changes import Changes
from clawgate.domain.settings.masking import shown_text
from clawgate.domain.settings.model import AutonomySettings, KnowledgeSettings, Settings
from clawgate.domain.settings.providers import ADDRESS_REMEDY, has_address, needs_key
from clawgate.web.dialects import api_wire, root_wire
from clawgate.web.dialects.root_wire import Refusal

UNAUTHORIZED = "Unauthorized — pair first via POST /pair"
NO_TELEGRAM = "Telegram is not a channel of this gateway"
_FAMILIES = ("channels_config.", "mcp_servers.")

Tables = dict[str, dict[str, Any] | None]  # Any: JSON values, checked by the settings' own rules
"""Body of PATCH /config/channels and /config/mcp-servers."""


class ModelBody(msgspec.Struct):
    """`PATCH /config/model`, `PUT /api/v1/config/model`; null = left out."""

    provider: str | None = None
    model: str | None = None
    temperature: float | None = None


class ToolsBody(msgspec.Struct):
    """`PATCH /config/tools`."""

    auto_approve: tuple[str, ...] | None = None


class AgentBody(msgspec.Struct):
    """`PATCH /config/agent`."""

    system_prompt: str | None = None
    workspace_files: dict[str, str] = {}


class AutonomyBody(msgspec.Struct):
    """`PUT /api/v1/config/autonomy`; null = left out."""

    level: str | None = None
    auto_approve: tuple[str, ...] | None = None
    always_ask: tuple[str, ...] | None = None
    allowed_commands: tuple[str, ...] | None = None
    forbidden_paths: tuple[str, ...] | None = None
    max_actions_per_hour: int | None = None
    max_cost_per_day_cents: int | None = None
    workspace_only: bool | None = None
    block_high_risk_commands: bool | None = None
    require_approval_for_medium_risk: bool | None = None

    def given(self) -> dict[str, object]:
        """What is not left out."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in values.items() if value is not None}


class McpBody(msgspec.Struct):
    """`POST /api/v1/config/mcp_servers/{name}`; `url` and `headers` are ours."""

    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    url: str = ""
    headers: dict[str, str] = {}

    def table(self) -> dict[str, object]:
        """As a table of the settings."""
        return {name: value for name in self.__struct_fields__ if (value := getattr(self, name))}


class SecretsBody(msgspec.Struct):
    """`PUT /api/v1/secrets`; absent = as it is, "" = no longer set."""

    api_key: str | None = None
    api_url: str | None = None


class KnowledgeBody(msgspec.Struct):
    """`PUT /api/v1/config/knowledge`; as `SecretsBody`."""

    enabled: bool | None = None
    embedding_api_key: str | None = None
    vision_api_key: str | None = None


def applied(what: object, changes: Changes | None = None) -> dict[str, object]:
    """The envelope of success."""
    paths = {} if changes is None else {"live": list(changes.live), "restart": list(changes.restart)}
    return {"ok": True, "applied": what, **paths}


def refusal(error: GatewayError) -> Refusal:
    """The envelope of a refusal: nothing was applied."""
    match error:
        case NotApplied():
            return 200, {"ok": False, "errors": error.errors}, 0
        case Invalid():
            return 400, {"ok": False, "errors": _by_id(error), "error": "Nothing was changed: the configuration could not work"}, 0
        case Unauthenticated():
            return 401, {"ok": False, "error": UNAUTHORIZED}, 0
        case WrongShape():
            return 400, {"ok": False, "error": str(error)}, 0
    status, body, seconds = root_wire.refusal(error)
    return status, {"ok": False, **body, **({"error": str(error)} if status == 404 else {})}, seconds


def _by_id(error: Invalid) -> dict[str, str]:
    problems = error.problems if isinstance(error, InvalidSettings) else (error,)
    return {_id(problem.path): str(problem) for problem in problems}


def _id(path: str) -> str:
    """Channels and servers are called by their names, everything else by its path."""
    return next((path.removeprefix(family).split(".")[0] for family in _FAMILIES if path.startswith(family)), path)


def api_refusal(error: GatewayError) -> Refusal:
    """`/api/v1`: its own shape; what the settings' rules refuse is a bad request."""
    return api_wire.failure(400, "bad_request", str(error)) if isinstance(error, Invalid) else api_wire.refusal(error)


def model_object(settings: Settings) -> dict[str, object]:
    """What `PUT /config/model` answers."""
    shown: dict[str, object] = {
        "default_provider": shown_text(settings.default_provider),
        "default_model": settings.default_model or None,
        "default_temperature": settings.default_temperature,
    }
    return shown | ({"warning": warning} if (warning := _warning(settings)) else {})


def _warning(settings: Settings) -> str:
    """Why turns will fail, "" when nothing is known."""
    name = shown_text(settings.default_provider)
    if not has_address(settings.default_provider, settings.api_url):
        return f"No address of {name} is known: turns will fail. {ADDRESS_REMEDY}"
    return "" if has_key(settings) else f"No usable credential for {name}: turns will fail"


def has_key(settings: Settings) -> bool:
    """Whether the default provider can be asked."""
    provider = settings.default_provider
    return not needs_key(provider) or bool(settings.api_key) or provider in dict(settings.provider_keys)


def secrets_object(settings: Settings, api_url: str) -> dict[str, object]:
    """What `GET /secrets` answers; `api_url` without credentials in it."""
    present = bool(settings.api_key) or settings.default_provider in dict(settings.provider_keys)
    return {
        "provider": shown_text(settings.default_provider),
        "api_url": api_url or None,
        "api_key_present": present,
        "encrypt_at_rest": settings.secrets.encrypt,
    }


def knowledge_object(settings: KnowledgeSettings) -> dict[str, object]:
    """`enabled` and which keys there are."""
    return {
        "enabled": settings.enabled,
        "embedding_configured": bool(settings.embedding_api_key),
        "vision_configured": bool(settings.vision_api_key),
    }


def autonomy_object(settings: AutonomySettings) -> dict[str, object]:
    """`[autonomy]`, whole."""
    return {name: getattr(settings, name) for name in settings.__struct_fields__}


def status_object(states: Mapping[str, tuple[str, str | None]]) -> dict[str, object]:
    """How channels or servers are, with the error of those in error."""
    return {name: {"status": state, **({"error": error} if error is not None else {})} for name, (state, error) in sorted(states.items())}
