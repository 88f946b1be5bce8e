"""A disk that is full: 503, never a 2xx that is not true, and service again when there is room (design §6, §7)."""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.daemon import Answer, Daemon, settings, until

pytestmark = pytest.mark.acceptance
NO_WATERMARK = settings(more="[store]\nmin_free_bytes = 0")
_LIBC = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    if _LIBC.mount(b"tmpfs", os.fsencode(place), b"tmpfs", 0, b"size=2m") != 0:
        pytest.skip("only root may mount")
    yield place
    _LIBC.umount2(os.fsencode(place), 2)


def flooded(daemon: Daemon) -> list[Answer]:
    """Sends until the store refuses; every answer until then."""
    answers: list[Answer] = []
    for _ in range(2000):
        answers.append(daemon.tell("x" * 30_000))
        if answers[-1].status != 202:
            return answers
    raise AssertionError("the disk is never full")


def is_true(daemon: Daemon, answers: list[Answer]) -> bool:
    """Whether everything that was acknowledged is there."""
    return all(daemon.call("GET", f"/api/inbox/{answer.json['id']}").status == 200 for answer in answers if answer.status == 202)


def store_of(daemon: Daemon) -> object:
    """What health says of the store: how its last write ended, which may have been a small one that still found room."""
    return daemon.call("GET", "/health").json["runtime"]["components"].get("store", {}).get("status")


def test_a_full_disk_refuses_and_room_ends_that(tmp_path: Path, small_disk: Path) -> None:
    daemon = Daemon(tmp_path / "home", NO_WATERMARK, env={"CLAWGATE_STATE_DIR": str(small_disk / "state")})
    daemon.state = small_disk / "state"
    try:
        daemon.start().pair()
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"x" * 600_000)
        answers = flooded(daemon)
        assert (answers[-1].status, "retry-after" in answers[-1].headers) == (503, True)
        # A checkpoint may still have made a little room.
        until(lambda: daemon.call("POST", "/webhook", {"message": "x" * 30_000}).status == 503, "whoever waits is refused too")
        until(lambda: daemon.tell("x" * 30_000).status == 503 and store_of(daemon) == "error", "health says so")
        assert is_true(daemon, answers)
        ballast.unlink()
        until(lambda: daemon.tell("hello").status == 202, "it accepts again")
        until(lambda: not daemon.call("GET", "/api/inbox?state=received,running,waiting").json["items"], "nothing is stuck")
        daemon.kill()
        daemon.start()
        assert is_true(daemon, answers)
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.printed + daemon.errors
    finally:
        daemon.close()


def test_below_the_watermark_it_refuses_before_the_disk_is_full(tmp_path: Path, small_disk: Path) -> None:
    daemon = Daemon(tmp_path / "home", settings(more="[store]\nmin_free_bytes = 400000"), env={"CLAWGATE_STATE_DIR": str(small_disk / "state")})
    daemon.state = small_disk / "state"
    try:
        daemon.start().pair()
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"x" * 1_500_000)
        until(lambda: daemon.tell("hello").status == 503, "it refuses")
        assert daemon.call("GET", "/health").status == 200
        ballast.unlink()
        until(lambda: daemon.tell("hello").status == 202, "it accepts again")
    finally:
        daemon.close()


def test_a_file_that_may_not_grow_refuses_and_loses_nothing(tmp_path: Path) -> None:
    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (900_000, 900_000))

    daemon = Daemon(tmp_path, NO_WATERMARK)
    try:
        daemon.start(preexec_fn=limited).pair()
        answers = flooded(daemon)
        assert answers[-1].status == 503
        assert is_true(daemon, answers)
        daemon.kill()
        daemon.start()
        assert is_true(daemon, answers)
        assert daemon.tell("hello").status == 202
        until(lambda: not daemon.call("GET", "/api/inbox?state=received,running,waiting").json["items"], "everything has its outcome")
    finally:
        daemon.close()
