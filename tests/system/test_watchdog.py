"""A daemon that hangs is noticed, named and, while stopping, ended."""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import cast

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from clawgate.system.prometheus import PrometheusMeter
from clawgate.system.watchdog import (
    BEAT_SECONDS,
    StallWatchdog,
    UnhandledErrors,
    enable_faulthandler,
    force_exit_after,
    raise_nofile,
    tune_gc,
)
from clawgate.testing.clock import ManualClock


@pytest.fixture
def events() -> Iterator[list[LogEvent]]:
    seen: list[LogEvent] = []
    globalLogPublisher.addObserver(cast(ILogObserver, seen.append))
    yield seen
    globalLogPublisher.removeObserver(cast(ILogObserver, seen.append))


def watchdog(clock: ManualClock, meter: PrometheusMeter | None = None, *, threaded: bool = False) -> StallWatchdog:
    return StallWatchdog(clock, meter or PrometheusMeter("c"), stall_seconds=1.0, threaded=threaded)


def lag(meter: PrometheusMeter) -> float:
    (line,) = [line for line in meter.exposition().decode().splitlines() if line.startswith("c_reactor_lag_seconds ")]
    return float(line.split()[1])


def test_a_punctual_reactor_has_no_lag_and_no_stall(events: list[LogEvent]) -> None:
    clock, meter = ManualClock(), PrometheusMeter("c")
    dog = watchdog(clock, meter)
    dog.start()
    clock.advance(10)
    assert (lag(meter), dog.look(clock.monotonic()), events) == (0.0, False, [])
    dog.stop()


def test_a_late_beat_is_measured() -> None:
    clock, meter = ManualClock(), PrometheusMeter("c")
    dog = watchdog(clock, meter)
    dog.start()
    clock.reactor.advance(BEAT_SECONDS + 0.75)
    assert lag(meter) == pytest.approx(0.75)
    dog.stop()


def test_a_stall_is_reported_once_with_the_stack_while_it_lasts(events: list[LogEvent]) -> None:
    clock = ManualClock()
    dog = watchdog(clock)
    dog.start()
    assert [dog.look(BEAT_SECONDS + late) for late in (0.9, 1.0, 5.0)] == [False, True, False]
    assert len(events) == 1
    text = formatEvent(events[0])
    assert events[0]["log_level"] is LogLevel.warn
    assert text.startswith("the reactor has stood still for 1.0 s in: ")
    assert "test_a_stall_is_reported_once_with_the_stack_while_it_lasts" in text
    assert "\n" not in text
    dog.stop()


def test_the_next_stall_is_reported_again(events: list[LogEvent]) -> None:
    clock = ManualClock()
    dog = watchdog(clock)
    dog.start()
    assert dog.look(clock.monotonic() + 5)
    clock.advance(BEAT_SECONDS)
    assert dog.look(clock.monotonic() + 5)
    assert len(events) == 2
    dog.stop()


def test_a_stack_that_is_gone_is_unknown(events: list[LogEvent]) -> None:
    clock = ManualClock()
    dog = StallWatchdog(clock, PrometheusMeter("c"), frames=dict, threaded=False)
    dog.start()
    dog.look(100)
    assert formatEvent(events[0]).endswith("in: unknown")
    dog.stop()


def test_after_stop_neither_timer_nor_thread_is_left() -> None:
    clock = ManualClock()
    dog = watchdog(clock, threaded=True)
    dog.start()
    dog.start()
    running = [thread.name for thread in threading.enumerate()].count("clawgate-stall-watchdog")
    dog.stop()
    dog.stop()
    assert (running, [thread.name for thread in threading.enumerate()].count("clawgate-stall-watchdog"), clock.pending) == (1, 0, 0)


def exits(seconds: float, use: Callable[[Callable[[], None]], object]) -> list[int]:
    """Exit codes that the killer asked for, once its thread is gone."""
    codes: list[int] = []
    cancel = force_exit_after(seconds, 7, codes.append)
    use(cancel)
    for thread in threading.enumerate():
        if thread.name == "clawgate-force-exit":
            thread.join(timeout=30)
    return codes


def test_a_drain_that_hangs_is_ended() -> None:
    assert exits(0, lambda _: None) == [7]


def test_a_drain_that_ends_in_time_is_not() -> None:
    assert exits(600, lambda cancel: cancel()) == []


def test_the_real_exit_ends_a_process_whose_main_thread_hangs() -> None:
    code = "import threading; from clawgate.system.watchdog import force_exit_after as f; f(0.05, 7); threading.Event().wait()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert result.returncode == 7
    assert b"most recent call first" in result.stderr


def test_a_deferred_that_fails_with_nobody_listening_is_counted(events: list[LogEvent]) -> None:
    meter = PrometheusMeter("c")
    observer = UnhandledErrors(meter)
    gc.freeze()  # what earlier tests left lying is not to turn up now
    globalLogPublisher.addObserver(observer)
    try:
        lost: Deferred[None] | None = Deferred()
        assert lost is not None
        lost.errback(Failure(RuntimeError("lost")))
        lost = None
        gc.collect()
    finally:
        globalLogPublisher.removeObserver(observer)
        gc.unfreeze()
    assert b"c_unhandled_errors_total 1.0\n" in meter.exposition()
    assert len(events) == 2


@pytest.mark.parametrize(
    "event",
    [{}, {"log_level": LogLevel.critical}, {"log_level": LogLevel.critical, "log_format": "Other"}, {"log_format": "Unhandled error in Deferred:"}],
)
def test_other_events_are_not_counted(event: LogEvent) -> None:
    meter = PrometheusMeter("c")
    UnhandledErrors(meter)(event)
    assert b"c_unhandled_errors_total 0.0\n" in meter.exposition()


def test_the_file_limit_is_raised_and_never_lowered() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
        assert raise_nofile(300) == 300 == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        assert raise_nofile(10) == 300 == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_hard_limit_is_respected() -> None:
    code = (
        "import resource as r; from clawgate.system.watchdog import raise_nofile; r.setrlimit(r.RLIMIT_NOFILE, (100, 200)); print(raise_nofile(5000))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert result.stdout == b"200\n"


def test_the_collector_is_tuned() -> None:
    before = gc.get_threshold()
    try:
        tune_gc()
        assert gc.get_threshold() == (20_000, 50, 100)
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


def test_the_fault_handler_can_be_had_or_says_no() -> None:
    code = "import faulthandler, os; from clawgate.system.watchdog import enable_faulthandler as e; print(e(), faulthandler.is_enabled())"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True, env=dict(os.environ))
    assert result.stdout == b"True True\n"


def test_without_a_real_stderr_there_is_no_fault_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "__stderr__", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert enable_faulthandler() is False
