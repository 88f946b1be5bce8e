"""Exchanging the backend under running turns, and backends for single calls (design §5, §6)."""

from __future__ import annotations

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain.errors import AgentUnavailable, BadRequest, Invalid, Overloaded
from clawgate.domain.secret import Secret
from clawgate.domain.settings import Settings, providers
from clawgate.domain.settings.model import AgentSettings
from clawgate.services.backends import MOST_NAMED, Backends, Lease
from clawgate.testing.agents import ScriptedAgent
from clawgate.testing.case import TestCase
from clawgate.testing.clock import ManualClock


class _Slow(ScriptedAgent):
    """Its start is the test's to finish."""

    starting: Deferred[None] = msgspec.field(default_factory=Deferred)

    def start(self) -> Deferred[None]:
        return self.starting


class Shop:
    """Backends made of scripted agents; what was built is kept."""

    def __init__(self, **settings: object) -> None:
        self.settings = msgspec.structs.replace(
            Settings(default_provider="openai", default_model="big", api_key=Secret("sk-own-key"), agent=AgentSettings(turn_timeout_secs=10)),
            **settings,
        )
        self.clock = ManualClock()
        self.built: list[tuple[Settings, ScriptedAgent]] = []
        self.kind: type[ScriptedAgent] = ScriptedAgent
        self.problem: Invalid | None = None
        self.first = ScriptedAgent()
        self.backends = Backends(self.first, self.build, lambda: self.settings, self.clock)

    def build(self, settings: Settings) -> ScriptedAgent:
        if self.problem is not None:
            raise self.problem
        self.built.append((settings, self.kind()))
        return self.built[-1][1]

    def named(self, provider: str, model: str = "") -> Deferred[Lease]:
        return Deferred.fromCoroutine(self.backends.named(provider, model))


class TestExchange(TestCase):
    def setUp(self) -> None:
        self.shop = Shop()
        self.successResultOf(Deferred.fromCoroutine(self.shop.backends.start()))

    def test_a_turn_keeps_the_backend_it_began_with(self) -> None:
        lease, second = self.shop.backends.lease(), ScriptedAgent()
        self.shop.backends.swap(second)
        assert lease.backend is self.shop.first
        assert self.shop.backends.lease().backend is second

    def test_a_replaced_backend_is_closed_when_its_last_turn_has_ended(self) -> None:
        one, other = self.shop.backends.lease(), self.shop.backends.lease()
        closing = self.shop.backends.swap(ScriptedAgent())()
        one.release()
        one.release()
        assert self.shop.first.is_started
        other.release()
        self.successResultOf(closing)
        assert not self.shop.first.is_started

    def test_a_replaced_backend_without_turns_is_closed_at_once(self) -> None:
        self.successResultOf(self.shop.backends.swap(ScriptedAgent())())
        assert not self.shop.first.is_started

    def test_a_replaced_backend_is_closed_after_a_while_whatever_runs(self) -> None:
        self.shop.backends.lease()
        closing = self.shop.backends.swap(ScriptedAgent())()
        self.shop.clock.advance(9.9)
        assert self.shop.first.is_started
        self.shop.clock.advance(0.2)
        self.successResultOf(closing)
        assert not self.shop.first.is_started

    def test_a_closing_that_is_cut_short_closes_at_once(self) -> None:
        self.shop.backends.lease()
        closing = self.shop.backends.swap(ScriptedAgent())()
        closing.cancel()
        self.failureResultOf(closing)
        assert (self.shop.first.is_started, self.shop.clock.pending) == (False, 0)

    def test_backends_by_name_go_with_the_configured_one(self) -> None:
        self.successResultOf(self.shop.named("anthropic")).release()
        self.successResultOf(self.shop.backends.swap(ScriptedAgent())())
        assert not self.shop.built[0][1].is_started
        self.successResultOf(self.shop.named("anthropic"))
        assert len(self.shop.built) == 2

    def test_stopping_closes_all(self) -> None:
        self.successResultOf(self.shop.named("anthropic"))
        self.successResultOf(Deferred.fromCoroutine(self.shop.backends.stop()))
        assert [agent.is_started for agent in (self.shop.first, self.shop.built[0][1])] == [False, False]
        self.failureResultOf(self.shop.named("gemini"), AgentUnavailable)


class TestByName(TestCase):
    def setUp(self) -> None:
        self.shop = Shop()

    def test_nothing_and_the_configured_one_are_the_configured_one(self) -> None:
        leases = [self.successResultOf(self.shop.named(name)) for name in ("", "openai", " OpenAI ")]
        assert [lease.backend for lease in leases] == [self.shop.first] * 3
        assert [lease.model for lease in leases] == ["big"] * 3

    def test_the_calls_model_goes_before_the_configured_one(self) -> None:
        assert self.successResultOf(self.shop.named("", "small")).model == "small"

    def test_another_provider_is_built_once_with_its_own_key_and_default_model(self) -> None:
        first, second = (self.successResultOf(self.shop.named("kimi", model)) for model in ("", "k2"))
        assert first.backend is second.backend
        assert (first.model, second.model) == ("", "k2")
        ((settings, agent),) = self.shop.built
        assert (settings.default_provider, settings.default_model, settings.api_key) == ("moonshot", "", None)
        assert agent.is_started

    def test_programs_files_and_urls_cannot_be_named_by_a_call(self) -> None:
        for name in ("command:sh -c id", "custom:http://169.254.169.254/", "local:/etc/passwd", "nobody", "x" * 1000):
            self.failureResultOf(self.shop.named(name), BadRequest)
        assert self.shop.built == []

    def test_a_configured_program_may_be_named_as_it_is_configured(self) -> None:
        shop = Shop(default_provider="command:/bin/agent")
        assert self.successResultOf(shop.named("command:/bin/agent")).backend is shop.first

    def test_two_calls_wait_for_one_start(self) -> None:
        self.shop.kind = _Slow
        one, two = self.shop.named("gemini"), self.shop.named("gemini")
        self.assertNoResult(one)
        agent = self.shop.built[0][1]
        assert isinstance(agent, _Slow)
        agent.starting.callback(None)
        assert self.successResultOf(one).backend is self.successResultOf(two).backend is agent

    def test_a_start_that_fails_fails_both_and_is_tried_anew(self) -> None:
        self.shop.kind = _Slow
        one, two = self.shop.named("gemini"), self.shop.named("gemini")
        agent = self.shop.built[0][1]
        assert isinstance(agent, _Slow)
        agent.starting.errback(OSError("no"))
        for call in (one, two):
            self.failureResultOf(call, AgentUnavailable)
        self.shop.kind = ScriptedAgent
        assert self.successResultOf(self.shop.named("gemini")).backend is self.shop.built[1][1]

    def test_settings_that_cannot_work_are_unavailable(self) -> None:
        self.shop.problem = Invalid("default_provider", "no")
        self.failureResultOf(self.shop.named("gemini"), AgentUnavailable)

    def test_the_one_unused_longest_makes_room(self) -> None:
        others = [name for name in providers.VENDORS if name != "openai"]
        assert len(others) > MOST_NAMED
        for name in others[:MOST_NAMED]:
            self.successResultOf(self.shop.named(name)).release()
        self.successResultOf(self.shop.named(others[0])).release()
        self.successResultOf(self.shop.named(others[MOST_NAMED])).release()
        closed = [settings.default_provider for settings, agent in self.shop.built if not agent.is_started]
        assert closed == [others[1]]

    def test_too_many_in_use_are_refused(self) -> None:
        others = [name for name in providers.VENDORS if name != "openai"]
        for name in others[:MOST_NAMED]:
            self.successResultOf(self.shop.named(name))
        self.failureResultOf(self.shop.named(others[MOST_NAMED]), Overloaded)
