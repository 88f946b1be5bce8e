"""Settings that change while the gateway runs. Ring: services. Source: design §6 ("bad config never takes the door down"); rantaiclaw.md §2, §11, §15.

A change goes through four steps, and the gateway is in its old state until the last:

    validate   the whole configuration as it would be
    prepare    every part builds its next state beside the one that works; one that cannot undoes them all
    persist    the audit log, then the files; what cannot be written undoes all preparations
    commit     plain assignments, in one turn of the reactor; afterwards the old is closed at leisure

One change at a time. A file changed by hand goes the same way, without the third step; a bad one is told to `/health` and the last good settings stay.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn, TypeVar

import msgspec
from twisted.internet.defer import CancelledError, Deferred, DeferredLock, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from clawgate.domain.audit import FILES, GATEWAY, Action, Outcome
from clawgate.domain.errors import GatewayError, NotApplied, Unavailable
from clawgate.domain.settings import Settings
from clawgate.domain.settings.changes import Changes, changes
from clawgate.domain.settings.edits import Edit
from clawgate.ports.audit import Recorder
from clawgate.ports.clock import Clock
from clawgate.ports.config import ConfigStore
from clawgate.ports.events import ComponentHealth
from clawgate.ports.parts import LivePart, Prepared
from clawgate.services.audit import NOT_RECORDED
from clawgate.services.deadlines import Expired, within
from clawgate.services.events import Events
from clawgate.services.shield import shielded

_log = Logger()
_T = TypeVar("_T")
COMPONENT = "config"
StandIn = Callable[[Settings], Settings]
PREPARE_SECONDS = 60.0
"""What one part may take to build its next state."""
READ_SECONDS = 30.0
"""What reading the files may take."""
_MOST_RETIRING = 64
_MOST_WAITING = 32


class LiveSettings(msgspec.Struct, eq=False, dict=True):
    """The settings in force, and the one way to change them.

    Attributes:
        settings: those in force.
        parts: in the order in which they are prepared.
        taken_up: told of the new settings, in the turn of the commit.
        reading: told before the files are read.
        beforehand: told of new settings before any part sees them, whatever becomes of them: their secrets are to be hidden.
    """

    store: ConfigStore
    events: Events
    health: ComponentHealth
    clock: Clock
    settings: Settings
    taken_up: Callable[[Settings], None] = lambda settings: None
    parts: list[LivePart] = []
    reading: Callable[[], None] = lambda: None
    beforehand: Callable[[Settings], None] = lambda settings: None
    audit: Recorder = NOT_RECORDED
    _lock: DeferredLock = msgspec.field(default_factory=DeferredLock)
    _retiring: list[Deferred[None]] = []
    _is_stopped: bool = False
    _stand_in: StandIn | None = None
    _next_reload: Deferred[Changes | None] | None = None

    def __post_init__(self) -> None:
        self._own_model = _with_model_of(Settings(), self.settings)

    async def change(self, make: Callable[[Settings], Edit], by: str = GATEWAY) -> Changes:
        """Makes a change, persists it and takes it up; or leaves everything as it was. Whoever waits may leave: it runs to its end.

        Args:
            make: the edit for the settings in force when it is its turn; may raise what it likes.
            by: principal who wants it.

        Returns:
            What differs, of what the edit is about.

        Raises:
            Invalid, InvalidSettings: the configuration could not work. NotApplied: a part could not follow.
            Conflict: a file was changed by somebody else meanwhile. Unavailable: it cannot be written, too many changes wait, or the gateway stops.
        """
        self._check_open()
        return await self._alone(lambda: self._change(make, by))

    async def reload(self) -> Changes | None:
        """Takes up the files as they are now; None when they cannot be, which `/health` then says.

        Whoever asks while another reload waits for its turn is served by that one: it reads the files later.
        """
        if not self._lock.locked:
            return await self._alone(self._reload)
        if self._next_reload is None:
            self._next_reload = self._lock.run(self._reload_next)
        return await shielded(self._next_reload)

    async def stand_in(self, make: StandIn, by: str = GATEWAY) -> None:
        """Lets another model stand over the one of the configuration; nothing is written. It lasts until the process ends, another one stands in, or the
        configuration names another provider, model, key or address.

        Args:
            make: the settings with the other model, from those with the configured one; may raise a `GatewayError`, and nothing changes then.

        Raises:
            NotApplied, Unavailable: as `change`.
        """
        self._check_open()
        await self._alone(lambda: self._stand(make, by))

    async def stop(self) -> None:
        """Takes no more changes, lets the one under way end, and closes what is still open of old states."""
        self._is_stopped = True
        await self._lock.acquire()
        self._lock.release()
        for retiring in tuple(self._retiring):
            retiring.cancel()

    def _check_open(self) -> None:
        if self._is_stopped or len(self._lock.waiting) >= _MOST_WAITING:
            raise Unavailable("the configuration takes no changes now")

    async def _alone(self, work: Callable[[], Coroutine[Deferred[Any], Any, _T]]) -> _T:  # Any: what Deferreds in it fire with
        running: Deferred[_T] = self._lock.run(work)
        heard = shielded(running)
        running.addErrback(_unheard)
        return await heard

    async def _change(self, make: Callable[[Settings], Edit], by: str) -> Changes:
        edit, old = make(self.settings), self.settings
        self.reading()
        await self._apply_own(await self._read(self.store.preview(edit)), lambda: self._persist(edit), by)
        self.health.ok(COMPONENT)
        return self._told(changes(old, self.settings, edit.paths), "changed")

    async def _reload_next(self) -> Changes | None:
        self._next_reload = None
        return await self._reload()

    async def _reload(self) -> Changes | None:
        if self._is_stopped:
            return None
        old = self.settings
        self.reading()
        try:
            fresh = await self._read(self.store.load())
            await self._apply_own(fresh, lambda: succeed(fresh.config_fingerprint), FILES)
        except CancelledError:
            raise
        except GatewayError as problem:
            self.health.failed(COMPONENT, str(problem))
            _log.error("the configuration was not taken up; the last good one stays: {problem}", problem=str(problem))
            return None
        except Exception as problem:
            self.health.failed(COMPONENT, f"internal error ({type(problem).__name__})")
            _log.failure("the configuration was not taken up; the last good one stays")
            return None
        self.health.ok(COMPONENT)
        return self._told(changes(old, self.settings), "taken up")

    async def _read(self, reading: Deferred[Settings]) -> Settings:
        """A disk that hangs holds up nobody for good. What hangs while it writes does: whether it is written nobody could say."""
        try:
            return await within(reading, READ_SECONDS, self.clock)
        except Expired:
            raise Unavailable(f"the files of the configuration were not read within {READ_SECONDS:.0f} s") from None

    async def _stand(self, make: StandIn, by: str) -> None:
        old = self.settings
        await self._apply(make(_with_model_of(old, self._own_model)), lambda: succeed(old.config_fingerprint), by)
        self._stand_in = make
        self._told(changes(old, self.settings), "covered")

    async def _apply_own(self, own: Settings, persist: Callable[[], Deferred[str]], by: str) -> None:
        """`_apply` for what the files say, below what stands in."""
        stand_in = self._stand_in if _with_model_of(own, self._own_model) == own else None
        try:
            new = own if stand_in is None else stand_in(own)
        except GatewayError:  # it cannot work any more
            new, stand_in = own, None
        await self._apply(new, persist, by)
        self._own_model, self._stand_in = _with_model_of(Settings(), own), stand_in

    async def _apply(self, new: Settings, persist: Callable[[], Deferred[str]], by: str) -> None:
        """Raises what a part or the files have against it; everything is as before then."""
        self.beforehand(new)
        prepared: list[tuple[str, Prepared]] = []
        try:
            for part in self.parts:
                made = await self._prepared(part, new)
                if made is not None:
                    prepared.append((part.name, made))
            new = msgspec.structs.replace(new, config_fingerprint=await self._recorded(new, persist, by))
        except BaseException:
            for name, made in reversed(prepared):
                await _quietly(name, made.abandon())
            raise
        for name, made in prepared:
            _committed(name, made)
        self.settings = new
        self.taken_up(new)
        for name, made in prepared:
            self._retire(name, made)

    async def _recorded(self, new: Settings, persist: Callable[[], Deferred[str]], by: str) -> str:
        """Persists, with an entry before and one after: what cannot be recorded is not changed.

        What the files say already is taken up in any case: it may take back a token.
        """
        found = changes(self.settings, new)
        if not found.paths:
            return await persist()
        about = {"live": found.live, "restart": found.restart}
        if by != FILES:
            await self.audit.record(Action.CONFIG_CHANGED, by, "", Outcome.ASKED, **about)
        try:
            fingerprint = await persist()
        except BaseException:
            self.audit.attempt(Action.CONFIG_CHANGED, by, "", Outcome.FAILED, **about)
            raise
        self.audit.attempt(Action.CONFIG_CHANGED, by, fingerprint, Outcome.OK, **about)
        return fingerprint

    async def _prepared(self, part: LivePart, new: Settings) -> Prepared | None:
        try:
            return await within(Deferred.fromCoroutine(part.prepare(self.settings, new)), PREPARE_SECONDS, self.clock)
        except Expired:
            raise NotApplied({part.name: f"was not ready within {PREPARE_SECONDS:.0f} s"}) from None
        except (CancelledError, GatewayError):
            raise
        except Exception as problem:
            _log.failure("{part} broke its port", part=part.name)
            raise NotApplied({part.name: f"internal error ({type(problem).__name__})"}) from problem

    def _persist(self, edit: Edit) -> Deferred[str]:
        writing = self.store.write(edit)
        return writing.addErrback(_unwritable)

    def _retire(self, name: str, made: Prepared) -> None:
        while len(self._retiring) >= _MOST_RETIRING:
            self._retiring.pop(0).cancel()  # closes at once
        retiring: Deferred[None] = Deferred.fromCoroutine(_quietly(name, made.retire()))
        if not retiring.called:
            self._retiring.append(retiring)
        retiring.addBoth(self._retired, retiring)

    def _retired(self, _: object, retiring: Deferred[None]) -> None:
        if retiring in self._retiring:
            self._retiring.remove(retiring)

    def _told(self, found: Changes, how: str) -> Changes:
        if found.paths:
            self.events.publish("config_changed", {"live": list(found.live), "restart": list(found.restart)})
            _log.info("configuration {how}: {live}; at the next start: {restart}", how=how, live=found.live, restart=found.restart)
        return found


def _with_model_of(settings: Settings, other: Settings) -> Settings:
    """`settings` with the other's provider, model, key and address."""
    return msgspec.structs.replace(
        settings, default_provider=other.default_provider, default_model=other.default_model, api_key=other.api_key, api_url=other.api_url
    )


def _unheard(failure: Failure) -> None:
    """Whoever asked has gone."""
    _log.warn("a change of the configuration was not made: {problem}", problem=failure.getErrorMessage())


def _unwritable(failure: Failure) -> NoReturn:
    """A disk that refuses is no refusal of the caller."""
    problem = failure.value
    if isinstance(problem, OSError):
        raise Unavailable("the configuration cannot be written", detail=str(problem)) from problem
    failure.raiseException()


def _committed(name: str, made: Prepared) -> None:
    try:
        made.commit()
    except Exception:
        _log.failure("{part} broke its port: a commit must not fail", part=name)


async def _quietly(name: str, work: Awaitable[None]) -> None:
    try:
        await work
    except CancelledError:
        raise
    except Exception:
        _log.failure("{part} did not close cleanly", part=name)
