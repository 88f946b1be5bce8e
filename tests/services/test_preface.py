"""What goes before every turn, and the tool that reads a skill. Source: design §1 (turn), §4.15; rantaiclaw.md §10."""

from __future__ import annotations

import gc
import os

from twisted.internet.defer import Deferred

from clawgate.domain.messages import TurnOptions
from clawgate.domain.tools import RESULT_CHARS, Risk, ToolContext, ToolResult
from clawgate.services.personality import Personalities
from clawgate.services.preface import MOST_LIST_CHARS, MOST_LISTED, MOST_WHOLE_CHARS, Preface
from clawgate.services.skill_tools import READ_TOOL, SkillTools
from clawgate.services.skills import Skills
from clawgate.testing.gateway import MemoryGateway
from clawgate.testing.skills import skill_text


class House:
    """A preface of real files."""

    def __init__(self) -> None:
        self.gate = gate = MemoryGateway()
        edges, events = gate.edges, Recorder()
        self.skills = Skills(edges.skill_files, gate.shelf, gate.switch, lambda: gate.settings.skills, gate.clock, events)  # type: ignore[arg-type]  # publishes
        self.personalities = Personalities(edges.persona, "default", gate.clock, events)  # type: ignore[arg-type]  # as above
        self.writer = Preface(self.personalities, self.skills)
        self.tools = SkillTools(self.skills)

    def put(self, name: str, body: str = "Do it.", **fields: str) -> None:
        folder = self.gate.scratch.path / "skills" / name.lower()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "SKILL.md").write_text(skill_text(name, body, **fields))

    def preface(self, skill: str | None = None) -> str:
        told: list[str] = []
        Deferred.fromCoroutine(self.writer.text(None if skill is None else TurnOptions(skill=skill))).addCallback(told.append)
        return told[0]

    def read(self, **arguments: object) -> ToolResult:
        told: list[ToolResult] = []
        context = ToolContext(principal="p", source="webhook", conversation=None, idempotency_key="1:1")
        self.tools.call("skill_read", arguments, context).addCallback(told.append)
        return told[0]

    def persona_toml(self, text: str) -> None:
        self.gate.scratch.path.mkdir(exist_ok=True)
        (self.gate.scratch.path / "persona.toml").write_text(text)


class Recorder:
    def __init__(self) -> None:
        self.kinds: list[str] = []

    def publish(self, kind: str, data: object) -> None:
        self.kinds.append(kind)


def test_nothing_configured_is_nothing_said() -> None:
    assert [House().preface(), House().preface("missing")] == ["", ""]


def test_personality_stands_first_then_the_skills() -> None:
    house = House()
    house.persona_toml('name = "Ann"\nrole = "cook"\ntone = "dry"\navoid = "salt"\n')
    house.put("Soup", description="cooks soup")
    text = house.preface()
    assert text.startswith("You are Ann.\nYour role: cook.\nYour tone: dry.\n")
    assert "Avoid: salt" in text
    assert text.endswith("`skill_read`:\n- Soup (soup): cooks soup")


def test_named_skill_is_there_whole_and_not_listed_again() -> None:
    house = House()
    house.put("Soup", "Boil water.", description="cooks soup")
    house.put("Salad")
    for name in ("soup", "SOUP"):
        text = house.preface(name)
        assert (text.count("Boil water."), "- Soup" in text, "- Salad (salad)" in text) == (1, False, True)
    assert "Boil water." not in house.preface("missing")


def test_skills_that_are_not_active_are_not_told() -> None:
    house = House()
    house.put("Soup", "Boil water.", requires="{env: [GONE]}")
    assert [house.preface(), house.preface("soup")] == ["", ""]


def test_list_and_skill_have_bounds() -> None:
    house = House()
    for number in range(MOST_LISTED + 5):
        house.put(f"S{number:02}", description="d" * 900)
    lines = house.preface().splitlines()[1:]
    assert (lines[-1], len("\n".join(lines)) <= MOST_LIST_CHARS + 20) == ("- and more", True)
    for number in range(MOST_LISTED + 5):
        house.put(f"S{number:02}")
    house.gate.clock.advance(3)
    assert len(house.preface().splitlines()) == 1 + MOST_LISTED + 1
    house.put("Long", "x" * 100_000)
    house.gate.clock.advance(3)
    assert MOST_WHOLE_CHARS < len(house.preface("long")) < MOST_WHOLE_CHARS + 5_000


def test_files_are_looked_at_every_two_seconds_at_most() -> None:
    house = House()
    house.put("Soup")
    assert "Soup" in house.preface()
    house.put("Salad")
    house.persona_toml('name = "Ann"')
    assert [word in house.preface() for word in ("Salad", "Ann")] == [False, False]
    house.gate.clock.advance(2)
    assert [word in house.preface() for word in ("Salad", "Ann")] == [True, True]


def test_what_the_gateway_changes_itself_is_seen_at_once() -> None:
    house = House()
    house.put("Soup")
    assert "Soup" in house.preface()
    Deferred.fromCoroutine(house.skills.create(skill_text("Salad"))).addErrback(print)
    assert "Salad" in house.preface()
    Deferred.fromCoroutine(house.skills.set_enabled("soup", False)).addErrback(print)
    assert "Soup" not in house.preface()


def test_broken_persona_spoils_no_turn() -> None:
    house = House()
    house.persona_toml("name = ")
    house.put("Soup")
    assert "- Soup" in house.preface()


def test_directory_that_cannot_be_listed_spoils_no_turn() -> None:
    house = House()
    house.gate.scratch.path.mkdir()
    (house.gate.scratch.path / "skills").write_text("no directory")
    assert house.preface("soup") == ""


def test_tool_gives_the_whole_skill_by_slug_or_name() -> None:
    house = House()
    house.put("Soup", "Boil water.")
    for name in ("soup", " Soup "):
        assert house.read(slug=name) == ToolResult(skill_text("Soup", "Boil water."))
    assert (READ_TOOL.risk, READ_TOOL.is_idempotent, house.tools.tools()) == (Risk.READ, True, (READ_TOOL,))


def test_tool_says_what_it_did_not_find() -> None:
    house = House()
    house.put("Off", requires="{bins: [nothing-of-that-name]}")
    for arguments in ({}, {"slug": ""}, {"slug": 1}, {"slug": "missing"}, {"slug": "off"}):
        assert house.read(**arguments).ok is False


def test_tool_result_has_a_bound() -> None:
    house = House()
    house.put("Long", "x" * 200_000)
    assert len(house.read(slug="long").text) == RESULT_CHARS


def test_scratch_directory_of_a_gateway_goes_with_it() -> None:
    house = House()
    house.put("Soup")
    path = str(house.gate.scratch.path)
    assert os.path.isdir(path)
    del house
    gc.collect()
    assert not os.path.exists(path)
