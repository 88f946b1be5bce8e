"""A change of the settings is whole or not at all, wherever it fails (design §6)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from twisted.internet.defer import Deferred, fail, succeed

from clawgate.domain.errors import Conflict, Invalid, NotApplied, Unavailable
from clawgate.domain.overlay import Change
from clawgate.domain.settings import Settings
from clawgate.domain.settings.changes import Changes
from clawgate.domain.settings.edits import Edit, Target
from clawgate.ports.parts import Prepared
from clawgate.services.events import Events
from clawgate.services.health import Health
from clawgate.services.live_parts import Swap
from clawgate.services.settings import PREPARE_SECONDS, READ_SECONDS, LiveSettings
from clawgate.testing.case import TestCase
from clawgate.testing.clock import ManualClock

OLD, NEW = Settings(default_model="old"), Settings(default_model="new")
EDIT = Edit(target=Target.OVERLAY, changes=(Change(("default_model",), "new"),))


class Part(msgspec.Struct, eq=False):
    """A component with a state; `fails` says where it breaks."""

    name: str
    log: list[str]
    state: str = "old"
    fails: str = ""
    waits: dict[str, Deferred[None]] = {}

    async def prepare(self, old: Settings, new: Settings) -> Prepared | None:
        self.log.append(f"prepare {self.name}")
        await self._at("prepare")
        if self.fails == "unconcerned":
            return None

        def commit() -> None:
            self.log.append(f"commit {self.name}")
            if self.fails == "commit":
                raise ValueError("a bug")
            self.state = new.default_model

        async def abandon() -> None:
            self.log.append(f"abandon {self.name}")
            await self._at("abandon")

        async def retire() -> None:
            self.log.append(f"retire {self.name}")
            await self._at("retire")
            self.log.append(f"retired {self.name}")

        return Swap(commit, abandon, retire)

    async def _at(self, point: str) -> None:
        if point in self.waits:
            await self.waits[point]
        if self.fails == point:
            raise NotApplied({self.name: "cannot"})
        if self.fails == f"{point} broken":
            raise KeyError("a bug")


class Store:
    """Both files; `problems` by operation."""

    def __init__(self, log: list[str]) -> None:
        self.log, self.written, self.problems = log, False, dict[str, Exception]()
        self.fresh, self.hangs = NEW, False

    def _do(self, what: str) -> Deferred[Settings]:
        self.log.append(what)
        if self.hangs:
            return Deferred()
        problem = self.problems.get(what)
        return fail(problem) if problem is not None else succeed(self.fresh)

    def load(self) -> Deferred[Settings]:
        return self._do("load")

    def preview(self, edit: Edit) -> Deferred[Settings]:
        return self._do("preview")

    def write(self, edit: Edit) -> Deferred[str]:
        def wrote(_: object) -> str:
            self.written = True
            return OLD.config_fingerprint

        return self._do("write").addCallback(wrote)


class House:
    """Three parts, one store."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.clock = ManualClock()
        self.store = Store(self.log)
        self.health, self.events = Health(self.clock, 1), Events(self.clock)
        self.parts = [Part(name, self.log) for name in "abc"]
        self.seen: list[Settings] = []
        self.live = LiveSettings(self.store, self.events, self.health, self.clock, OLD, self.seen.append, list(self.parts))

    def change(self, make: Callable[[Settings], Edit] = lambda _: EDIT) -> Deferred[Changes]:
        return Deferred.fromCoroutine(self.live.change(make))

    def reload(self) -> Deferred[Changes | None]:
        return Deferred.fromCoroutine(self.live.reload())

    def is_as_before(self) -> bool:
        return (self.live.settings, self.store.written, [part.state for part in self.parts], self.seen, self.events.recent()) == (
            OLD,
            False,
            ["old"] * 3,
            [],
            (),
        )


def outcome(deferred: Deferred[Changes]) -> object:
    found: list[object] = []
    deferred.addCallbacks(found.append, lambda failure: found.append(failure.value))
    assert found, "no outcome yet"
    return found[0]


def test_a_change_is_prepared_written_and_then_in_force_all_at_once() -> None:
    house = House()
    assert outcome(house.change()) == Changes(live=("default_model",))
    assert house.log == [
        "preview", "prepare a", "prepare b", "prepare c", "write", "commit a", "commit b", "commit c",
        "retire a", "retired a", "retire b", "retired b", "retire c", "retired c",
    ]  # fmt: skip
    assert (house.live.settings, house.seen, [part.state for part in house.parts]) == (NEW, [NEW], ["new"] * 3)
    assert [(event.kind, event.data) for event in house.events.recent()] == [("config_changed", {"live": ["default_model"], "restart": []})]


@pytest.mark.parametrize("where", [0, 1, 2])
@pytest.mark.parametrize("how", ["prepare", "prepare broken"])
def test_a_part_that_cannot_follow_leaves_everything_as_it_was(where: int, how: str) -> None:
    house = House()
    house.parts[where].fails = how
    problem = outcome(house.change())
    assert isinstance(problem, NotApplied)
    assert list(problem.errors) == ["abc"[where]]
    assert house.log[where + 2 :] == [f"abandon {name}" for name in reversed("abc"[:where])]
    assert house.is_as_before()


@pytest.mark.parametrize(
    ("problem", "told"), [(OSError("disk full"), Unavailable), (Conflict("changed"), Conflict), (Invalid("x", "no TOML"), Invalid)]
)
def test_what_cannot_be_written_leaves_everything_as_it_was(problem: Exception, told: type[Exception]) -> None:
    house = House()
    house.store.problems["write"] = problem
    assert isinstance(outcome(house.change()), told)
    assert house.log[4:] == ["write", "abandon c", "abandon b", "abandon a"]
    assert house.is_as_before()


def test_what_cannot_work_reaches_no_part() -> None:
    house = House()
    house.store.problems["preview"] = Invalid("default_model", "no")
    assert isinstance(outcome(house.change()), Invalid)
    assert house.log == ["preview"]
    assert house.is_as_before()


def test_an_edit_that_cannot_be_made_reaches_nothing() -> None:
    def make(settings: Settings) -> Edit:
        raise Conflict("not now")

    house = House()
    assert isinstance(outcome(house.change(make)), Conflict)
    assert house.log == []


def test_a_failing_abandon_does_not_keep_the_others_from_theirs() -> None:
    house = House()
    house.parts[1].fails, house.store.problems["write"] = "abandon broken", Conflict("changed")
    assert isinstance(outcome(house.change()), Conflict)
    assert house.log[-3:] == ["abandon c", "abandon b", "abandon a"]


def test_a_part_that_takes_too_long_is_cut_off_and_the_change_undone() -> None:
    house = House()
    house.parts[1].waits["prepare"] = Deferred()
    changing = house.change()
    house.clock.advance(PREPARE_SECONDS - 1)
    assert not changing.called
    house.clock.advance(2)
    problem = outcome(changing)
    assert isinstance(problem, NotApplied)
    assert problem.errors == {"b": "was not ready within 60 s"}
    assert house.is_as_before()
    assert house.clock.pending == 0


def test_files_that_cannot_be_read_in_time_refuse_a_change_and_are_told_to_health() -> None:
    house = House()
    house.store.hangs = True
    changing, reloading = house.change(), house.reload()
    house.clock.advance(READ_SECONDS)
    assert isinstance(outcome(changing), Unavailable)
    house.clock.advance(READ_SECONDS)
    assert outcome(reloading) is None  # type: ignore[arg-type]  # None is what a reload may give
    assert house.health.snapshot().components["config"].last_error == "the files of the configuration were not read within 30 s"
    assert house.is_as_before()
    house.store.hangs = False
    assert isinstance(outcome(house.change()), Changes)
    assert house.clock.pending == 0


def test_an_unconcerned_part_is_left_alone() -> None:
    house = House()
    house.parts[1].fails = "unconcerned"
    outcome(house.change())
    assert [line for line in house.log if line.endswith("b")] == ["prepare b"]


def test_changes_come_one_after_the_other_each_for_the_settings_of_its_turn() -> None:
    house, gate, saw = House(), Deferred[None](), list[str]()
    house.parts[0].waits["prepare"] = gate
    first = house.change()

    def make(settings: Settings) -> Edit:
        saw.append(settings.default_model)
        return EDIT

    second = house.change(make)
    assert saw == []
    gate.callback(None)
    house.parts[0].waits.clear()
    outcome(first)
    outcome(second)
    assert saw == ["new"]


def test_a_caller_that_leaves_does_not_leave_half_a_change() -> None:
    house, gate = House(), Deferred[None]()
    house.parts[1].waits["prepare"] = gate
    changing = house.change()
    changing.cancel()
    changing.addErrback(lambda _: None)
    gate.callback(None)
    assert (house.live.settings, house.store.written, [part.state for part in house.parts]) == (NEW, True, ["new"] * 3)


def test_nobody_waits_for_what_is_retired() -> None:
    house = House()
    house.parts[0].waits["retire"] = Deferred()
    assert isinstance(outcome(house.change()), Changes)
    assert "retired a" not in house.log
    outcome(house.change())
    house.parts[0].waits["retire"].callback(None)
    assert house.log.count("retired a") == 2


def test_too_many_that_wait_are_refused() -> None:
    house = House()
    house.parts[0].waits["prepare"] = Deferred()
    waiting = [house.change() for _ in range(33)]
    assert isinstance(outcome(house.change()), Unavailable)
    house.parts[0].waits.pop("prepare").callback(None)
    assert all(isinstance(outcome(change), Changes) for change in waiting)


def test_after_the_stop_nothing_changes_any_more() -> None:
    house = House()
    house.parts[0].waits["retire"] = Deferred()
    outcome(house.change())
    stopping = Deferred.fromCoroutine(house.live.stop())
    assert stopping.called
    assert isinstance(outcome(house.change()), Unavailable)
    before = list(house.log)
    assert outcome(house.reload()) is None  # type: ignore[arg-type]  # None is what a reload may give
    assert house.log == before


class TestFiles(TestCase):
    """What a hand changed."""

    def test_files_are_taken_up_without_being_written(self) -> None:
        house = House()
        assert self.successResultOf(house.reload()) == Changes(live=("default_model",))
        assert (house.live.settings, house.store.written) == (NEW, False)
        assert "write" not in house.log

    def test_a_bad_file_leaves_the_last_good_settings_and_says_so(self) -> None:
        house = House()
        house.store.problems["load"] = Invalid("gateway.port", "is text", "Write a number")
        assert self.successResultOf(house.reload()) is None
        assert house.is_as_before()
        report = house.health.snapshot().components["config"]
        assert (report.status, report.last_error) == ("error", "gateway.port: is text. Write a number")
        del house.store.problems["load"]
        self.successResultOf(house.reload())
        assert house.health.unhealthy() == []

    def test_a_part_that_cannot_follow_a_file_leaves_the_last_good_settings(self) -> None:
        house = House()
        house.parts[2].fails = "prepare"
        assert self.successResultOf(house.reload()) is None
        assert house.is_as_before()
        assert house.health.snapshot().components["config"].last_error == "c: cannot"

    def test_settings_for_the_next_start_are_told_as_such(self) -> None:
        house = House()
        house.store.fresh = msgspec.structs.replace(OLD, gateway=msgspec.structs.replace(OLD.gateway, port=1))
        assert self.successResultOf(house.reload()) == Changes(restart=("gateway.port",))

    def test_a_commit_that_breaks_its_port_stops_nobody_elses(self) -> None:
        house = House()
        house.parts[0].fails = "commit"
        self.successResultOf(house.reload())
        assert [part.state for part in house.parts] == ["old", "new", "new"]
        self.flushLoggedErrors(ValueError)

    def test_a_storm_of_reloads_is_one_that_runs_and_one_that_waits(self) -> None:
        house = House()
        held = house.parts[0].waits["prepare"] = Deferred()
        storm = [house.reload() for _ in range(1_000)]
        change = house.change()
        assert not change.called
        del house.parts[0].waits["prepare"]
        held.callback(None)
        assert house.log.count("load") == 2
        assert [self.successResultOf(reload) for reload in storm[1:]] == [Changes()] * 999
        assert isinstance(self.successResultOf(change), Changes)
        self.successResultOf(house.reload())
        assert house.log.count("load") == 3
