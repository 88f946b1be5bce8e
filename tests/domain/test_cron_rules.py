"""Rules of scheduled jobs. Source: rantaiclaw.md §12, §21 (cron)."""

from __future__ import annotations

import msgspec
import pytest

from clawgate.domain.cron import (
    OUTPUT_CHARS,
    AtSchedule,
    CronSchedule,
    Delivery,
    DeliveryMode,
    Draft,
    EverySchedule,
    Job,
    JobKind,
    Run,
    RunStatus,
    after_run,
    changed,
    ended,
    ended_as,
    inferred,
    is_skipped,
    made,
    next_every,
)
from clawgate.domain.errors import BadRequest
from clawgate.domain.inbox import Item, State

EVERY = EverySchedule(1000)


def job(**fields: object) -> Job:
    return msgspec.structs.replace(made(Draft(schedule=EVERY, prompt="hi"), "j", "me", 0, 1000), **fields)


def run(**fields: object) -> Run:
    return msgspec.structs.replace(Run(id=1, job_id="j", kind=JobKind.SHELL, tick_ms=0, started_ms=0), **fields)


@pytest.mark.parametrize(
    ("kind", "prompt", "command", "expected"),
    [
        (None, "hi", None, JobKind.AGENT),
        (None, "hi", " ", JobKind.AGENT),
        (None, None, "ls", JobKind.SHELL),
        (JobKind.SHELL, "", "ls", JobKind.SHELL),
        (None, None, None, None),
        (None, " ", "", None),
        (None, "hi", "ls", None),
        (JobKind.SHELL, "hi", None, None),
        (JobKind.AGENT, None, "ls", None),
    ],
)
def test_kind_is_inferred_from_exactly_one_of_prompt_and_command(
    kind: JobKind | None, prompt: str | None, command: str | None, expected: JobKind | None
) -> None:
    if expected is None:
        with pytest.raises(BadRequest):
            inferred(kind, prompt, command)
    else:
        assert inferred(kind, prompt, command) is expected


@pytest.mark.parametrize(
    "draft",
    [
        Draft(prompt="hi"),
        Draft(schedule=EVERY, prompt="hi", name="a\nb"),
        Draft(schedule=EVERY, prompt="hi", name="a\x7fb"),
        Draft(schedule=EVERY, prompt="hi", name="a\x9bb"),
        Draft(schedule=EVERY, prompt="hi", name="n" * 201),
        Draft(schedule=EVERY, prompt="\ud800"),
        Draft(schedule=EVERY, prompt="a\0b"),
        Draft(schedule=EVERY, command="x" * 4_097),
        Draft(schedule=EverySchedule(0), prompt="hi"),
        Draft(schedule=EverySchedule(-1), prompt="hi"),
        Draft(schedule=EverySchedule(10**15), prompt="hi"),
        Draft(schedule=EVERY, prompt="hi", delivery=Delivery(DeliveryMode.ANNOUNCE)),
        Draft(schedule=EVERY, prompt="hi", delivery=Delivery(DeliveryMode.ANNOUNCE, "linq", " ")),
    ],
)
def test_what_makes_no_job_is_refused(draft: Draft) -> None:
    with pytest.raises(BadRequest):
        made(draft, "j", "me", 0, 1)


def test_job_that_is_never_due_is_refused() -> None:
    with pytest.raises(BadRequest, match="in the future"):
        made(Draft(schedule=AtSchedule(5), prompt="hi"), "j", "me", 10, None)
    with pytest.raises(BadRequest, match="never due"):
        made(Draft(schedule=CronSchedule("0 0 30 2 *"), prompt="hi"), "j", "me", 10, None)


def test_only_a_job_of_one_moment_is_deleted_after_its_run_unless_said_otherwise() -> None:
    drafts = [Draft(schedule=schedule, prompt="hi", delete_after_run=said) for schedule in (AtSchedule(5), EVERY) for said in (None, True, False)]
    assert [made(draft, "j", "me", 0, 5).delete_after_run for draft in drafts] == [True, True, False, False, True, False]


def test_change_keeps_what_is_not_said() -> None:
    before = job(name="n", model="m")
    assert changed(before, Draft(), None) == before
    after = changed(before, Draft(prompt="new", enabled=False), None)
    assert (after.prompt, after.name, after.model, after.enabled, after.next_ms) == ("new", "n", "m", False, 1000)


def test_change_of_the_kind_brings_its_own_text() -> None:
    after = changed(job(), Draft(kind=JobKind.SHELL, command="ls"), None)
    assert (after.kind, after.command, after.prompt) == (JobKind.SHELL, "ls", None)
    for draft in (Draft(kind=JobKind.SHELL), Draft(command="ls"), Draft(prompt=" ")):
        with pytest.raises(BadRequest):
            changed(job(), draft, None)


def test_switching_on_a_job_whose_moment_has_passed_is_refused() -> None:
    past = job(schedule=AtSchedule(5), enabled=False)
    with pytest.raises(BadRequest, match="in the future"):
        changed(past, Draft(enabled=True), None)
    assert changed(past, Draft(enabled=True, schedule=AtSchedule(50)), 50).next_ms == 50


@pytest.mark.parametrize(("tick_ms", "now_ms", "expected"), [(1000, 1000, 2000), (1000, 1999, 2000), (1000, 2000, 3000), (1000, 500, 2000)])
def test_rhythm_is_kept_and_what_lies_between_is_passed_over(tick_ms: int, now_ms: int, expected: int) -> None:
    assert next_every(tick_ms, 1000, now_ms) == expected


def test_only_ticks_from_before_the_start_are_skipped_and_only_when_wanted() -> None:
    assert [is_skipped(tick, 10, policy) for tick in (9, 10, 11) for policy in ("skip", "once")] == [True, False, False, False, False, False]


@pytest.mark.parametrize(
    ("state", "status"),
    [(State.DONE, RunStatus.OK), (State.DEAD, RunStatus.FAILED), (State.UNCERTAIN, RunStatus.UNCERTAIN), (State.DROPPED, RunStatus.FAILED)],
)
def test_run_ends_as_its_item_ends(state: State, status: RunStatus) -> None:
    item = Item(id="1", source="cron", principal="me", text="hi", accepted_ms=0, state=state, attempts=3, error="timeout")
    end = ended_as(run(), item, 7)
    assert (end.status, end.attempt, end.finished_ms, end.output) == (status, 3, 7, f"{state}: timeout")
    assert ended_as(run(), msgspec.structs.replace(item, answer="yes"), 7).output == "yes"


def test_output_is_cut_and_storable() -> None:
    end = ended(run(), RunStatus.OK, "a\0\ud800" + "x" * OUTPUT_CHARS, 1)
    assert end.output is not None
    assert len(end.output) == OUTPUT_CHARS
    assert end.output.startswith("a?x")
    assert end.output.endswith("(cut)")


def test_job_wanted_once_goes_when_its_run_went_well_and_stays_when_not() -> None:
    once = job(delete_after_run=True)
    well, badly = ended(run(), RunStatus.OK, "", 1), ended(run(), RunStatus.FAILED, "no", 1)
    assert after_run(once, well) is None
    kept = [after_run(once, badly), after_run(once, msgspec.structs.replace(well, is_manual=True)), after_run(job(), well)]
    assert [each.last_status for each in kept if each is not None] == ["failed", "ok", "ok"]


def test_each_tick_and_each_run_by_hand_has_a_key_of_its_own() -> None:
    assert [run(tick_ms=5).key, run(tick_ms=6).key, run(is_manual=True).key] == ["j:5", "j:6", "j:run:1"]
