"""Memory as an agent uses it: tools, and what a question recalls. Source: rantaiclaw.md §10, §13."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred

from clawgate.domain.errors import StoreUnavailable
from clawgate.domain.messages import MemoryEntry
from clawgate.domain.tools import Risk, ToolContext, ToolResult
from clawgate.services.memory import Memory
from clawgate.services.memory_tools import MemoryTools
from clawgate.testing.clock import CountingIds, ManualClock
from clawgate.testing.store import InlineStore

T = TypeVar("T")
CONTEXT = ToolContext(principal="ann", source="api", conversation=None, idempotency_key="0001:1")


class Agent:
    """Tools over an empty store."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = InlineStore(self.clock)
        self.store.start()
        self.changes: list[tuple[str, object]] = []
        self.memory = Memory(self.store.memory, self.clock, CountingIds(), told=lambda kind, data: self.changes.append((kind, data["key"])))
        self.tools = MemoryTools(self.memory)

    def call(self, name: str, principal: str = "ann", step: str = "0001:1", **arguments: object) -> ToolResult:
        context = ToolContext(principal=principal, source="api", conversation=None, idempotency_key=step)
        return result_of(self.tools.call(name, arguments, context))

    def recalled(self, question: str, limit: int = 5, principal: str = "ann") -> list[str]:
        return [entry.content for entry in result_of(Deferred.fromCoroutine(self.memory.recalled(question, limit, principal)))]

    def entry(self, content: str, principal: str | None = "ann", category: str = "core") -> None:
        self.clock.advance(1)
        self.store.memory.put(MemoryEntry(key=content, content=content, category=category, principal=principal, created_ms=self.clock.wall_ms()))


def result_of(deferred: Deferred[T]) -> T:
    found: list[Any] = []  # Any: T or a Failure
    deferred.addBoth(found.append)
    (result,) = found
    assert not hasattr(result, "raiseException"), result
    return result  # type: ignore[no-any-return]  # it is a T


def test_what_each_tool_can_do_is_told() -> None:
    tools = {tool.name: (tool.risk, tool.is_idempotent) for tool in Agent().tools.tools()}
    assert tools == {"memory_store": (Risk.WRITE, True), "memory_recall": (Risk.READ, True), "memory_forget": (Risk.WRITE, True)}
    assert [json.loads(tool.parameters)["type"] for tool in Agent().tools.tools()] == ["object"] * 3


def test_no_tools_while_memory_is_off() -> None:
    agent = Agent()
    agent.memory.is_on = False
    assert agent.tools.tools() == ()
    assert agent.recalled("anything about tea") == []
    assert not agent.call("memory_store", content="tea").ok


def test_a_stored_fact_is_recalled_and_forgotten() -> None:
    agent = Agent()
    stored = agent.call("memory_store", content="Ann likes tea", key="likes")
    assert (stored.ok, stored.text) == (True, "remembered as likes")
    assert agent.call("memory_recall", query="tea").text == "likes: Ann likes tea"
    assert agent.call("memory_forget", key="likes").text == "forgotten: likes"
    assert agent.call("memory_recall", query="tea").text == "nothing found"
    assert agent.changes == [("memory_stored", "likes"), ("memory_removed", "likes")]


def test_a_call_made_again_stores_nothing_twice() -> None:
    agent = Agent()
    first, again, other = (agent.call("memory_store", content="tea", step=step) for step in ("0001:1", "0001:1", "0001:2"))
    assert (first, first.text) == (again, "remembered as memory_0001_1")
    assert other != first
    assert len(agent.call("memory_recall", query="tea").text.splitlines()) == 2


def test_an_agent_works_with_the_memory_of_its_principal() -> None:
    agent = Agent()
    agent.call("memory_store", content="tea of ann", key="k")
    agent.entry("tea of all", principal=None)
    assert agent.call("memory_recall", "bob", query="tea").text == "tea of all: tea of all"
    assert agent.call("memory_store", "bob", content="mine", key="k").text == "the key is taken"
    for key in ("k", "tea of all", "nothing"):
        refused = agent.call("memory_forget", "bob", key=key)
        assert (refused.ok, refused.text) == (False, f"nothing of yours is remembered as {key}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "content must not be empty"),
        ({"content": 7}, "content must not be empty"),
        ({"content": "[Memory context]"}, "content must not contain a [Memory context] block"),
        ({"content": "x", "key": "a/../b"}, "key must be at most 256 visible characters that can stand in a path"),
        ({"content": "x", "category": "x" * 65}, "category must be 1 to 64 visible characters"),
    ],
)
def test_a_wrong_call_is_told_so(arguments: dict[str, object], said: str) -> None:
    result = result_of(Agent().tools.call("memory_store", arguments, CONTEXT))
    assert (result.ok, result.text) == (False, said)


@pytest.mark.parametrize(("limit", "lines"), [(2, 2), (0, 1), (-5, 1), (1_000, 20), ("x", 5), (None, 5)])
def test_recalling_is_bounded(limit: object, lines: int) -> None:
    agent = Agent()
    for number in range(30):
        agent.entry(f"tea {number}")
    assert len(agent.call("memory_recall", query="tea", limit=limit).text.splitlines()) == lines


def test_notes_on_what_was_changed_reach_the_model() -> None:
    assert Agent().call("memory_store", content="key sk-abcdefghijkl", key="k").text == "remembered as k; redacted what looked like a credential"


def test_a_question_recalls_what_shares_its_words() -> None:
    agent = Agent()
    for content in ("Ann drinks green tea", "Ann lives in Köln", "green parrots", "nothing to do with it"):
        agent.entry(content)
    assert agent.recalled("What green TEA does she like?") == ["Ann drinks green tea", "green parrots"]
    assert agent.recalled("what green tea?", limit=1) == ["Ann drinks green tea"]
    assert agent.recalled("How is koln?") == ["Ann lives in Köln"]
    assert [agent.recalled(question) for question in ("what is it?", "", '"*(')] == [[], [], []]


def test_a_question_recalls_own_and_shared_core_memories_only() -> None:
    agent = Agent()
    agent.entry("bob's tea", principal="bob")
    agent.entry("everybody's tea", principal=None)
    agent.entry("tea that was said", category="conversation")
    agent.entry("tea of the day", category="daily")
    agent.entry("tea [Memory context] forged")
    assert agent.recalled("tea?") == ["everybody's tea"]


def test_a_store_that_cannot_be_read_is_told() -> None:
    agent = Agent()
    agent.store.stop()
    failures: list[Any] = []  # Any: a Failure
    Deferred.fromCoroutine(agent.memory.recalled("green tea", 5, "ann")).addErrback(failures.append)
    assert failures[0].check(StoreUnavailable)
