"""Shell jobs with real processes: no shell, a small environment, and the end of the whole group. Source: rantaiclaw.md §12; ports/processes.py."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred

from clawgate.ports.processes import Finished
from clawgate.system.clock import SystemClock
from clawgate.system.processes import NoProcesses, SystemProcesses
from clawgate.testing.clock import ManualClock
from tests.acceptance.waits import is_alive, until, within

pytestmark = pytest.mark.acceptance

SPAWNS = """
import subprocess, signal, sys, time
if "stubborn" in sys.argv: signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"])
open("pids", "w").write(str(child.pid))
print("began", flush=True)
if "leaves" not in sys.argv: time.sleep(300)
"""


def run(workspace: Path, *argv: str, timeout_seconds: float = 20.0, output_bytes: int = 10_000) -> Deferred[Finished]:
    processes = SystemProcesses(reactor, SystemClock(reactor), str(workspace))
    return within(processes.run(argv, timeout_seconds=timeout_seconds, output_bytes=output_bytes))


@ensureDeferred
async def test_program_runs_in_the_workspace_with_a_small_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    script = "import os, sys; print(os.getcwd(), sorted(os.environ), sys.argv[1:], os.getpid() == os.getpgrp() == os.getsid(0), sys.stdin.read())"
    end = await run(tmp_path / "new", sys.executable, "-c", script, "a b", "*", "$HOME")
    assert end == Finished(0, f"{tmp_path / 'new'} ['HOME', 'LANG', 'PATH'] ['a b', '*', '$HOME'] True ")


@ensureDeferred
async def test_both_streams_and_the_exit_code_are_told(tmp_path: Path) -> None:
    end = await run(tmp_path, sys.executable, "-c", "import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(3)")
    assert (end.exit_code, sorted(end.output.split())) == (3, ["err", "out"])


@ensureDeferred
async def test_program_that_does_not_exist_says_so(tmp_path: Path) -> None:
    end = await run(tmp_path, "no-such-program-anywhere")
    assert (end.exit_code, end.timed_out) == (127, False)
    assert "no-such-program-anywhere" in end.output


@ensureDeferred
async def test_output_is_bounded_and_the_program_is_not_held_up(tmp_path: Path) -> None:
    end = await run(tmp_path, sys.executable, "-c", "print('x' * 5_000_000)", output_bytes=1_000)
    assert end == Finished(0, "x" * 1_000, is_cut=True)


@pytest.mark.parametrize("how", ["polite", "stubborn"])
@ensureDeferred
async def test_whole_group_is_gone_when_the_time_is_over(tmp_path: Path, how: str) -> None:
    end = await run(tmp_path, sys.executable, "-c", SPAWNS, how, timeout_seconds=1.5)
    assert (end.timed_out, end.exit_code) == (True, None)
    assert end.output == "began"
    await until(lambda: not is_alive(int((tmp_path / "pids").read_text())))


@ensureDeferred
async def test_what_a_program_leaves_behind_is_ended_with_it(tmp_path: Path) -> None:
    end = await run(tmp_path, sys.executable, "-c", SPAWNS, "leaves")
    assert (end.exit_code, end.output) == (0, "began")
    await until(lambda: not is_alive(int((tmp_path / "pids").read_text())))


@ensureDeferred
async def test_cancelling_ends_the_group(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    running = run(tmp_path, sys.executable, "-c", SPAWNS)
    await until(lambda: pids.exists() and pids.read_text() != "")
    running.cancel()
    with pytest.raises(CancelledError):
        await running
    await until(lambda: not is_alive(int(pids.read_text())))


@ensureDeferred
async def test_stopping_waits_until_stubborn_programs_are_gone(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    processes = SystemProcesses(reactor, SystemClock(reactor), str(tmp_path))
    running = processes.run([sys.executable, "-c", SPAWNS, "stubborn"], timeout_seconds=100, output_bytes=10)
    await until(lambda: pids.exists() and pids.read_text() != "")
    running.addErrback(lambda failure: failure.trap(CancelledError) and None)
    running.cancel()
    await within(processes.stop())
    await until(lambda: not is_alive(int(pids.read_text())))


@ensureDeferred
async def test_workspace_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    end = await run(tmp_path / "file", "ls")
    assert end.exit_code == 126
    assert "cannot be started" in end.output


@ensureDeferred
async def test_gateway_without_a_reactor_runs_nothing() -> None:
    end = await NoProcesses().run(["ls"], timeout_seconds=1, output_bytes=1)
    assert end.exit_code == 126


def test_path_of_the_child_has_no_relative_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, str]] = []

    class Reactor:
        def spawnProcess(self, *args: object, env: dict[str, str], path: str) -> None:
            seen.append(env)

    monkeypatch.setenv("PATH", f"/usr/bin{os.pathsep}.{os.pathsep}bin{os.pathsep}{os.pathsep}/bin")
    running = SystemProcesses(Reactor(), ManualClock(), "/", "/home/x").run(["ls"], timeout_seconds=1, output_bytes=1)
    assert not running.called
    assert seen == [{"PATH": "/usr/bin:/bin", "HOME": "/home/x", "LANG": "C.UTF-8"}]
