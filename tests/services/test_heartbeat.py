"""The heartbeat asks about each line of HEARTBEAT.md, once in each round. Source: rantaiclaw.md §17; zeroclaw.md A3 (metric)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed

from clawgate.domain.settings.model import GatewaySettings, HeartbeatSettings, InboxSettings, Settings
from clawgate.services.heartbeat import MOST_TASKS, tasks
from clawgate.system.workspace import read_text
from clawgate.testing.agents import ScriptedAgent
from clawgate.testing.gateway import MemoryGateway

TEXT = "# Heartbeat\n- look at the mail\n  - water the plants\nnot this\n-nor this\n- \n- look at the mail\n"


class OneNote:
    """A workspace with one file."""

    def __init__(self, text: str | None) -> None:
        self.text = text
        self.asked: list[str] = []

    def read(self, name: str, most_bytes: int) -> Deferred[str | None]:
        self.asked.append(name)
        return succeed(self.text)


def gateway(notes: OneNote, *, enabled: bool = True, minutes: int = 30, before: MemoryGateway | None = None) -> MemoryGateway:
    settings = Settings(gateway=GatewaySettings(require_pairing=False), heartbeat=HeartbeatSettings(enabled=enabled, interval_minutes=minutes))
    edges = {"workspace": notes}
    if before is None:
        return MemoryGateway(settings, edges=edges)
    before.store.kill()
    return MemoryGateway(settings, agent=before.agent, store_image=before.store.image(), before=before, edges=edges)


def questions(gate: MemoryGateway) -> list[str]:
    assert isinstance(gate.agent, ScriptedAgent)
    return [prompt.question for prompt in gate.agent.prompts]


def later(gate: MemoryGateway, seconds: float) -> None:
    gate.clock.advance(seconds)
    gate.pump()


def ticks(gate: MemoryGateway) -> str:
    text = gate.client.get("/metrics").body.decode()
    return next(line.split()[1] for line in text.splitlines() if line.startswith("clawgate_heartbeat_ticks_total "))


def test_tasks_are_the_lines_that_begin_with_a_dash() -> None:
    assert tasks(TEXT) == ("look at the mail", "water the plants")
    assert len(tasks("\n".join(f"- {number}" for number in range(500)))) == MOST_TASKS


@given(st.text())
def test_any_text_has_bounded_tasks(text: str) -> None:
    found = tasks(text)
    assert len(set(found)) == len(found) <= MOST_TASKS
    assert all(0 < len(task) <= 4_000 for task in found)


def test_each_task_is_asked_in_each_round() -> None:
    notes = OneNote(TEXT)
    gate = gateway(notes)
    later(gate, 1)
    assert (questions(gate), notes.asked) == (["look at the mail", "water the plants"], ["HEARTBEAT.md"])
    later(gate, 1_800)
    assert (len(questions(gate)), ticks(gate)) == (4, "2.0")
    assert gate.client.get("/health").json["runtime"]["components"]["heartbeat"]["status"] == "ok"
    items = gate.client.get("/api/inbox").json["items"]
    assert {(item["source"], item["state"]) for item in items} == {("heartbeat", "done")}


def test_restart_within_a_round_asks_nothing_twice() -> None:
    notes = OneNote(TEXT)
    gate = gateway(notes)
    later(gate, 1)
    again = gateway(notes, before=gate)
    later(again, 1)
    assert (len(questions(again)), len(notes.asked)) == (2, 2)


def test_a_round_that_found_the_inbox_full_goes_on_where_it_was_once_there_is_room() -> None:
    settings = Settings(gateway=GatewaySettings(require_pairing=False), heartbeat=HeartbeatSettings(enabled=True), inbox=InboxSettings(high_water=1))
    agent = ScriptedAgent(["first", "second"])
    agent.is_held = True
    gate = MemoryGateway(settings, agent=agent, edges={"workspace": OneNote(TEXT)})
    later(gate, 1)
    assert questions(gate) == ["look at the mail"]
    assert gate.client.get("/health").json["runtime"]["components"]["heartbeat"]["status"] == "error"
    agent.is_held = False
    agent.release()
    later(gate, 60)
    assert (questions(gate), ticks(gate)) == (["look at the mail", "water the plants"], "1.0")
    assert gate.client.get("/health").json["runtime"]["components"]["heartbeat"]["status"] == "ok"


@pytest.mark.parametrize("text", [None, "", "nothing to do"])
def test_no_tasks_are_nothing_to_do(text: str | None) -> None:
    gate = gateway(OneNote(text))
    later(gate, 1)
    assert (questions(gate), ticks(gate)) == ([], "1.0")


def test_interval_is_at_least_five_minutes() -> None:
    notes = OneNote("- x")
    gate = gateway(notes, minutes=1)
    later(gate, 299)
    assert len(notes.asked) == 1
    later(gate, 1)
    assert len(notes.asked) == 2


def test_heartbeat_that_is_off_is_no_component() -> None:
    notes = OneNote(TEXT)
    gate = gateway(notes, enabled=False)
    later(gate, 4_000)
    assert (notes.asked, ticks(gate)) == ([], "0.0")
    assert "heartbeat" not in gate.client.get("/health").json["runtime"]["components"]


def test_only_an_ordinary_file_is_read_and_only_its_beginning(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"- a\xff" + b"x" * 100)
    (tmp_path / "folder").mkdir()
    assert read_text(str(tmp_path / "file"), 6) == "- a\ufffdxx"
    assert [read_text(str(tmp_path / name), 6) for name in ("folder", "missing", "file/x")] == [None, None, None]
    assert read_text("/dev/zero", 6) is None
