"""Changes of files are noticed, whichever way they are made, and once they hold still."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from clawgate.system.watch import FileWatch
from clawgate.testing.clock import ManualClock


def rewrite(path: Path) -> None:
    path.write_text("much longer than before")


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def replace(path: Path) -> None:
    other = path.with_name("new")
    other.write_text("four")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.rename(path)


def remove(path: Path) -> None:
    path.unlink()


class Scene:
    def __init__(self, *paths: Path) -> None:
        self.clock = ManualClock()
        self.seen: list[tuple[str, ...]] = []
        self.watch = FileWatch(self.clock, paths, self.changed)
        self.watch.start()

    def changed(self, paths: tuple[str, ...]) -> None:
        self.seen.append(tuple(Path(path).name for path in paths))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").write_text("four")
    return tmp_path / "config.toml"


def test_nothing_changed_nothing_said(path: Path) -> None:
    scene = Scene(path)
    scene.clock.advance(60)
    assert scene.seen == []


@pytest.mark.parametrize("change", [rewrite, touch, replace, remove])
def test_a_change_is_reported_once_within_two_and_a_half_seconds(path: Path, change: Callable[[Path], None]) -> None:
    scene = Scene(path)
    change(path)
    scene.clock.advance(2.5)
    assert scene.seen == [("config.toml",)]
    scene.clock.advance(60)
    assert len(scene.seen) == 1


def test_a_file_that_appears_is_a_change(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "later")
    scene.clock.advance(10)
    (tmp_path / "later").write_text("x")
    scene.clock.advance(2.5)
    assert scene.seen == [("later",)]


def test_a_configmap_swap_is_a_change(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.toml").write_text("same")
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "config.toml").symlink_to("..data/config.toml")
    scene = Scene(tmp_path / "config.toml")
    (tmp_path / "..tmp").symlink_to("two")
    (tmp_path / "..tmp").rename(tmp_path / "..data")
    scene.clock.advance(2.5)
    assert scene.seen == [("config.toml",)]


def test_only_what_changed_is_named_and_together(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_text("x")
    scene = Scene(*paths)
    rewrite(paths[0])
    rewrite(paths[2])
    scene.clock.advance(2.5)
    assert scene.seen == [("a", "c")]


def test_a_file_still_being_written_is_left_alone_until_it_holds_still(path: Path) -> None:
    scene = Scene(path)
    scene.clock.advance(1.9)
    for number in range(5):
        path.write_text("x" * (number + 10))
        scene.clock.advance(0.25)
    assert scene.seen == []
    scene.clock.advance(0.25)
    assert len(scene.seen) == 1


def test_a_file_that_never_holds_still_is_reported_all_the_same(path: Path) -> None:
    scene = Scene(path)
    for number in range(24):
        path.write_text("x" * (number + 10))
        scene.clock.advance(0.25)
    assert len(scene.seen) == 1


def test_a_change_taken_back_in_time_is_none(path: Path) -> None:
    scene = Scene(path)
    before = path.stat()
    scene.clock.advance(1.9)
    touch(path)
    scene.clock.advance(0.2)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    scene.clock.advance(10)
    assert scene.seen == []


def test_the_daemons_own_writes_can_be_acknowledged(path: Path) -> None:
    scene = Scene(path)
    rewrite(path)
    scene.watch.acknowledge()
    scene.clock.advance(10)
    assert scene.seen == []


def test_a_failing_listener_is_logged_and_the_watch_goes_on(path: Path) -> None:
    events: list[LogEvent] = []
    clock, calls = ManualClock(), []

    def fail(paths: tuple[str, ...]) -> None:
        calls.append(paths)
        raise RuntimeError("no")

    FileWatch(clock, [path], fail).start()
    globalLogPublisher.addObserver(cast(ILogObserver, events.append))
    try:
        rewrite(path)
        clock.advance(3)
        touch(path)
        clock.advance(3)
    finally:
        globalLogPublisher.removeObserver(cast(ILogObserver, events.append))
    assert (len(calls), len(events)) == (2, 2)


def test_after_stop_no_timer_is_left_and_nothing_is_reported(path: Path) -> None:
    scene = Scene(path)
    scene.watch.start()
    assert scene.clock.pending == 1
    scene.watch.stop()
    scene.watch.stop()
    rewrite(path)
    scene.clock.advance(10)
    assert (scene.clock.pending, scene.seen) == (0, [])


def test_a_listener_may_stop_the_watch(path: Path) -> None:
    clock, calls = ManualClock(), []

    def once(paths: tuple[str, ...]) -> None:
        calls.append(paths)
        watch.stop()

    watch = FileWatch(clock, [path], once)
    watch.start()
    rewrite(path)
    clock.advance(3)
    touch(path)
    clock.advance(10)
    assert (len(calls), clock.pending) == (1, 0)


def test_paths_that_cannot_be_are_missing_files() -> None:
    scene = Scene(Path("/nowhere/x"), Path("a\0b"))
    scene.clock.advance(10)
    assert scene.seen == []
