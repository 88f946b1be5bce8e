"""What a gateway tells about itself on `/api/v1`, in the contract's shapes. Ring: edge, under the domain rule. Source: rantaiclaw.md §10."""

from __future__ import annotations

from clawgate.domain.approvals import Level
from clawgate.domain.doctor import Result
from clawgate.domain.providers_catalog import PROVIDERS, Models, Provider
from clawgate.domain.settings.model import Settings

NAME = "clawgate"
AUTONOMY = {Level.READ_ONLY: "ReadOnly", Level.SUPERVISED: "Supervised", Level.FULL: "Full"}
_CHANNELS = (
    *("telegram", "discord", "slack", "mattermost", "webhook", "imessage", "matrix", "signal"),
    *("whatsapp", "linq", "nextcloud_talk", "email", "irc", "lark", "dingtalk", "qq"),
)
"""The contract's order; `wati` and whatever else clawgate has comes after."""
_OWN_CHANNELS = ("wati",)


def channels_object(settings: Settings) -> dict[str, object]:
    """Which sections stand in the configuration; sections of channels that clawgate does not have count too, as they are presence, not life."""
    present = {name for name in settings.channels_config.__struct_fields__ if getattr(settings.channels_config, name) is not None}
    present |= {path.removeprefix("channels_config.") for path in settings.unknown if path.startswith("channels_config.")}
    configured = [name for name in (*_CHANNELS, *_OWN_CHANNELS) if name in present]
    return {"configured": configured, "count": len(configured)}


def provider_object(provider: Provider) -> dict[str, object]:
    """One row of the list of providers."""
    return {"id": provider.id, "display_name": provider.display_name, "aliases": list(provider.aliases), "local": provider.is_local}


def providers_object() -> dict[str, object]:
    """The whole list."""
    return {"providers": [provider_object(provider) for provider in PROVIDERS], "count": len(PROVIDERS)}


def models_object(models: Models) -> dict[str, object]:
    """A provider's models without asking."""
    return {
        "provider": models.provider.id,
        "models": list(models.models),
        "default": models.default,
        "source": models.source,
        "age_secs": models.age_seconds,
        "count": len(models.models),
    }


def refreshed_object(models: Models) -> dict[str, object]:
    """A provider's models after asking."""
    return models_object(models) | {"refreshed": models.is_refreshed, "detail": models.detail}


def result_object(result: Result) -> dict[str, object]:
    """One result of the doctor's."""
    check = result.check
    return {
        "name": check.name,
        "category": check.category,
        "severity": str(check.severity),
        "message": check.message,
        "hint": check.hint,
        "duration_ms": result.duration_ms,
    }
