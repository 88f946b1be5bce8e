"""A tool that has to be approved, asked for in a chat. Source: rantaiclaw.md §13, §21 (channel approvals); design §1."""

from __future__ import annotations

import msgspec
import pytest

from clawgate.domain.chat_approvals import DENIED, NOT_AN_OWNER, question_text
from clawgate.domain.turn import Prompt, ToolCall
from clawgate.testing.agents import Answer, Pieces, ScriptedAgent
from clawgate.testing.tools import ScriptedTools
from tests.web.platform_gate import BODIES, NAMES, PlatformGate, settings_of

ASK = question_text(["pay"])
OWNERS = ("+555", "555")


def pays(prompt: Prompt) -> Answer:
    """Wants to pay when told so, and says what came of it."""
    if prompt.lines[-1].text == "pay":
        return Pieces(("",), (ToolCall("c1", "pay", "{}"),))
    return f"re: {prompt.lines[-1].text}"


class Chat:
    """A gateway with a tool that must be asked about, and people who write to it."""

    def __init__(self, name: str = "linq", owners: tuple[str, ...] = OWNERS) -> None:
        self.name, self.tools, self.number = name, ScriptedTools(), 0
        settings = settings_of(webhook_rate_limit_per_minute=0)
        section = msgspec.structs.replace(settings.channels_config, approval_owners=owners)
        self.road = PlatformGate(msgspec.structs.replace(settings, channels_config=section), ScriptedAgent(pays))
        self.road.gate.gateway.toolbox.add(self.tools)
        self.road.taking(name, 50)

    def write(self, text: str, sender: str = "555", number: int = 0) -> None:
        """A message of its own, or (`number`) another copy of an earlier one."""
        self.number += not number
        answer = self.road.post(self.name, BODIES[self.name](text, ids=(f"{self.name}-{number or self.number}",), sender=sender))
        assert (answer.status, answer.json) == (200, {"status": "ok"})

    def restart(self) -> None:
        self.road = PlatformGate(before=self.road)
        self.road.gate.gateway.toolbox.add(self.tools)

    @property
    def said(self) -> list[str]:
        return self.road.replies(self.name)

    @property
    def called(self) -> int:
        return len(self.tools.calls)


@pytest.mark.parametrize("name", NAMES)
def test_owner_allows_once_and_the_message_runs_again(name: str) -> None:
    chat = Chat(name)
    chat.write("pay")
    assert (chat.said, chat.called) == ([ASK], 0)
    chat.write("Yes!")
    assert chat.called == 1
    chat.write("pay")
    assert (chat.said[-1], chat.called) == (ASK, 1)


def test_always_holds_for_that_sender_also_after_a_restart() -> None:
    chat = Chat(owners=("*",))
    chat.write("pay", "555")
    chat.write("always", "555")
    chat.restart()
    chat.write("pay", "555")
    assert chat.called == 2
    chat.write("pay", "777")
    assert (chat.said[-1], chat.called) == (ASK, 2)


def test_a_change_of_the_autonomy_takes_back_every_always_of_chats() -> None:
    chat = Chat()
    chat.write("pay")
    chat.write("always")
    chat.write("pay")
    assert chat.called == 2
    changed = chat.road.gate.client.request("PUT", "/api/v1/config/autonomy", {"always_ask": ["pay"]}, peer="operator")
    chat.write("pay")
    assert (changed.status, chat.said[-1], chat.called) == (200, ASK, 2)


def test_always_ends_after_thirty_days() -> None:
    chat = Chat()
    chat.write("pay")
    chat.write("a")
    gate, found = chat.road.gate, list[int]()
    for days in (29.9, 30):
        gate.store.facts.all("chat_grant", gate.clock.wall_ms() + int(days * 86_400_000), 9).addCallback(lambda facts: found.append(len(facts)))
    assert found == [1, 0]


@pytest.mark.parametrize("owners", [OWNERS, ()])
def test_anyone_may_deny(owners: tuple[str, ...]) -> None:
    chat = Chat(owners=owners)
    chat.write("pay")
    chat.write("no")
    chat.write("yes")
    assert (chat.said, chat.called) == ([ASK, DENIED, "re: yes"], 0)


def test_nobody_but_an_owner_allows_and_the_question_stays() -> None:
    chat = Chat(owners=("@+666",))
    chat.write("pay")
    chat.write("yes")
    chat.write("A")
    assert (chat.said, chat.called) == ([ASK, NOT_AN_OWNER, NOT_AN_OWNER], 0)


def test_empty_list_of_owners_is_nobody() -> None:
    chat = Chat(owners=())
    chat.write("pay")
    chat.write("yes")
    assert (chat.said, chat.called) == ([ASK, NOT_AN_OWNER], 0)


def test_anything_else_is_a_new_message_and_the_question_is_over() -> None:
    chat = Chat()
    chat.write("pay")
    chat.write("what for?")
    chat.write("yes")
    assert (chat.said, chat.called) == ([ASK, "re: what for?", "re: yes"], 0)


def test_question_is_over_after_ten_minutes() -> None:
    chat = Chat()
    chat.write("pay")
    chat.road.settle(600)
    chat.write("yes")
    assert (chat.said, chat.called) == ([ASK, "re: yes"], 0)


def test_question_survives_a_restart() -> None:
    chat = Chat()
    chat.write("pay")
    chat.restart()
    chat.write("yes")
    assert chat.called == 1


def test_answer_that_is_delivered_again_does_nothing_more() -> None:
    chat = Chat()
    chat.write("pay")
    chat.write("yes")
    said = chat.said
    chat.write("yes", number=2)
    chat.write("pay")
    chat.write("yes", number=2)
    assert (chat.called, chat.said) == (1, [*said, ASK])


def test_answer_that_could_not_be_stored_is_still_one_when_it_comes_again() -> None:
    chat = Chat()
    chat.write("pay")
    body = BODIES["linq"]("yes", ids=("again",), sender="555")
    chat.road.gate.store.break_writes("disk full")
    assert chat.road.post("linq", body).status == 503
    chat.road.gate.store.break_writes("")
    assert (chat.road.post("linq", body).status, chat.called) == (200, 1)


def test_question_of_one_chat_is_not_answered_in_another() -> None:
    chat = Chat(owners=("*",))
    chat.write("pay", "555")
    chat.write("yes", "777")
    assert (chat.said, chat.called) == ([ASK, "re: yes"], 0)


def test_answers_are_no_history_of_the_chat() -> None:
    chat = Chat()
    chat.write("pay")
    chat.write("no")
    chat.write("hello")
    agent = chat.road.gate.agent
    assert isinstance(agent, ScriptedAgent)
    assert [line.text for line in agent.prompts[-1].lines] == ["pay", ASK, "hello"]


def test_who_became_an_owner_by_a_code_may_approve_at_once() -> None:
    chat = Chat(owners=())
    code = chat.road.gate.client.post("/admin/channels/codes", {"channel": "linq"}, peer="operator").json["code"]
    chat.write(f"/claim {code}")
    chat.write("pay")
    chat.write("yes")
    assert chat.called == 1
