"""The traps of Twisted that the house rules answer (reference/codebases.md §5), each shown to be shut. T1 and T2 are tested with the router."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextvars import ContextVar
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from clawgate.system.clock import SystemClock
from clawgate.testing.case import TestCase as StrictCase
from clawgate.testing.clock import ManualClock

ROOT = Path(__file__).resolve().parent.parent
who: ContextVar[str] = ContextVar("who", default="nobody")


def test_t7_the_repo_root_does_not_hide_the_real_twisted() -> None:
    found = subprocess.run(
        [sys.executable, "-c", "import twisted; print(twisted.__file__)"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert Path(found.stdout.strip()).parent.parent != ROOT
    assert not [name for name in ("twisted/__init__.py", "twisted/plugins/__init__.py") if (ROOT / name).exists()]


def test_t8_trial_itself_lets_a_coroutine_test_pass_unrun() -> None:
    ran = []

    class Case(SynchronousTestCase):
        async def test_it(self) -> None:
            ran.append(1)

    case = Case("test_it")  # type: ignore[no-untyped-call] # trial is untyped
    result = case.defaultTestResult()
    with pytest.warns(RuntimeWarning, match="never awaited"):
        case.run(result)  # type: ignore[no-untyped-call] # trial is untyped
    assert (result.testsRun, result.wasSuccessful(), ran) == (1, True, [])


def test_t8_our_case_refuses_a_coroutine_test() -> None:
    with pytest.raises(TypeError, match="test_it is a coroutine"):

        class Case(StrictCase):
            async def test_it(self) -> None: ...


def test_t8_our_case_refuses_an_asynchronous_generator_test() -> None:
    with pytest.raises(TypeError, match="test_it is a coroutine"):

        class Case(StrictCase):
            async def test_it(self) -> AsyncIterator[int]:
                yield 1


def test_t8_our_case_takes_synchronous_tests_and_asynchronous_helpers() -> None:
    class Case(StrictCase):
        async def helper(self) -> int:
            return 7

        def test_it(self) -> None:
            assert self.successResultOf(Deferred.fromCoroutine(self.helper())) == 7

    case = Case("test_it")  # type: ignore[no-untyped-call] # trial is untyped
    result = case.defaultTestResult()
    case.run(result)  # type: ignore[no-untyped-call] # trial is untyped
    assert (result.testsRun, result.failures, result.errors) == (1, [], [])


def test_t11_twisteds_own_timer_forgets_the_context() -> None:
    reactor, seen = Clock(), []
    token = who.set("ann")
    reactor.callLater(1, lambda: seen.append(who.get()))
    who.reset(token)
    reactor.advance(1)
    assert seen == ["nobody"]


def test_t11_the_system_clock_keeps_the_context_of_each_caller() -> None:
    reactor, seen = Clock(), []
    clock = SystemClock(reactor)
    for name in ("ann", "bob"):
        token = who.set(name)
        clock.call_later(1, lambda: seen.append(who.get()))
        who.reset(token)
    reactor.advance(1)
    assert seen == ["ann", "bob"]


def test_t11_the_manual_clock_keeps_it_too() -> None:
    clock, seen = ManualClock(), []
    token = who.set("ann")
    clock.call_later(1, lambda: seen.append(who.get()))
    who.reset(token)
    clock.advance(1)
    assert seen == ["ann"]
