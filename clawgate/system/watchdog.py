"""Noticing that the daemon hangs, and other care for the process. Ring: system (edge). Source: design §7.

The reactor beats; a daemon thread looks at the time of the last beat. A late beat becomes a gauge; a missing one becomes one log line with the main
thread's stack, while the stall lasts, because afterwards the stack is gone.
"""

from __future__ import annotations

import faulthandler
import gc
import io
import os
import resource
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import ILogObserver, Logger, LogLevel
from zope.interface import implementer

from clawgate.ports.clock import Clock
from clawgate.ports.events import Meter

_log = Logger()
BEAT_SECONDS = 0.5
STALL_SECONDS = 1.0
STACK_FRAMES = 30
_UNHANDLED = "Unhandled error in Deferred"


class StallWatchdog:
    """Measures how late the reactor's timers fire and reports a reactor that does not come back.

    Call `start` and `stop` in the reactor's thread. `look` is what the thread does every half second; a test may call it itself.
    """

    def __init__(
        self,
        clock: Clock,
        meter: Meter,
        *,
        stall_seconds: float = STALL_SECONDS,
        frames: Callable[[], Mapping[int, FrameType]] = sys._current_frames,
        threaded: bool = True,
    ) -> None:
        """
        Args:
            stall_seconds: a beat overdue by this much is a stall.
            frames: stacks by thread id.
            threaded: whether `start` starts the thread.
        """
        self._clock, self._meter, self._stall, self._frames, self._threaded = clock, meter, stall_seconds, frames, threaded
        self._due = 0.0
        self._reported = False
        self._main = threading.main_thread().ident or 0
        self._timer: IDelayedCall | None = None
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins to beat and to look."""
        if self._timer is not None:
            return
        self._main = threading.get_ident()
        self._ended.clear()
        self._arm()
        if self._threaded:
            self._thread = threading.Thread(target=self._run, name="clawgate-stall-watchdog", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Ends both; the thread is gone when this returns."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=2 * BEAT_SECONDS)
            self._thread = None

    def look(self, now: float) -> bool:
        """Reports a stall, once; returns whether it did.

        Args:
            now: monotonic seconds.
        """
        overdue = now - self._due
        if self._reported or overdue < self._stall:
            return False
        self._reported = True
        _log.warn("the reactor has stood still for {seconds:.1f} s in: {stack}", seconds=overdue, stack=Stack(self._frames().get(self._main)))
        return True

    def _run(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            self.look(self._clock.monotonic())

    def _beat(self) -> None:
        self._meter.gauge("reactor_lag_seconds", max(0.0, self._clock.monotonic() - self._due))
        self._arm()

    def _arm(self) -> None:
        self._due = self._clock.monotonic() + BEAT_SECONDS
        self._reported = False
        self._timer = self._clock.call_later(BEAT_SECONDS, self._beat)


class Stack:
    """A stack as one line, innermost call first; no source lines and no values, so no secrets."""

    def __init__(self, frame: FrameType | None) -> None:
        summary = traceback.StackSummary.extract(traceback.walk_stack(frame), limit=STACK_FRAMES, lookup_lines=False) if frame else []
        self._text = " < ".join(f"{entry.name} ({entry.filename}:{entry.lineno})" for entry in summary) or "unknown"

    def __str__(self) -> str:
        return self._text


def force_exit_after(seconds: float, code: int, exit_process: Callable[[int], object] = os._exit) -> Callable[[], None]:
    """Ends the process from a thread when a drain hangs; returns what calls it off.

    Args:
        seconds: how long the drain may take; the thread does not depend on the reactor.
        code: exit status.
        exit_process: `os._exit`: nothing that hangs gets another chance.
    """
    finished = threading.Event()

    def wait() -> None:
        if finished.wait(seconds):
            return
        try:
            faulthandler.dump_traceback(sys.__stderr__ or 2)
        except (OSError, ValueError, AttributeError, RuntimeError):
            pass
        exit_process(code)

    threading.Thread(target=wait, name="clawgate-force-exit", daemon=True).start()
    return finished.set


@implementer(ILogObserver)
class UnhandledErrors:
    """Counts Deferreds that failed with nobody listening, as `unhandled_errors_total`; add it to the log's observers."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def __call__(self, event: Mapping[str, Any]) -> None:  # Any: a log event holds whatever its writer put in
        """Counts the event if it is one."""
        if event.get("log_level") is LogLevel.critical and str(event.get("log_format") or "").startswith(_UNHANDLED):
            self._meter.count("unhandled_errors_total")


def enable_faulthandler() -> bool:
    """Prints stacks to the real stderr when the interpreter crashes; returns whether that is possible here."""
    try:
        faulthandler.enable(file=sys.__stderr__ or sys.stderr, all_threads=True)
    except (OSError, ValueError, AttributeError, RuntimeError, io.UnsupportedOperation):
        return False
    return True


def raise_nofile(limit: int = 65_536) -> int:
    """Raises the soft limit of open files towards `limit`, never lowering it; returns what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        return soft
    return wanted


def tune_gc() -> None:
    """Takes what start-up built out of the collector's sight and lets it run less often: halves the p99 (libraries.md §13)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
