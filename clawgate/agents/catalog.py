"""Asks vendors which models they have. Ring: agents. Implements `ports.agents.ModelCatalog`. Source: rantaiclaw.md §10 (POST …/models/refresh).

A key goes only to the vendor it belongs to: `api_key` to the default provider, the environment's keys each to its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from twisted.internet.defer import Deferred

from clawgate.agents import catalog_wire
from clawgate.agents.choose import own_key, provider_of
from clawgate.agents.http import HttpClient
from clawgate.agents.http_exchange import HeaderLookup, Receiver
from clawgate.agents.vendor_wire import ERROR_BODY_CAP_BYTES, error_of
from clawgate.domain.errors import AgentAuth, AgentBadRequest, AgentError, Invalid
from clawgate.domain.providers_catalog import BY_NAME, Listing, Provider
from clawgate.domain.settings.model import Settings
from clawgate.ports.clock import Clock

ANSWER_CAP_BYTES = 4 * 1024 * 1024
_IDLE_SECONDS = 10.0


class Getter(Protocol):
    """What asks: `HttpClient`."""

    def get(self, path: str, headers: Mapping[str, str], receiver: Receiver) -> Deferred[None]:
        """Asks and feeds the receiver."""

    def stop(self) -> Deferred[None]:
        """Closes everything."""


class VendorCatalog:
    """Every vendor's list of models.

    Args:
        http: a client for one base URL; made for each question and stopped after it.
        chosen: the name of the provider that answers now; its key and `api_url` are the settings'.
    """

    def __init__(self, settings: Callable[[], Settings], http: Callable[[str], Getter], chosen: Callable[[Settings], str]) -> None:
        self._settings, self._http, self._chosen = settings, http, chosen

    def models(self, provider: str) -> Deferred[tuple[str, ...]]:
        """`ports.agents.ModelCatalog.models`."""
        return Deferred.fromCoroutine(self._models(BY_NAME[provider]))

    async def _models(self, provider: Provider) -> tuple[str, ...]:
        settings = self._settings()
        is_chosen = BY_NAME.get(self._chosen(settings)) is provider
        base = provider.address(settings.api_url if is_chosen else "")
        if provider.listing is Listing.NONE or not base:
            raise AgentBadRequest("this provider has no list of models that can be asked for")
        key = _key(settings, provider, is_chosen=is_chosen)
        if not key and not provider.is_open:
            raise AgentAuth(f"no key for {provider.id}: set api_key, or the provider's own variable")
        path, headers = catalog_wire.request(provider.listing, key)
        reader = _Reader()
        try:
            http = self._http(base.rstrip("/").removesuffix("/chat/completions"))
        except Invalid as problem:
            raise AgentBadRequest(str(problem)) from None
        try:
            await http.get(path, headers, reader)
            return catalog_wire.names(reader.whole())
        except AgentError as problem:
            if key:
                problem.detail = problem.detail.replace(key, "***")
            raise
        finally:
            await http.stop()


class _Reader:
    """Keeps an answer; the client's cap bounds it."""

    def __init__(self) -> None:
        self._status, self._body = 0, bytearray()

    def head(self, status: int, header: HeaderLookup) -> None:
        """Notes the status."""
        self._status = status

    def data(self, chunk: bytes) -> None:
        """The next bytes; of an error no more than is read of it."""
        if self._status == 200 or len(self._body) < ERROR_BODY_CAP_BYTES:
            self._body += chunk

    def is_complete(self) -> bool:
        """An error needs no more than what came with its head."""
        return self._status != 200

    def whole(self) -> bytes:
        """The body. Raises AgentError when the vendor refused."""
        if self._status != 200:
            raise error_of(self._status, bytes(self._body))
        return bytes(self._body)


def _key(settings: Settings, provider: Provider, *, is_chosen: bool) -> str:
    key = (settings.api_key if is_chosen else None) or own_key(settings, provider.id, *provider.aliases)
    return key.reveal().strip() if key else ""


def build_catalog(settings: Callable[[], Settings], reactor: Any, clock: Clock) -> VendorCatalog:  # Any: the reactor: time and TCP at once
    """The catalog of the real vendors; no connection is made yet."""

    def http(base_url: str) -> Getter:
        return HttpClient(
            reactor,
            clock,
            base_url=base_url,
            max_inflight=1,
            idle_timeout_seconds=_IDLE_SECONDS,
            response_cap_bytes=ANSWER_CAP_BYTES,
            keeps_connections=False,
        )

    return VendorCatalog(settings, http, provider_of)
