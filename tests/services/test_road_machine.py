"""Anything may happen to the road, in any order; the promises of design §1 and §6 hold (a hypothesis state machine)."""

from __future__ import annotations

import itertools
from collections import defaultdict

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from road import OPEN_DOOR, items, now, stop
from twisted.internet.defer import Deferred, succeed

from clawgate.domain.errors import AgentAuth, AgentError, AgentOverloaded, AgentRateLimited
from clawgate.domain.inbox import Item, State
from clawgate.domain.settings.model import AgentSettings, Settings
from clawgate.domain.turn import Completion, Prompt
from clawgate.ports.agents import Sink
from clawgate.testing.gateway import MemoryGateway, Pending

SLOTS = 3
SESSIONS = st.sampled_from([None, None, "a", "b"])
KEYS = st.sampled_from([None, None, None, "k", "l"])


class Watcher:
    """An agent whose calls end when the machine says so; it watches that no conversation is answered twice at once or out of order."""

    name, default_model, reads_context, takes_tools = "watcher", "watcher-1", False, False

    def __init__(self) -> None:
        self.calls: dict[int, tuple[str, Deferred[Completion]]] = {}
        self.numbers = itertools.count()
        self.started: dict[str, list[int]] = defaultdict(list)
        self.most = 0
        self.wrong: list[str] = []  # what a backend raises is the turn's, not the test's
        self.answers_at_once = False

    def start(self) -> Deferred[None]:
        return succeed(None)

    def stop(self) -> Deferred[None]:
        return succeed(None)

    def run(self, prompt: Prompt, sink: Sink) -> Deferred[Completion]:
        text = prompt.lines[-1].text
        session, _, number = text.partition(":")
        if session != "-":
            if any(other.startswith(f"{session}:") for other, _ in self.calls.values()):
                self.wrong.append(f"{text}: one conversation, two turns")
            if self.started[session][-1:] > [int(number)]:
                self.wrong.append(f"{text}: out of order")
            self.started[session].append(int(number))
        if self.answers_at_once:
            return succeed(Completion(text=f"re {text}", model="watcher-1"))
        call = next(self.numbers)
        done: Deferred[Completion] = Deferred(lambda _: self._forget(call))
        self.calls[call] = (text, done)
        self.most = max(self.most, len(self.calls))
        if len(self.calls) > SLOTS:
            self.wrong.append(f"{text}: more turns than slots")
        return done

    def _forget(self, call: int) -> None:
        self.calls.pop(call, None)

    def end(self, which: int, problem: AgentError | None) -> None:
        call = sorted(self.calls)[which % len(self.calls)]
        text, done = self.calls.pop(call)
        if problem is not None:
            done.errback(problem)
        else:
            done.callback(Completion(text=f"re {text}", model="watcher-1"))

    def die(self) -> None:
        """The process that called is gone."""
        self.calls.clear()


class Road(RuleBasedStateMachine):
    """What happens."""

    def __init__(self) -> None:
        super().__init__()
        self.agent = Watcher()
        self.numbers = itertools.count()
        self.road = MemoryGateway(
            Settings(gateway=OPEN_DOOR, agent=AgentSettings(max_concurrent_turns=SLOTS, max_attempts=3, retry_max_secs=20.0)), agent=self.agent
        )
        self.waiting: list[Pending] = []
        self.asking: list[Pending] = []
        self.promised: set[str] = set()
        self.dropped: set[str] = set()
        self.ended: dict[str, Item] = {}
        self.is_broken = self.is_held = False

    def _send(self, session: str | None, key: str | None, prefer: str) -> Pending:
        text = f"{session or '-'}:{next(self.numbers)}"
        named = {"X-Session-Id": session, "X-Idempotency-Key": key, "Prefer": prefer or None}
        headers = {name: value for name, value in named.items() if value is not None}
        return self.road.client.begin("POST", "/webhook", {"message": text}, headers=headers)

    @rule(session=SESSIONS, key=KEYS)
    def ask(self, session: str | None, key: str | None) -> None:
        self.waiting.append(self._send(session, key, ""))

    @rule(session=SESSIONS, key=KEYS)
    def tell(self, session: str | None, key: str | None) -> None:
        self.asking.append(self._send(session, key, "respond-async"))

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 100))
    def leave(self, which: int) -> None:
        caller = self.waiting.pop(which % len(self.waiting))
        if not caller.is_answered:
            caller.leave()

    @precondition(lambda self: self.agent.calls)
    @rule(which=st.integers(0, 100), problem=st.sampled_from([None, None, None, AgentOverloaded, AgentAuth, AgentRateLimited]))
    def end_a_turn(self, which: int, problem: type[AgentError] | None) -> None:
        self.agent.end(which, problem(retry_after_seconds=15.0) if problem is not None else None)
        self.road.pump()

    @rule(is_broken=st.booleans())
    def break_or_mend_the_store(self, is_broken: bool) -> None:
        self.is_broken = is_broken
        self.road.store.break_writes("disk full" if is_broken else "")

    @rule()
    def hold_or_release_writes(self) -> None:
        if self.is_held:
            self.road.store.release_writes()
        else:
            self.road.store.hold_writes()
        self.is_held = not self.is_held
        self.road.pump()

    @rule(seconds=st.sampled_from([0.5, 2.0, 7.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        self.road.clock.advance(seconds)

    @precondition(lambda self: not self.is_broken and not self.is_held)
    @rule(which=st.integers(0, 100))
    def drop(self, which: int) -> None:
        found = items(self.road)
        if found:
            told = found[which % len(found)].id
            if self.road.client.post(f"/api/inbox/{told}/drop").status == 200:
                self.dropped.add(told)

    @rule()
    def kill_and_restart(self) -> None:
        self._collect()
        self._next(kill=True)

    @precondition(lambda self: not self.is_held)
    @rule()
    def stop_and_restart(self) -> None:
        stopping = self.road.stop()
        for _ in range(40):
            self.road.clock.advance(1)
        now(stopping)
        self._collect()
        assert all(caller.is_answered for caller in self.waiting), "a stop left a caller without an answer"
        self._next(kill=False)

    def _next(self, *, kill: bool) -> None:
        self.agent.die()
        self.is_broken = self.is_held = False
        self.road = self.road.restart(kill=kill)
        self.waiting, self.asking = [], []

    def _collect(self) -> None:
        for caller in [*self.waiting, *self.asking]:
            assert caller.raw.count(b"HTTP/1.1 ") <= 1, "answered twice"
        for caller in [caller for caller in self.asking if caller.is_answered]:
            assert caller.response.status in (202, 200, 503), caller.response
            if caller.response.status == 202:
                self.promised.add(caller.response.json["id"])
            self.asking.remove(caller)
        for caller in [caller for caller in self.waiting if caller.is_answered]:
            assert caller.response.status in (200, 408, 409, 500, 503), caller.response
            if caller.response.status == 408:
                self.promised.add(caller.response.headers["location"].rpartition("/")[2])
            self.waiting.remove(caller)

    @invariant()
    def outcomes_never_change(self) -> None:
        self._collect()
        assert self.agent.wrong == []
        found = {one.id: one for one in items(self.road)}
        for told, before in self.ended.items():
            assert (found[told].state, found[told].answer) == (before.state, before.answer)
        assert self.promised <= found.keys(), "a promise was lost"
        self.ended |= {told: one for told, one in found.items() if one.state in (State.DONE, State.DROPPED)}

    def teardown(self) -> None:
        self.road.store.break_writes("")
        self.road.store.release_writes()
        self.agent.answers_at_once = True
        while self.agent.calls:
            self.agent.end(0, None)
            self.road.pump()
        for _ in range(20):
            self.road.clock.advance(20)
        self.outcomes_never_change()
        found = {one.id: one for one in items(self.road)}
        assert [one for one in found.values() if one.is_open] == [], "something runs for ever"
        assert [one for one in found.values() if one.state is State.DONE and one.answer != f"re {one.text}"] == []
        for told in self.promised - self.dropped:
            assert found[told].state in (State.DONE, State.DEAD), (found[told], "a promise was dropped")
        assert (self.waiting, self.asking) == ([], []), "somebody waits for ever"
        self._no_slot_leaked()
        stop(self.road)
        assert [call for call in self.road.clock.reactor.getDelayedCalls() if call.active() and "Channel" not in repr(call)] == []

    def _no_slot_leaked(self) -> None:
        self.agent.answers_at_once, self.agent.most = False, 0
        callers = [self._send(None, None, "") for _ in range(SLOTS * 2)]
        assert self.agent.most == SLOTS, "a slot leaked"
        while self.agent.calls:
            self.agent.end(0, None)
            self.road.pump()
        assert [caller.response.status for caller in callers] == [200] * len(callers)
        assert self.road.gateway.ingress.waiters._count == 0


TestRoad = Road.TestCase
TestRoad.settings = settings(max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
