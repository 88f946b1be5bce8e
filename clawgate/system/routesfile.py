"""webhook-routes.json beside the config: `[{"path": …, "skill": …, "message": …}]`. Ring: system edge. Implements `ports.triggers.RoutesFile`.

Source: rantaiclaw.md §8.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec
from twisted.internet.defer import Deferred, succeed

from clawgate.domain.errors import Invalid
from clawgate.domain.messages import is_storable
from clawgate.domain.triggers import TriggerRoute, normalised
from clawgate.ports.clock import Clock
from clawgate.ports.threads import InThread
from clawgate.system.regular import open_regular
from clawgate.system.watch import FileWatch

NAME = "webhook-routes.json"
MAX_BYTES = 1_048_576
MOST_ROUTES = 1_000
_REMEDY = 'Write a JSON array of objects with "path", "skill" and "message"'


class JsonRoutes:
    """The file, read in another thread and watched.

    Args:
        path: the file, existing or not.
    """

    def __init__(self, path: str, clock: Clock, run: InThread) -> None:
        self._path, self._clock, self._run = path, clock, run
        self._watch: FileWatch | None = None

    def read(self) -> Deferred[tuple[TriggerRoute, ...] | None]:
        """`ports.triggers.RoutesFile.read`."""
        return self._run(partial(read_routes, self._path))

    def watch(self, changed: Callable[[], object]) -> None:
        """`ports.triggers.RoutesFile.watch`."""
        self._watch = FileWatch(self._clock, [self._path], lambda _: changed())
        self._watch.start()

    def stop(self) -> None:
        """`ports.triggers.RoutesFile.stop`."""
        if self._watch is not None:
            self._watch.stop()


class NoRoutes:
    """No file, no routes."""

    def read(self) -> Deferred[tuple[TriggerRoute, ...] | None]:
        """None."""
        return succeed(None)

    def watch(self, changed: Callable[[], object]) -> None:
        """Nothing ever changes."""

    def stop(self) -> None:
        """Nothing to stop."""


def read_routes(path: str) -> tuple[TriggerRoute, ...] | None:
    """The routes of a file; None when there is none. Raises Invalid."""
    try:
        raw = _read(path)
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise Invalid(path, problem.strerror or str(problem), "Let the daemon's user read it") from problem
    if len(raw) > MAX_BYTES:
        raise Invalid(path, f"is larger than {MAX_BYTES} bytes", "Remove routes")
    return parse_routes(path, raw)


def parse_routes(path: str, raw: bytes) -> tuple[TriggerRoute, ...]:
    """The routes of the file's bytes: all of them or none. Raises Invalid."""
    try:
        routes = msgspec.json.decode(raw, type=tuple[TriggerRoute, ...])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise Invalid(path, str(problem), _REMEDY) from None
    if len(routes) > MOST_ROUTES:
        raise Invalid(path, f"holds more than {MOST_ROUTES} routes", "Remove routes")
    if any(not is_storable(text) for route in routes for text in (route.path, route.skill, route.message)):
        raise Invalid(path, "holds text that is not valid Unicode", _REMEDY)
    unnamed = next((number for number, route in enumerate(routes, 1) if not normalised(route.path)), None)
    if unnamed is not None:
        raise Invalid(path, f"route {unnamed} has no path", _REMEDY)
    return routes


def _read(path: str) -> bytes:
    """At most one byte more than the cap. What is no regular file (a pipe would hang) is an OSError."""
    file = open_regular(path)
    if file is None:
        raise OSError("is no regular file")
    with file:
        return file.read(MAX_BYTES + 1)
