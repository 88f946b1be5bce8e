"""Noticing that files changed. Ring: system (edge). Source: design §3 (config: a 2 s stat poll).

Polling survives what inotify does not: editors that rename, ConfigMap symlink swaps, network file systems, files that do not exist yet. A change is
reported once the file has held still for `settle_seconds`, so that nobody reads half a file; one that never holds still is reported all the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from clawgate.ports.clock import Clock

_log = Logger()
_Signature = tuple[int, int, int] | None
_MAX_UNSETTLED = 10


class FileWatch:
    """Watches a few files by `stat`, through symlinks."""

    def __init__(
        self,
        clock: Clock,
        paths: Iterable[str | Path],
        on_change: Callable[[tuple[str, ...]], object],
        *,
        interval_seconds: float = 2.0,
        settle_seconds: float = 0.25,
    ) -> None:
        """
        Args:
            paths: files, existing or not.
            on_change: called with the paths that changed, appeared or vanished; what it raises is logged and the watch goes on.
            interval_seconds: between two looks.
            settle_seconds: how long a file must hold still.
        """
        self._clock, self._on_change, self._interval, self._settle = clock, on_change, interval_seconds, settle_seconds
        self._paths = tuple(str(path) for path in paths)
        self._known: dict[str, _Signature] = {}
        self._seen: dict[str, _Signature] = {}
        self._unsettled = 0
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        """Takes the files as they are now for known and begins to look; once is enough."""
        if self._timer is None:
            self.acknowledge()
            self._timer = self._clock.call_later(self._interval, self._look)

    def stop(self) -> None:
        """Looks no more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def acknowledge(self) -> None:
        """The files as they are now are known: for a daemon that has just written one itself."""
        self._known = self._seen = self._signatures()
        self._unsettled = 0

    def _look(self) -> None:
        seen, before = self._signatures(), self._seen
        self._seen = seen
        is_new, is_moving = seen != self._known, seen != before and self._unsettled < _MAX_UNSETTLED
        self._unsettled = self._unsettled + 1 if is_new and is_moving else 0
        # Armed before the report: a listener may stop the watch.
        self._timer = self._clock.call_later(self._settle if is_new and is_moving else self._interval, self._look)
        if is_new and not is_moving:
            self._report(seen)

    def _report(self, seen: dict[str, _Signature]) -> None:
        changed = tuple(path for path in self._paths if seen[path] != self._known[path])
        self._known = seen
        try:
            self._on_change(changed)
        except Exception:
            _log.failure("could not act on the change of {paths}", paths=", ".join(changed))

    def _signatures(self) -> dict[str, _Signature]:
        return {path: _signature(path) for path in self._paths}


def _signature(path: str) -> _Signature:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
