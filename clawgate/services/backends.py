"""Who answers now: backends that can be exchanged while turns run. Ring: services. Source: design §5, §6 ("the new built beside the old"); rantaiclaw.md §15.

A turn borrows the backend it begins with and keeps it. One that was replaced is closed when its last turn has ended, or after the time a turn may take.
Besides the configured one there are those that single calls ask for by name; they are made when first asked for.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawgate.domain.errors import AgentUnavailable, BadRequest, Invalid, Overloaded
from clawgate.domain.settings import Settings, providers
from clawgate.ports.agents import AgentBackend
from clawgate.ports.clock import Clock
from clawgate.services.deadlines import Expired, within
from clawgate.services.shield import shielded

_log = Logger()
Build = Callable[[Settings], AgentBackend]
MOST_NAMED = 8
"""Backends kept besides the configured one."""


class Lease(msgspec.Struct, eq=False):
    """A backend in use; give it back with `release`.

    Attributes:
        model: what `Prompt.model` is to say, "" = the backend's default.
    """

    backend: AgentBackend
    model: str
    _seat: _Seat | None

    def release(self) -> None:
        """It is no longer used; a second call does nothing."""
        seat, self._seat = self._seat, None
        if seat is not None:
            seat.give_back()


class Backends(msgspec.Struct, eq=False, dict=True):
    """The configured backend and those asked for by name.

    Attributes:
        build: makes a backend from settings; no I/O.
        settings: the settings in force.
    """

    current: AgentBackend
    build: Build
    settings: Callable[[], Settings]
    clock: Clock
    _named: dict[str, _Seat] = {}
    _is_stopped: bool = False

    def __post_init__(self) -> None:
        self._seat = _Seat(self.current)

    async def start(self) -> None:
        """Makes the configured backend ready."""
        await self.current.start()

    async def stop(self) -> None:
        """Closes all of them, whoever still uses them."""
        self._is_stopped = True
        for seat in (self._seat, *self._named.values()):
            await seat.backend.stop()
        self._named.clear()

    def lease(self, model: str = "") -> Lease:
        """The configured backend, for one turn.

        Args:
            model: asked for by this call; "" = `default_model`.
        """
        return self._seat.lend(model or self.settings().default_model)

    async def named(self, provider: str, model: str = "") -> Lease:
        """A backend for one call that names its provider; "" and the configured one are the configured one.

        A vendor's key is its own: `api_key` goes only to the provider that it is configured for.

        Raises:
            BadRequest: not the name of a vendor; URLs, files and programs are the configuration's to name.
            AgentUnavailable: it could not be started. Overloaded: too many others are in use.
        """
        name = _listed(provider)
        if provider.strip() in ("", self.settings().default_provider) or name == self.settings().default_provider:
            return self.lease(model)
        if name not in providers.VENDORS:
            raise BadRequest(f"Unknown provider '{provider[:60]}'. Known: {', '.join(providers.VENDORS)}")
        seat = self._named.get(name) or self._open(name)
        self._named[name] = self._named.pop(name)  # the last one in the row was used last
        lease = seat.lend(model)
        try:
            await shielded(seat.ready)
        except CancelledError:
            lease.release()
            raise
        if seat.problem:
            lease.release()
            raise AgentUnavailable(f"{name} could not be started", detail=seat.problem)
        return lease

    def swap(self, backend: AgentBackend) -> Callable[[], Deferred[None]]:
        """Makes `backend`, which has been started, the configured one, and forgets those asked for by name: they hold old keys.

        Returns:
            what closes the replaced ones when their turns have ended; call it once.
        """
        replaced = (self._seat, *self._named.values())
        self._seat, self.current = _Seat(backend), backend
        self._named.clear()
        return lambda: Deferred.fromCoroutine(self._retire(replaced))

    async def _retire(self, seats: tuple[_Seat, ...]) -> None:
        seconds = self.settings().agent.turn_timeout_secs
        try:
            for seat in seats:
                await within(seat.emptied(), seconds, self.clock)
        except Expired:
            _log.warn("a replaced backend is closed with turns still running after {seconds} s", seconds=seconds)
        finally:
            for seat in seats:
                await seat.backend.stop()

    def _open(self, name: str) -> _Seat:
        self._make_room()
        try:
            backend = self.build(self._settings_for(name))
        except Invalid as problem:
            raise AgentUnavailable(f"{name} cannot be used", detail=str(problem)) from problem
        seat = self._named[name] = _Seat(backend)
        seat.ready = Deferred.fromCoroutine(_started(backend))
        seat.ready.addErrback(self._failed, name, seat)
        return seat

    def _failed(self, failure: Failure, name: str, seat: _Seat) -> None:
        """One that did not start is made anew for the next call."""
        seat.problem = failure.getErrorMessage()
        if self._named.get(name) is seat:
            del self._named[name]

    def _make_room(self) -> None:
        if self._is_stopped:
            raise AgentUnavailable("the gateway is stopping")
        if len(self._named) < MOST_NAMED:
            return
        idle = next((name for name, seat in self._named.items() if not seat.leases), None)
        if idle is None:
            raise Overloaded("too many providers are in use at once")
        closing = Deferred.fromCoroutine(self._retire((self._named.pop(idle),)))
        closing.addErrback(lambda failure: _log.failure("a backend did not close cleanly", failure))

    def _settings_for(self, name: str) -> Settings:
        return msgspec.structs.replace(self.settings(), default_provider=name, default_model="", api_key=None, api_url="")


class _Seat(msgspec.Struct, eq=False):
    """One backend and how many use it; `problem` is why it could not be started."""

    backend: AgentBackend
    leases: int = 0
    ready: Deferred[None] = msgspec.field(default_factory=Deferred)
    problem: str = ""
    _waiting: list[Deferred[None]] = []

    def lend(self, model: str) -> Lease:
        self.leases += 1
        return Lease(self.backend, model, self)

    def give_back(self) -> None:
        self.leases -= 1
        while not self.leases and self._waiting:
            self._waiting.pop().callback(None)

    def emptied(self) -> Deferred[None]:
        """Fires when nobody uses it."""
        waiter: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiter)
        if not self.leases:
            self._waiting.remove(waiter)
            waiter.callback(None)
        return waiter


def _listed(provider: str) -> str:
    """The id of a listed provider, "" for anything else."""
    try:
        name = providers.normalised("provider", provider)
    except Invalid:
        return ""
    return name if ":" not in name else ""


async def _started(backend: AgentBackend) -> None:
    await backend.start()
