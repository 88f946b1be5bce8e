"""MEMORY.md on disk. Source: rantaiclaw.md §10 (memory)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import execute

from clawgate.domain.errors import Conflict
from clawgate.domain.memory import markdown
from clawgate.domain.messages import MemoryEntry
from clawgate.system.atomic import mode_of
from clawgate.system.memoryfile import KEPT, MemoryMarkdown

TEXT = markdown([MemoryEntry(key="k", content="tea")])
EMPTY = markdown([])


def write(directory: Path, text: str, *, is_empty: bool = False) -> None:
    failures: list[Any] = []  # Any: a Failure
    MemoryMarkdown(str(directory), execute).write(text, is_empty).addErrback(failures.append)
    assert failures == []


def test_file_and_workspace_are_made_for_their_owner_alone(tmp_path: Path) -> None:
    write(tmp_path / "workspace", TEXT)
    assert (tmp_path / "workspace" / "MEMORY.md").read_text() == TEXT
    assert [mode_of(str(path)) for path in (tmp_path / "workspace", tmp_path / "workspace" / "MEMORY.md")] == [0o700, 0o600]


def test_nothing_remembered_makes_no_file_but_empties_one(tmp_path: Path) -> None:
    write(tmp_path / "workspace", EMPTY, is_empty=True)
    assert not (tmp_path / "workspace").exists()
    write(tmp_path, TEXT)
    write(tmp_path, EMPTY, is_empty=True)
    assert (tmp_path / "MEMORY.md").read_text() == EMPTY


def test_a_file_that_somebody_wrote_is_kept_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "MEMORY.md"
    path.write_text("my own notes")
    write(tmp_path, EMPTY, is_empty=True)
    assert path.read_text() == "my own notes"
    write(tmp_path, TEXT)
    assert (path.read_text(), (tmp_path / f"MEMORY.md{KEPT}").read_text()) == (TEXT, "my own notes")
    path.write_text("notes again")
    write(tmp_path, TEXT)
    assert (path.read_text(), (tmp_path / f"MEMORY.md{KEPT}").read_text()) == ("notes again", "my own notes")


def test_a_failure_leaves_the_old_file_and_nothing_half_written(tmp_path: Path) -> None:
    (tmp_path / "workspace").write_text("a file, not a directory")
    failures: list[Any] = []  # Any: a Failure
    MemoryMarkdown(str(tmp_path / "workspace"), execute).write(TEXT, False).addErrback(failures.append)
    assert failures[0].check(OSError)
    assert [path.name for path in tmp_path.iterdir()] == ["workspace"]


def test_a_pipe_in_its_place_is_a_failure_and_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "MEMORY.md")
    failures: list[Any] = []  # Any: a Failure
    MemoryMarkdown(str(tmp_path), execute).write(TEXT, False).addErrback(failures.append)
    assert failures[0].check(OSError)


@pytest.mark.parametrize("before", [None, TEXT])
def test_what_somebody_saves_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None) -> None:
    path, real_fsync, failures = tmp_path / "MEMORY.md", os.fsync, list[Any]()  # Any: a Failure
    if before is not None:
        path.write_text(before)

    def fsync(descriptor: int) -> None:
        path.write_text("my own notes")
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    MemoryMarkdown(str(tmp_path), execute).write(EMPTY, False).addErrback(failures.append)
    assert (path.read_text(), failures[0].check(Conflict)) == ("my own notes", Conflict)
