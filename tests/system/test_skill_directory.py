"""Skills on disk: found, written, installed, removed, switched. Source: rantaiclaw.md §10 (Skills), §20.10."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import execute

from clawgate.domain.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound, TooLarge
from clawgate.domain.skills import NEEDS_NAME, Kind, Manifest, Origin, Skill, SkillTool
from clawgate.system import skillfiles
from clawgate.system.configfile import load_settings
from clawgate.system.frontmatter import MOST_FRONT_MATTER_CHARS, manifest_of
from clawgate.system.skillfiles import MOST_SKILLS, SkillDirectory
from clawgate.system.skillswitch import SkillEntriesFile
from clawgate.testing.skills import skill_text, zipped
from tests.system.results import result

AUTHORED = Origin(kind=Kind.AUTHORED)
MARKET = Origin(kind=Kind.CLAWHUB, source="@bob/tool", owner="bob", slug="tool", version="1.0")
MOST_BYTES = 100_000


def directory(root: Path, **environment: str) -> SkillDirectory:
    return SkillDirectory(str(root / "skills"), execute, environment, "linux")


def scan(files: SkillDirectory) -> dict[str, Skill]:
    return {skill.slug: skill for skill in result(files.scan())}


def put(root: Path, slug: str, text: str) -> Path:
    folder = root / "skills" / slug
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(text)
    return folder


# Front matter


def test_front_matter_gives_every_field() -> None:
    text = (
        "---\nname: 'My Skill'\ndescription: >\n  two\n  lines\nversion: 1.10\ntags: [a, b, a]\n"
        "tools:\n  - one\n  - name: two\n    description: does it\nrequires:\n  os: [Darwin, linux]\n  bins: jq\n  env: [KEY]\nmore: {x: 1}\n---\ntext"
    )
    assert manifest_of(text) == Manifest(
        name="My Skill",
        description="two lines",
        version="1.10",
        tags=("a", "b"),
        tools=(SkillTool("one"), SkillTool("two", "does it")),
        systems=("macos", "linux"),
        binaries=("jq",),
        variables=("KEY",),
    )


@pytest.mark.parametrize("name", ["yes", "1.0", "null", "2024-01-01", "0x10"])
def test_names_are_text_whatever_they_look_like(name: str) -> None:
    assert manifest_of(skill_text(name)).name == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "---\n---\n",
        "---\ndescription: x\n---\n",
        "---\nname:\n---\n",
        "---\nname: ' '\n---\n",
        "---\nname: x\n",
        "---\n- name\n---\n",
        "---\nname: [x]\n---\n",
    ],
)
def test_text_without_a_name_is_no_skill(text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        manifest_of(text)
    assert str(refused.value) == NEEDS_NAME


@pytest.mark.parametrize(
    "yaml",
    [
        "a: &a [x]\nb: *a",
        "name: [",
        "name: !!python/object/apply:os.system [id]\n x",
        "x: " + "[" * 5000,
        "name: x\nname: \x00",
        "? {a: b}\n: c",
    ],
)
def test_hostile_front_matter_is_refused(yaml: str) -> None:
    with pytest.raises(BadRequest):
        manifest_of(f"---\n{yaml}\n---\n")


def test_front_matter_has_a_bound() -> None:
    assert manifest_of(skill_text("x", description="d" * 10_000)).description == "d" * 1_000
    with pytest.raises(BadRequest):
        manifest_of(skill_text("x", description="d" * MOST_FRONT_MATTER_CHARS))


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_manifest_or_refused(text: str) -> None:
    for content in (text, f"---\n{text}\n---\n", f"---\nname: {text}\n---\n"):
        try:
            manifest = manifest_of(content)
        except BadRequest:
            continue
        assert manifest.name == manifest.name.strip() != ""


WHOLE = "---\nname: ab\ndescription: text\n---\nbody"


def test_every_truncation_is_refused_until_the_fence_is_whole() -> None:
    for end in range(len(WHOLE)):
        if end < WHOLE.rindex("---") + 3:
            with pytest.raises(BadRequest):
                manifest_of(WHOLE[:end])
        else:
            assert manifest_of(WHOLE[:end]).name == "ab"


# Scanning


def test_no_directory_is_no_skills(tmp_path: Path) -> None:
    assert scan(directory(tmp_path)) == {}


def test_scan_finds_skills_and_leaves_out_what_is_none(tmp_path: Path) -> None:
    put(tmp_path, "good", skill_text("Good"))
    put(tmp_path, "nameless", "hello")
    put(tmp_path, ".hidden", skill_text("Hidden"))
    (tmp_path / "skills" / "empty").mkdir()
    (tmp_path / "skills" / "file.md").write_text(skill_text("File"))
    os.mkfifo(put(tmp_path, "pipe", "x").joinpath("SKILL.md.p"))
    (tmp_path / "skills" / "pipe" / "SKILL.md").unlink()
    (tmp_path / "skills" / "pipe" / "SKILL.md.p").rename(tmp_path / "skills" / "pipe" / "SKILL.md")
    put(tmp_path, "large", skill_text("Large", "x" * 300_000))
    assert {slug: (skill.name, skill.origin) for slug, skill in scan(directory(tmp_path)).items()} == {"good": ("Good", None)}


def test_scan_sees_what_changed(tmp_path: Path) -> None:
    files, folder = directory(tmp_path), put(tmp_path, "a", skill_text("One"))
    assert scan(files)["a"].name == "One"
    (folder / "SKILL.md").write_text(skill_text("Another"))
    assert scan(files)["a"].name == "Another"


def test_scan_has_a_bound(tmp_path: Path) -> None:
    for number in range(MOST_SKILLS + 2):
        put(tmp_path, f"s{number}", "---\nname: x\n---\n")
    assert len(scan(directory(tmp_path))) == MOST_SKILLS


def test_what_this_machine_lacks_is_told(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "there").write_text("")
    (tmp_path / "bin" / "there").chmod(0o755)
    put(tmp_path, "s", skill_text("S", requires="{os: [macos], bins: [there, missing, /bin/sh], env: [HERE, EMPTY, GONE]}"))
    found = scan(directory(tmp_path, PATH=str(tmp_path / "bin"), HERE="1", EMPTY=""))["s"]
    assert found.lacks == (
        "wrong OS: requires macos (this is linux)",
        "missing binary `missing`",
        "missing binary `/bin/sh`",
        "env `EMPTY` not set",
        "env `GONE` not set",
    )


@pytest.mark.parametrize("content", ["", "{", "[]", '{"kind":"stolen"}', '{"kind":1}', "x" * 5000])
def test_origin_that_is_none_is_unknown(tmp_path: Path, content: str) -> None:
    (put(tmp_path, "s", skill_text("S")) / ".origin.json").write_text(content)
    assert scan(directory(tmp_path))["s"].origin is None


# Changing


def test_created_skill_is_there_whole_and_private(tmp_path: Path) -> None:
    files = directory(tmp_path)
    result(files.create("my-skill", skill_text("My Skill"), AUTHORED))
    found = scan(files)["my-skill"]
    assert (found.name, found.origin, found.content, found.is_authored) == ("My Skill", AUTHORED, skill_text("My Skill"), True)
    folder = tmp_path / "skills" / "my-skill"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "SKILL.md")] == [0o700, 0o600]
    assert os.listdir(tmp_path / "skills") == ["my-skill"]


def test_existing_directory_is_a_conflict_in_any_case_even_an_empty_one(tmp_path: Path) -> None:
    files = directory(tmp_path)
    (tmp_path / "skills" / "Tool").mkdir(parents=True)
    with pytest.raises(Conflict):
        result(files.create("tool", skill_text("T"), AUTHORED))
    with pytest.raises(Conflict):
        result(files.install_archive(zipped({"SKILL.md": skill_text("T")}), "tool", MARKET, MOST_BYTES))
    assert os.listdir(tmp_path / "skills") == ["Tool"]


def test_rewritten_skill_has_the_new_text(tmp_path: Path) -> None:
    files = directory(tmp_path)
    result(files.create("s", skill_text("S"), AUTHORED))
    result(files.write("s", skill_text("S", "new")))
    assert scan(files)["s"].content == skill_text("S", "new")


def test_writing_never_follows_a_link(tmp_path: Path) -> None:
    files = directory(tmp_path)
    outside = put(tmp_path / "elsewhere", "s", skill_text("S"))
    (tmp_path / "skills").mkdir()
    (tmp_path / "skills" / "linked").symlink_to(outside)
    put(tmp_path, "half", "x").joinpath("SKILL.md").unlink()
    (tmp_path / "skills" / "half" / "SKILL.md").symlink_to(outside / "SKILL.md")
    for slug in ("linked", "half"):
        with pytest.raises(Forbidden):
            result(files.write(slug, "x"))
    assert (outside / "SKILL.md").read_text() == skill_text("S")
    with pytest.raises(NotFound):
        result(files.write("nothing", "x"))


def test_removed_link_leaves_what_it_led_to(tmp_path: Path) -> None:
    files = directory(tmp_path)
    outside = put(tmp_path / "elsewhere", "s", skill_text("S"))
    (tmp_path / "skills").mkdir()
    (tmp_path / "skills" / "linked").symlink_to(outside)
    assert scan(files)["linked"].name == "S"
    result(files.remove("linked"))
    assert (scan(files), outside.is_dir()) == ({}, True)


def test_removed_skill_is_gone_and_links_inside_lead_nowhere(tmp_path: Path) -> None:
    files, kept = directory(tmp_path), tmp_path / "kept"
    kept.mkdir()
    (kept / "x").write_text("x")
    (put(tmp_path, "s", skill_text("S")) / "link").symlink_to(kept)
    result(files.remove("s"))
    assert (os.listdir(tmp_path / "skills"), (kept / "x").read_text()) == ([], "x")
    with pytest.raises(NotFound):
        result(files.remove("s"))


def test_installed_archive_has_its_files_and_our_word_on_its_origin(tmp_path: Path) -> None:
    files = directory(tmp_path)
    forged = '{"kind":"authored"}'
    archive = zipped({"t/SKILL.md": skill_text("Tool"), "t/docs/x.md": "x", "t/.origin.json": forged})
    assert result(files.install_archive(archive, "tool", MARKET, MOST_BYTES)).name == "Tool"
    assert scan(files)["tool"].origin == MARKET
    assert (tmp_path / "skills" / "tool" / "docs" / "x.md").read_text() == "x"


@pytest.mark.parametrize("archive", [b"x", zipped({"x": "y"}), zipped({"SKILL.md": "nameless"}), zipped({"SKILL.md": skill_text("T"), "../x": ""})])
def test_archive_that_is_refused_leaves_nothing(tmp_path: Path, archive: bytes) -> None:
    files = directory(tmp_path)
    result(files.create("other", skill_text("Other"), AUTHORED))
    with pytest.raises(BadRequest):
        result(files.install_archive(archive, "tool", MARKET, MOST_BYTES))
    assert os.listdir(tmp_path / "skills") == ["other"]


def test_write_that_fails_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = directory(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        result(files.create("s", skill_text("S"), AUTHORED))
    assert os.listdir(tmp_path / "skills") == []


def test_leavings_of_a_killed_process_are_no_skills_and_are_swept_away(tmp_path: Path) -> None:
    files = directory(tmp_path)
    for name in (".new-0a", ".old-0b"):
        put(tmp_path, name, skill_text("Half"))
    assert scan(files) == {}
    result(files.create("s", skill_text("S"), AUTHORED))
    assert os.listdir(tmp_path / "skills") == ["s"]


def test_same_name_from_elsewhere_is_a_conflict(tmp_path: Path) -> None:
    files = directory(tmp_path)
    put(tmp_path, "mine", skill_text("Tool"))
    with pytest.raises(Conflict):
        result(files.install_archive(zipped({"SKILL.md": skill_text("TOOL")}), "tool", MARKET, MOST_BYTES))


def test_directory_and_archive_of_this_machine_are_installed_under_their_own_name(tmp_path: Path) -> None:
    files = directory(tmp_path)
    source = put(tmp_path / "elsewhere", "s", skill_text("From Here"))
    archive = tmp_path / "a.zip"
    archive.write_bytes(zipped({"SKILL.md": skill_text("Packed")}))
    assert [result(files.install_path(str(path), MOST_BYTES)).slug for path in (source, archive)] == ["from-here", "packed"]
    assert scan(files)["packed"].origin == Origin(kind=Kind.LOCAL, source=str(archive))


@pytest.mark.parametrize("path", ["relative", "", "/nothing/there", "/dev/null", "/x\0y"])
def test_path_that_leads_to_no_skill_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises((BadRequest, NotFound)):
        result(directory(tmp_path).install_path(path, MOST_BYTES))


def test_archive_of_this_machine_over_the_bound_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK" + b"x" * 100_000)
    with pytest.raises(TooLarge):
        result(directory(tmp_path).install_path(str(tmp_path / "a.zip"), MOST_BYTES))


# The switch


def test_switch_is_written_and_read_back_and_comments_stay(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('# mine\n[skills]\nmarketplace_url = "https://m.example" # market\n')
    switch = SkillEntriesFile(str(config), execute)
    for name, enabled in (("My Skill", False), ("a.b", False), ("a.b", True), ("Ünïcode!", False)):
        result(switch.set_enabled(name, enabled))
    found = load_settings(str(config), {})
    assert {name: entry.enabled for name, entry in found.skills.entries.items()} == {"My Skill": False, "a.b": True, "Ünïcode!": False}
    assert (found.unknown, "# mine" in config.read_text(), "# market" in config.read_text()) == ((), True, True)


def test_switch_makes_the_file_when_there_is_none(tmp_path: Path) -> None:
    result(SkillEntriesFile(str(tmp_path / "config.toml"), execute).set_enabled("x", False))
    assert load_settings(str(tmp_path / "config.toml"), {}).skills.entries["x"].enabled is False


@pytest.mark.parametrize("text", ["skills = 1", "[skills]\nentries = 1", "[skills.entries]\nx = 1", "[["])
def test_switch_refuses_a_file_it_does_not_understand(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(Invalid):
        result(SkillEntriesFile(str(tmp_path / "config.toml"), execute).set_enabled("x", False))
    assert (tmp_path / "config.toml").read_text() == text


def test_no_skill_is_made_beyond_those_that_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skillfiles, "MOST_SKILLS", 2)
    files = directory(tmp_path)
    for slug in ("b", "c"):
        result(files.create(slug, skill_text(slug), AUTHORED))
    with pytest.raises(Conflict, match="remove one first"):
        result(files.create("a", skill_text("a"), AUTHORED))
    assert set(scan(files)) == {"b", "c"}
