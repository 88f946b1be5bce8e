"""What is opened for reading is a file, whatever stands in its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clawgate.system.regular import open_regular


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_file_is_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"said")
    file = open_regular(str(tmp_path / "file"))
    assert file is not None
    with file:
        assert file.read() == b"said"


def test_pipe_is_no_file_and_holds_up_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = descriptors()
    assert open_regular(str(tmp_path / "pipe")) is None
    assert descriptors() == before


def test_directory_is_an_error_and_leaves_nothing_open(tmp_path: Path) -> None:
    before = descriptors()
    with pytest.raises(IsADirectoryError) as raised:
        open_regular(str(tmp_path))
    assert raised.value.strerror == "Is a directory"
    assert descriptors() == before


def test_link_is_followed_unless_it_must_not_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"said")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    file = open_regular(str(tmp_path / "link"))
    assert file is not None
    file.close()
    with pytest.raises(OSError, match="symbolic links"):
        open_regular(str(tmp_path / "link"), is_followed=False)
