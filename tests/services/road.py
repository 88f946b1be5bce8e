"""A gateway in memory, and short words for what tests of the road do with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from clawgate.domain.inbox import Item, State
from clawgate.domain.settings.model import AgentSettings, GatewaySettings, InboxSettings, ReliabilitySettings, Settings
from clawgate.domain.turn import Prompt
from clawgate.ports.channels import Channel
from clawgate.testing.agents import Answer, ScriptedAgent
from clawgate.testing.gateway import MemoryGateway, Pending

_T = TypeVar("_T")
OPEN_DOOR = GatewaySettings(require_pairing=False, webhook_rate_limit_per_minute=0, api_rate_limit_per_minute=0, drain_secs=8)


def gate(
    answers: Sequence[Answer] | Callable[[Prompt], Answer] = ("ok",),
    *,
    held: bool = False,
    slots: int = 4,
    channels: Mapping[str, Channel] | None = None,
    own: GatewaySettings = OPEN_DOOR,
    inbox: InboxSettings | None = None,
    attempts: int = 3,
    sends: int | None = None,
    turn_seconds: int = 600,
) -> MemoryGateway:
    """A running gateway that asks for no token; `held` = the agent answers only when released; `sends` = tries of a reply, None = the default."""
    settings = Settings(
        gateway=own,
        agent=AgentSettings(max_concurrent_turns=slots, max_attempts=attempts, turn_timeout_secs=turn_seconds),
        inbox=inbox or InboxSettings(),
        reliability=ReliabilitySettings() if sends is None else ReliabilitySettings(channel_max_attempts=sends),
    )
    return MemoryGateway(settings, agent=ScriptedAgent(answers, is_held=held), channels=channels)


def agent_of(road: MemoryGateway) -> ScriptedAgent:
    assert isinstance(road.agent, ScriptedAgent)
    return road.agent


def ask(road: MemoryGateway, text: str = "hi", *, key: str | None = None, session: str | None = None) -> Pending:
    """Somebody asks and waits."""
    return road.client.begin("POST", "/webhook", {"message": text}, headers=_headers(key, session))


def tell(road: MemoryGateway, text: str = "hi", *, key: str | None = None, session: str | None = None) -> str:
    """Somebody is promised an outcome; the item's id."""
    response = road.client.post("/webhook", {"message": text}, headers=_headers(key, session) | {"Prefer": "respond-async"})
    assert response.status == 202, response
    return str(response.json["id"])


def _headers(key: str | None, session: str | None) -> dict[str, str]:
    named = {"X-Idempotency-Key": key, "X-Session-Id": session}
    return {name: value for name, value in named.items() if value is not None}


def now(deferred: Deferred[_T]) -> _T:
    """The result that is there already; raises what it failed with."""
    results: list[_T | Failure] = []
    deferred.addBoth(results.append)
    assert results, "no result yet"
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return results[0]


def item(road: MemoryGateway, item_id: str) -> Item:
    found = now(road.store.inbox.get(item_id))
    assert found is not None
    return found


def items(road: MemoryGateway) -> tuple[Item, ...]:
    """Every item, oldest first."""
    return now(road.store.inbox.page(frozenset(), 0, "", 10_000)).items[::-1]


def states(road: MemoryGateway) -> list[State]:
    return [found.state for found in items(road)]


def asked(road: MemoryGateway) -> list[str]:
    """The last line of every prompt, in order."""
    return [prompt.lines[-1].text for prompt in agent_of(road).prompts]


def counted(road: MemoryGateway, sample: str) -> float:
    """One sample of /metrics, named with its labels; 0 when there is none."""
    for line in road.client.get("/metrics").body.decode().splitlines():
        name, _, value = line.rpartition(" ")
        if name == f"clawgate_{sample}":
            return float(value)
    return 0.0


def stop(road: MemoryGateway, seconds: float = 60.0) -> None:
    """Stops it and lets the time pass that this takes."""
    stopping = road.stop()
    for _ in range(int(seconds)):
        if stopping.called:
            break
        road.clock.advance(1)
    now(stopping)
