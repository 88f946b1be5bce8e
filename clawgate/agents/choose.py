"""Who answers, from the settings. Ring: agents. Source: design §5 (names and order of choice).

Each backend's module is imported when it is chosen. A remote provider without a key, or one whose address is not known, is built all the same: its turns fail
with the remedy in the log, and the door stays open.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any

from clawgate.agents.offline import Notes, OfflineBackend
from clawgate.agents.service import ServiceBackend, checked_service
from clawgate.domain.errors import Invalid
from clawgate.domain.providers_catalog import BY_NAME, Provider
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import Settings
from clawgate.domain.settings.providers import VENDORS, has_address
from clawgate.ports.agents import AgentBackend
from clawgate.ports.clock import Clock

_KEY_SHAPES = (
    ("sk-or-", "openrouter"),
    ("sk-ant-", "anthropic"),
    ("sk-proj-", "openai"),
    ("gsk_", "groq"),
    ("AIza", "gemini"),
)
"""How a vendor's keys begin: a key without a provider's name goes only to the vendor it certainly belongs to."""

_PREFIXED = ("custom", "anthropic-custom", "local", "command")


def build_backend(
    settings: Settings,
    *,
    reactor: Any,  # Any: the reactor: time, TCP and processes at once
    clock: Clock,
    notes: Notes | None,
    service: object | None = None,
    environment: Mapping[str, str] | None = None,
) -> AgentBackend:
    """The backend the settings name; no I/O yet.

    Args:
        notes: for the offline agent; None = it does not remember.
        service: an embedder's own agent (`agents.service.Answerer`), which goes before everything else.
        environment: variables for children besides PATH, HOME and LANG.

    Raises:
        Invalid: an unknown provider, a URL or a command that cannot work, or `local:` without its extra.
    """
    if service is not None:
        return ServiceBackend(checked_service(service))
    name, _, rest = provider_of(settings).partition(":")
    if name == "offline":
        return OfflineBackend(notes)
    build = _Build(settings, reactor, clock, environment or {})
    builders: dict[str, Callable[[str], AgentBackend]] = {
        "custom": build.custom,
        "anthropic-custom": build.anthropic_custom,
        "local": build.local,
        "command": build.command,
    }
    return builders[name](rest.strip()) if name in builders else build.vendor(name)


def provider_of(settings: Settings) -> str:
    """The provider's setting as it takes effect: lower-case name, with its argument after a colon where it has one."""
    name, colon, rest = settings.default_provider.strip().partition(":")
    if name:
        return name.strip().lower() + colon + rest
    if settings.api_key:
        key = settings.api_key.reveal().strip()
        for prefix, vendor in _KEY_SHAPES:
            if key.startswith(prefix):
                return vendor
    return next((vendor for vendor, key in settings.provider_keys if key), "offline")


def own_key(settings: Settings, *names: str) -> Secret | None:
    """The key that is a vendor's own, under the first of its names that has one; None when there is none."""
    keys = dict(reversed(settings.provider_keys))
    return next((keys[name] for name in names if keys.get(name)), None)


class _Build:
    """Builders that share the settings."""

    def __init__(self, settings: Settings, reactor: Any, clock: Clock, environment: Mapping[str, str]) -> None:  # Any: as above
        self._settings, self._reactor, self._clock, self._environment = settings, reactor, clock, environment

    def vendor(self, name: str) -> AgentBackend:
        from clawgate.agents import anthropic, gemini, openai
        from clawgate.agents.unknown import UnknownBackend

        listed = BY_NAME.get(name)
        if listed is None:
            known = (*VENDORS, *(f"{prefix}:…" for prefix in _PREFIXED))
            raise Invalid("default_provider", f"{name!r} is not a provider", f"Write one of: {', '.join(known)}")
        if not has_address(listed.id, self._settings.api_url):
            return UnknownBackend(listed.id, self._model("none"))
        address, (key, remedy) = listed.address(self._settings.api_url), self._key(listed)
        if listed.id == "anthropic":
            return self._anthropic(listed.id, anthropic.base_of(address), key, remedy)
        model = self._model(listed.default_model or "default")
        if listed.id == "gemini":
            return gemini.gemini_backend(listed.id, self._http(address), self._clock, model=model, key=key, key_remedy=remedy)
        return openai.openai_backend(listed.id, self._http(openai.base_of(address)), self._clock, model=model, key=key, key_remedy=remedy)

    def custom(self, url: str) -> AgentBackend:
        from clawgate.agents.openai import base_of, openai_backend

        return openai_backend("custom", self._http(base_of(url)), self._clock, model=self._model("default"), key=self._own_key("custom"))

    def anthropic_custom(self, url: str) -> AgentBackend:
        from clawgate.agents.anthropic import base_of

        return self._anthropic("anthropic-custom", base_of(url), self._own_key("anthropic-custom"), "")

    def local(self, path: str) -> AgentBackend:
        from clawgate.agents.local import LocalBackend, check_installed
        from clawgate.agents.openai import openai_backend

        check_installed()
        if not path:
            raise Invalid("default_provider", "local: names no file", "Write local:PATH with the path of a GGUF file")
        tokens = self._settings.agent.local_output_tokens

        def make(url: str, key: Secret) -> Any:  # Any: VendorBackend, imported above only when needed
            return openai_backend("local", self._http(url, keeps_connections=False), self._clock, model=self._model("local"), key=key)

        return LocalBackend(self._reactor, self._clock, path, make, output_tokens=tokens, environment=self._environment)

    def command(self, line: str) -> AgentBackend:
        from clawgate.agents.command import CommandBackend

        try:
            argv = shlex.split(line)
        except ValueError as error:
            raise Invalid("default_provider", f"command: cannot be read ({error})", "Close its quotes") from None
        if not argv:
            raise Invalid("default_provider", "command: names no program", "Write command:PROGRAM ARGUMENTS")
        agent = self._settings.agent
        return CommandBackend(
            self._reactor,
            self._clock,
            argv,
            max_inflight=agent.service_max_inflight,
            idle_timeout_seconds=agent.idle_timeout_secs,
            answer_cap_bytes=agent.max_answer_bytes,
            default_model=self._settings.default_model,
            environment=self._environment,
        )

    def _anthropic(self, name: str, url: str, key: Secret | None, remedy: str) -> AgentBackend:
        from clawgate.agents.anthropic import anthropic_backend

        tokens = self._settings.agent.max_output_tokens
        http, model = self._http(url), self._model(BY_NAME["anthropic"].default_model)
        return anthropic_backend(name, http, self._clock, model=model, max_output_tokens=tokens, key=key, key_remedy=remedy)

    def _http(self, url: str, keeps_connections: bool = True) -> Any:  # Any: HttpClient, imported only when needed
        from clawgate.agents.http import HttpClient

        agent = self._settings.agent
        return HttpClient(
            self._reactor,
            self._clock,
            base_url=url,
            max_inflight=agent.service_max_inflight,
            idle_timeout_seconds=agent.idle_timeout_secs,
            response_cap_bytes=agent.max_answer_bytes,
            keeps_connections=keeps_connections,
        )

    def _model(self, default: str) -> str:
        return self._settings.default_model or default

    def _key(self, listed: Provider) -> tuple[Secret | None, str]:
        """The provider's key, and what to do when there is none."""
        remedy = f"Set {listed.key_names[0]} or CLAWGATE_API_KEY, or api_key in config.toml" if listed.key_names else ""
        return self._own_key(listed.id, *listed.aliases), remedy

    def _own_key(self, *names: str) -> Secret | None:
        return self._settings.api_key or own_key(self._settings, *names)
