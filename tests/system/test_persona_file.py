"""persona.toml and SYSTEM.md on disk. Source: rantaiclaw.md §10 (Personality)."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest
from twisted.internet.defer import execute

from clawgate.domain.errors import Conflict
from clawgate.domain.personality import Change, Personality, changed, system_text
from clawgate.system.personafile import PersonaFiles
from tests.system.results import result

ANN = Personality(preset="concise_pro", name='Ann "the" \\', role="line\none", tone="dry", avoid="x", always_on_kbs=("a", "b"))


def _given(personality: Personality, before: Personality | None) -> Personality:
    return personality


def test_no_file_is_no_personality(tmp_path: Path) -> None:
    assert result(PersonaFiles(str(tmp_path / "none"), execute).read()) is None


def test_what_is_written_is_read_back_and_told_in_system_md(tmp_path: Path) -> None:
    files = PersonaFiles(str(tmp_path / "new"), execute)
    for personality in (ANN, Personality(), ANN):
        result(files.change(partial(_given, personality)))
        assert result(files.read()) == personality
        assert result(PersonaFiles(str(tmp_path / "new"), execute).read()) == personality
        assert (tmp_path / "new" / "SYSTEM.md").read_text() == system_text(personality) + "\n"
    assert sorted(os.listdir(tmp_path / "new")) == ["SYSTEM.md", "persona.toml"]


def test_comments_and_other_keys_stay(tmp_path: Path) -> None:
    path = tmp_path / "persona.toml"
    path.write_text('# mine\nname = "Bob" # who\navoid = "x"\n\n[voice]\npitch = 2\n')
    result(PersonaFiles(str(tmp_path), execute).change(lambda _: Personality(name="Ann", timezone="Asia/Jakarta")))
    text = path.read_text()
    assert ("# mine" in text, "pitch = 2" in text, "avoid" in text) == (True, True, False)
    assert result(PersonaFiles(str(tmp_path), execute).read()) == Personality(name="Ann", timezone="Asia/Jakarta")


def test_file_changed_by_hand_is_seen(tmp_path: Path) -> None:
    files = PersonaFiles(str(tmp_path), execute)
    result(files.change(lambda _: ANN))
    (tmp_path / "persona.toml").write_text('name = "By Hand"\n')
    assert result(files.read()) == Personality(name="By Hand")


@pytest.mark.parametrize("text", ["name = ", "name = 1", 'preset = "pirate"', 'name = ""', "always_on_kbs = 5", f'role = "{"x" * 5000}"', "\udcff"])
def test_file_that_cannot_be_used_is_said_to_be_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "persona.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(Conflict, match=r"persona\.toml .*mend or remove it"):
        result(PersonaFiles(str(tmp_path), execute).read())


def test_file_that_is_no_toml_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "persona.toml").write_text("name = ")
    with pytest.raises(Conflict):
        result(PersonaFiles(str(tmp_path), execute).change(lambda _: ANN))
    assert ((tmp_path / "persona.toml").read_text(), (tmp_path / "SYSTEM.md").exists()) == ("name = ", False)


@pytest.mark.parametrize("is_new", [True, False])
def test_what_a_hand_saves_meanwhile_stays(tmp_path: Path, is_new: bool) -> None:
    path, files = tmp_path / "persona.toml", PersonaFiles(str(tmp_path), execute)
    if not is_new:
        result(files.change(lambda _: ANN))

    def make(before: Personality | None) -> Personality:
        path.write_text('name = "By Hand"\n')
        return Personality(name="Bob")

    with pytest.raises(Conflict, match=r"persona\.toml was changed by somebody else"):
        result(files.change(make))
    assert result(files.read()) == Personality(name="By Hand")


def test_a_change_is_made_of_what_the_file_says_then(tmp_path: Path) -> None:
    files = PersonaFiles(str(tmp_path), execute)
    result(files.change(lambda _: ANN))
    result(files.read())
    (tmp_path / "persona.toml").write_text('tone = "by hand"\n')
    result(files.change(lambda before: changed(before, Change(name="Bob"))))
    assert result(files.read()) == Personality(name="Bob", tone="by hand")
