"""Skills and a personality of a real daemon: on disk, in config.toml, and there after a restart. Source: rantaiclaw.md §10."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from clawgate.testing.skills import skill_text
from tests.acceptance.daemon import Daemon, settings, until

pytestmark = pytest.mark.acceptance
PATH = "/api/v1/skills"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    running = Daemon(tmp_path / "home", "# mine\n" + settings()).start()
    running.pair()
    yield running
    running.close()


def test_skills_and_personality_are_files_beside_the_config(daemon: Daemon) -> None:
    text = skill_text("Weekly Report", requires="{bins: [sh]}")
    assert daemon.call("POST", PATH, {"content": text}).status == 201
    assert (daemon.home / "skills" / "weekly-report" / "SKILL.md").read_text() == text
    assert daemon.call("PUT", f"{PATH}/weekly-report/enabled", {"enabled": False}).status == 200
    written = daemon.config.read_text()
    assert ("# mine" in written, '[skills.entries."Weekly Report"]\nenabled = false' in written) == (True, True)
    assert daemon.call("PUT", "/api/v1/personality", {"name": "Ann"}).json["name"] == "Ann"
    assert sorted(name for name in os.listdir(daemon.home) if name in ("persona.toml", "SYSTEM.md")) == ["SYSTEM.md", "persona.toml"]
    daemon.kill()
    daemon.start()
    item = daemon.call("GET", f"{PATH}/weekly-report").json
    assert (item["active"], item["reasons"]) == (False, ["disabled in config.toml"])
    assert daemon.call("GET", "/api/v1/personality").json["name"] == "Ann"


def test_skill_switched_on_again_by_hand_counts_while_running(daemon: Daemon) -> None:
    daemon.call("POST", PATH, {"content": skill_text("Soup")})
    daemon.call("PUT", f"{PATH}/soup/enabled", {"enabled": False})
    until(lambda: daemon.call("GET", f"{PATH}/soup").json["active"] is False, "it is off")
    daemon.config.write_text(daemon.config.read_text().replace("enabled = false", "enabled = true"))
    until(lambda: daemon.call("GET", f"{PATH}/soup").json["active"] is True, "it is on")
