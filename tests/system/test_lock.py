"""One daemon per state directory."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from clawgate.domain.errors import Invalid
from clawgate.system.lock import StateLock


def test_the_holder_writes_its_pid(tmp_path: Path) -> None:
    lock = StateLock(tmp_path)
    lock.acquire()
    assert lock.is_held
    assert (tmp_path / "clawgate.lock").read_text() == f"{os.getpid()}\n"
    lock.release()


def test_a_second_daemon_is_refused_with_pid_directory_and_remedy(tmp_path: Path) -> None:
    first, second = StateLock(tmp_path), StateLock(tmp_path)
    first.acquire()
    with pytest.raises(Invalid) as refused:
        second.acquire()
    assert refused.value.path == str(tmp_path)
    assert f"pid {os.getpid()}" in refused.value.problem
    assert refused.value.remedy == f"Stop process {os.getpid()}, or give this one a state directory of its own"
    assert not second.is_held
    first.release()


def test_a_released_lock_can_be_taken_and_the_file_stays(tmp_path: Path) -> None:
    first, second = StateLock(tmp_path), StateLock(tmp_path)
    first.acquire()
    first.release()
    second.acquire()
    assert (first.is_held, second.is_held, second.path.exists()) == (False, True, True)
    second.release()


def test_a_stale_file_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "clawgate.lock").write_text("99999999999999\nlong leftover\n")
    lock = StateLock(tmp_path)
    lock.acquire()
    assert lock.path.read_text() == f"{os.getpid()}\n"
    lock.release()


def test_taking_and_releasing_twice_is_fine(tmp_path: Path) -> None:
    lock = StateLock(tmp_path)
    lock.acquire()
    lock.acquire()
    lock.release()
    lock.release()
    assert not lock.is_held


def test_the_directory_is_made_for_its_owner_only(tmp_path: Path) -> None:
    lock = StateLock(tmp_path / "a" / "state")
    lock.acquire()
    assert stat.S_IMODE((tmp_path / "a" / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE(lock.path.stat().st_mode) == 0o600
    lock.release()


@pytest.mark.parametrize("obstacle", ["file", "symlink"])
def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path, obstacle: str) -> None:
    if obstacle == "file":
        (tmp_path / "state").write_text("")
    else:
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "clawgate.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Invalid, match="Make the state directory writable"):
        StateLock(tmp_path / "state").acquire()
    assert not (tmp_path / "elsewhere").exists()


def test_the_lock_of_a_dead_process_is_free_and_of_a_living_one_is_not(tmp_path: Path) -> None:
    code = "import sys; from clawgate.system.lock import StateLock; StateLock(sys.argv[1]).acquire(); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(Invalid, match=f"pid {child.pid}"):
            StateLock(tmp_path).acquire()
        child.kill()
        child.wait(timeout=30)
    lock = StateLock(tmp_path)
    lock.acquire()
    assert lock.is_held
    lock.release()
