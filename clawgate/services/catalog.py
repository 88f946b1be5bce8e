"""Which models a provider has: curated, remembered, or asked for now. Ring: services. Source: rantaiclaw.md §10 (GET /providers/{id}/models)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.logger import Logger

from clawgate.domain.errors import AgentError, AgentUnavailable, NotFound
from clawgate.domain.providers_catalog import BY_NAME, Models, Provider
from clawgate.domain.settings.model import Settings
from clawgate.ports.agents import ModelCatalog
from clawgate.ports.clock import Clock
from clawgate.ports.journal import Facts
from clawgate.services.deadlines import Expired, within

_log = Logger()
FACT = "provider_models"
REFRESH_SECONDS = 20.0


class Kept(msgspec.Struct, frozen=True):
    """A list as it is remembered."""

    models: tuple[str, ...]
    asked_ms: int


class NobodyAsked:
    """A `ModelCatalog` without vendors."""

    def models(self, provider: str) -> Deferred[tuple[str, ...]]:
        """`ports.agents.ModelCatalog.models`: never."""
        return fail(AgentUnavailable("this gateway asks no provider"))


class Catalog(msgspec.Struct):
    """Lists of models, kept across restarts."""

    settings: Callable[[], Settings]
    vendors: ModelCatalog
    facts: Facts
    clock: Clock

    async def models(self, name: str) -> Models:
        """What is known without asking anybody. Raises NotFound for a name that is no provider."""
        provider = BY_NAME.get(name.lower())
        if provider is None:
            raise NotFound(f"unknown provider `{name[:64]}`")
        kept = _kept(await self.facts.get(FACT, provider.id, self.clock.wall_ms()))
        if kept is None:
            return Models(provider=provider, models=provider.models, default=self._default(provider), source="curated", age_seconds=None)
        age_seconds = max(0, self.clock.wall_ms() - kept.asked_ms) // 1000
        return Models(provider=provider, models=kept.models, default=self._default(provider), source="cache", age_seconds=age_seconds)

    async def refresh(self, name: str) -> Models:
        """Asks the vendor, at most `REFRESH_SECONDS`; what was known stays when that fails. Raises NotFound as `models`."""
        known = await self.models(name)
        try:
            found = await within(self.vendors.models(known.provider.id), REFRESH_SECONDS, self.clock)
        except CancelledError:
            raise
        except Expired:
            return msgspec.structs.replace(known, detail="the provider did not answer in time")
        except AgentError as problem:
            _log.info("the models of {provider} are not known: {problem} {detail}", provider=name, problem=str(problem), detail=problem.detail)
            return msgspec.structs.replace(known, detail=str(problem))
        await self.facts.put(FACT, known.provider.id, msgspec.json.encode(Kept(found, self.clock.wall_ms())).decode())
        return msgspec.structs.replace(await self.models(name), is_refreshed=True)

    def _default(self, provider: Provider) -> str:
        settings = self.settings()
        is_chosen = BY_NAME.get(settings.default_provider) is provider
        return settings.default_model if is_chosen and settings.default_model else provider.default_model


def _kept(text: str | None) -> Kept | None:
    try:
        return None if text is None else msgspec.json.decode(text, type=Kept)
    except msgspec.MsgspecError:  # written by another version
        return None
