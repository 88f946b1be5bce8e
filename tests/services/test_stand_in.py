"""A model that stands over the configured one (`LiveSettings.stand_in`; design §4.18)."""

from __future__ import annotations

import msgspec
import pytest
from twisted.internet.defer import Deferred

from clawgate.domain.errors import NotApplied
from clawgate.domain.secret import Secret
from clawgate.domain.settings import Settings
from clawgate.services.settings import LiveSettings
from clawgate.testing.gateway import MemoryGateway


def live(gate: MemoryGateway) -> LiveSettings:
    return gate.gateway.live


def stand_in(gate: MemoryGateway, **fields: object) -> Deferred[None]:
    return Deferred.fromCoroutine(live(gate).stand_in(lambda settings: msgspec.structs.replace(settings, **fields)))


@pytest.fixture
def gate() -> MemoryGateway:
    return MemoryGateway(Settings(default_provider="offline", default_model="own", api_key=Secret("k")))


def reload(gate: MemoryGateway) -> None:
    Deferred.fromCoroutine(live(gate).reload())
    gate.pump()


def test_it_is_in_force_and_nothing_is_written(gate: MemoryGateway) -> None:
    stand_in(gate, default_model="other")
    gate.pump()

    assert (live(gate).settings.default_model, gate.config.writes) == ("other", 0)


def test_the_next_one_begins_with_the_configured_model_and_key(gate: MemoryGateway) -> None:
    stand_in(gate, default_model="other", api_key=None)
    stand_in(gate, default_temperature=0.1)
    gate.pump()

    assert (live(gate).settings.default_model, live(gate).settings.api_key) == ("own", Secret("k"))


def test_it_outlives_a_reload_of_something_else(gate: MemoryGateway) -> None:
    stand_in(gate, default_model="other")
    gate.config.base["default_temperature"] = 0.2
    reload(gate)

    assert (live(gate).settings.default_model, live(gate).settings.default_temperature) == ("other", 0.2)


def test_it_ends_when_the_configuration_names_another_model(gate: MemoryGateway) -> None:
    stand_in(gate, default_model="other")
    gate.config.base["default_model"] = "new"
    reload(gate)
    gate.config.base["default_temperature"] = 0.2
    reload(gate)

    assert live(gate).settings.default_model == "new"


def test_one_that_cannot_work_any_more_ends(gate: MemoryGateway) -> None:
    def needs_warmth(settings: Settings) -> Settings:
        if settings.default_temperature == 0.0:
            raise NotApplied({"default_model": "too cold"})
        return msgspec.structs.replace(settings, default_model="other")

    Deferred.fromCoroutine(live(gate).stand_in(needs_warmth))
    gate.config.base["default_temperature"] = 0.0
    reload(gate)

    assert (live(gate).settings.default_model, live(gate).settings.default_temperature) == ("own", 0.0)


def test_one_that_raises_changes_nothing(gate: MemoryGateway) -> None:
    def refuse(settings: Settings) -> Settings:
        raise NotApplied({"default_model": "no"})

    failed = Deferred.fromCoroutine(live(gate).stand_in(refuse))
    problems: list[object] = []
    failed.addErrback(lambda failure: problems.append(failure.value))

    assert isinstance(problems[0], NotApplied)
    assert live(gate).settings.default_model == "own"
