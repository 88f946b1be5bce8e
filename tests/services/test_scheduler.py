"""Ticks: each is run once, also across restarts; what is missed, what is delivered, what is uncertain. Source: rantaiclaw.md §12, §17; design §1."""

from __future__ import annotations

import pytest

from clawgate.domain.errors import AgentBadRequest, Overloaded
from clawgate.domain.times import rfc3339
from clawgate.ports.processes import Finished
from clawgate.testing.agents import Hang
from clawgate.testing.channels import RecordingChannel
from tests.services.cron_gate import JOBS, MINUTE, CronGate


def at(gate: CronGate, seconds: int) -> dict[str, object]:
    return {"kind": "at", "at": rfc3339(gate.gate.clock.wall_ms() + seconds * 1000)}


# --- ticks


def test_job_runs_at_each_tick_and_not_before() -> None:
    gate = CronGate()
    job_id = gate.add()
    gate.later(59)
    assert gate.runs(job_id) == []
    gate.later(1)
    gate.later(60)
    assert (gate.statuses(job_id), gate.agent.calls) == (["ok", "ok"], 2)
    assert [prompt.question for prompt in gate.agent.prompts] == ["hi", "hi"]
    shown = gate.job(job_id)
    assert (shown["last_status"], shown["last_output"], shown["last_run"]) == ("ok", "ok", "2027-01-15T08:02:00.000+00:00")


def test_rhythm_does_not_drift() -> None:
    gate = CronGate()
    job_id = gate.add()
    gate.later(1_000)
    assert gate.job(job_id)["next_run"] == "2027-01-15T08:17:00.000+00:00"
    assert len(gate.runs(job_id)) == 16


def test_calendar_job_follows_its_zone() -> None:
    gate = CronGate()
    job_id = gate.add({"kind": "cron", "expr": "30 9 * * *", "tz": "Europe/Berlin"})
    assert gate.job(job_id)["next_run"] == "2027-01-15T08:30:00.000+00:00"
    gate.later(1_800)
    assert (gate.statuses(job_id), gate.job(job_id)["next_run"]) == (["ok"], "2027-01-16T08:30:00.000+00:00")


def test_job_of_one_moment_goes_after_it_went_well() -> None:
    gate = CronGate()
    job_id = gate.add(at(gate, 30))
    gate.later(31)
    assert (gate.has(job_id), gate.runs(job_id), gate.agent.calls) == (False, [], 1)


def test_job_of_one_moment_that_failed_stays_switched_off() -> None:
    gate = CronGate([AgentBadRequest("no")])
    job_id = gate.add(at(gate, 30))
    gate.later(3_600)
    shown = gate.job(job_id)
    assert (shown["enabled"], shown["last_status"], gate.agent.calls) == (False, "failed", 1)
    assert gate.ask("PUT", f"/{job_id}", {"enabled": True}).status == 400


def test_tick_is_passed_over_while_the_run_before_it_lasts() -> None:
    gate = CronGate(held=True)
    job_id = gate.add()
    gate.later(185)
    assert (gate.statuses(job_id), gate.agent.calls) == (["running"], 1)
    gate.agent.release()
    gate.later(0)
    assert gate.statuses(job_id) == ["ok"]
    gate.later(60)
    assert gate.agent.calls == 2


def test_switched_off_job_and_switched_off_scheduler_run_nothing() -> None:
    gate = CronGate(scheduler=False)
    job_id = gate.add()
    gate.later(600)
    assert gate.runs(job_id) == []
    assert gate.gate.client.get("/health").json["runtime"]["components"]["scheduler"]["status"] == "ok"
    other = CronGate()
    off = other.add()
    other.ask("PUT", f"/{off}", {"enabled": False})
    other.later(600)
    assert other.runs(off) == []


def test_cron_that_is_off_runs_nothing_after_a_restart() -> None:
    gate = CronGate()
    job_id = gate.add()
    gate.settings = CronGate(enabled=False).settings
    gate.again()
    gate.later(600)
    assert gate.runs(job_id) == []


def test_removed_job_is_not_run() -> None:
    gate = CronGate()
    job_id = gate.add()
    gate.ask("DELETE", f"/{job_id}")
    gate.later(600)
    assert gate.agent.calls == 0


def test_jobs_share_a_look() -> None:
    gate = CronGate()
    ids = [gate.add({"kind": "cron", "expr": "5 8 * * *"}) for _ in range(5)]
    gate.later(300)
    assert [gate.statuses(job_id) for job_id in ids] == [["ok"]] * 5


# --- restarts


def test_tick_that_was_run_before_the_crash_is_not_run_again() -> None:
    gate = CronGate()
    job_id = gate.add()
    gate.later(60)
    gate.again()
    gate.later(59)
    assert (gate.agent.calls, gate.statuses(job_id)) == (1, ["ok"])


def test_run_that_was_under_way_goes_on_after_the_crash_and_is_one_run() -> None:
    gate = CronGate(held=True)
    job_id = gate.add()
    gate.later(60)
    assert gate.statuses(job_id) == ["running"]
    gate.again()
    gate.later(1)
    gate.agent.release()
    gate.later(20)
    runs = gate.runs(job_id)
    assert [(run["status"], run["output"]) for run in runs] == [("ok", "ok")]
    items = gate.gate.client.get("/api/inbox").json["items"]
    assert [(item["source"], item["id"]) for item in items] == [("cron", runs[0]["item_id"])]


def test_run_whose_item_was_never_accepted_is_accepted_after_the_crash() -> None:
    gate = CronGate()
    job_id = gate.add()
    gate.gate.gateway.ingress.close()
    gate.later(60)
    assert (gate.statuses(job_id), gate.agent.calls) == (["running"], 0)
    gate.again()
    gate.later(1)
    assert (gate.statuses(job_id), gate.agent.calls) == (["ok"], 1)


def test_run_that_ended_while_nobody_looked_is_finished_at_the_next_start() -> None:
    gate = CronGate([Hang()])
    job_id = gate.add()
    gate.later(60)
    item_id = gate.runs(job_id)[0]["item_id"]
    gate.agent.answers = ["done"]
    gate.again()
    gate.later(1)
    assert gate.gate.client.get(f"/api/inbox/{item_id}").json["state"] == "done"
    assert gate.statuses(job_id) == ["ok"]


def test_old_run_without_an_item_is_uncertain() -> None:
    gate = CronGate()
    job_id = gate.add()
    gate.gate.gateway.ingress.close()
    gate.later(60)
    gate.again(later_ms=7 * 86_400_000)
    gate.later(0)
    assert gate.statuses(job_id)[-1] == "uncertain"


def test_missed_ticks_are_made_up_for_by_one_run() -> None:
    gate = CronGate(missed_runs="once")
    job_id = gate.add()
    gate.again(later_ms=3_605_000)
    gate.later(0)
    assert (gate.statuses(job_id), gate.agent.calls) == (["ok"], 1)
    assert gate.job(job_id)["next_run"] == "2027-01-15T09:01:00.000+00:00"
    gate.again()
    gate.later(0)
    assert gate.agent.calls == 1


def test_missed_ticks_are_skipped_when_that_is_wanted() -> None:
    gate = CronGate(missed_runs="skip")
    job_id = gate.add()
    gate.again(later_ms=3_605_000)
    gate.later(0)
    assert (gate.statuses(job_id), gate.agent.calls) == (["skipped"], 0)
    gate.later(60)
    assert (gate.statuses(job_id), gate.agent.calls) == (["ok", "skipped"], 1)


def test_missed_moment_that_is_skipped_leaves_its_job_switched_off() -> None:
    gate = CronGate(missed_runs="skip")
    job_id = gate.add(at(gate, 30))
    gate.again(later_ms=60_000)
    gate.later(0)
    assert (gate.job(job_id)["enabled"], gate.job(job_id)["last_status"], gate.agent.calls) == (False, "skipped", 0)


@pytest.mark.parametrize("policy", ["once", "skip"])
def test_tick_that_comes_right_after_the_start_is_not_missed(policy: str) -> None:
    gate = CronGate(missed_runs=policy)
    job_id = gate.add()
    gate.again(later_ms=59_000)
    gate.later(1)
    assert gate.statuses(job_id) == ["ok"]


def test_clock_that_steps_back_repeats_nothing() -> None:
    gate = CronGate()
    job_id = gate.add()
    gate.later(60)
    gate.gate.clock.step_wall(-600_000)
    gate.later(599)
    assert gate.statuses(job_id) == ["ok"]


# --- agents


def test_model_and_conversation_are_the_jobs() -> None:
    gate = CronGate()
    main = gate.add(session_target="main", model="m-7")
    gate.later(120)
    items = gate.gate.client.get("/api/inbox").json["items"]
    assert {item["conversation"] for item in items} == {f"cron:{main}"}
    assert [prompt.model for prompt in gate.agent.prompts] == ["m-7", "m-7"]
    assert [line.text for line in gate.agent.prompts[-1].lines] == ["hi", "ok", "hi"]


def test_answer_is_announced_on_its_channel_once() -> None:
    channel = RecordingChannel()
    gate = CronGate(["news"], channels={"recording": channel})
    job_id = gate.add(delivery={"mode": "announce", "channel": "recording", "to": "+1"})
    gate.later(61)
    assert [(sent.target, sent.text) for sent in channel.sent] == [("+1", "news")]
    gate.again()
    gate.later(1)
    assert (len(channel.sent), gate.statuses(job_id)) == (1, ["ok"])


def test_unknown_channel_is_passed_over_or_fails_the_run() -> None:
    gate = CronGate()
    answer = gate.ask("POST", "", {"schedule": MINUTE, "prompt": "hi", "delivery": {"mode": "announce", "channel": "x", "to": "y"}})
    assert answer.json["warning"] == "the channel x is not configured"
    strict = gate.add(delivery={"mode": "announce", "channel": "x", "to": "y", "best_effort": False})
    gate.later(60)
    assert gate.statuses(answer.json["id"]) == ["ok"]
    assert gate.runs(strict)[0]["output"] == "the channel x is not configured"
    assert (gate.statuses(strict), gate.agent.calls) == (["failed"], 1)


def test_nothing_acts_while_autonomy_is_read_only() -> None:
    gate = CronGate(autonomy={"level": "readonly"})
    job_id = gate.add()
    gate.later(60)
    assert (gate.runs(job_id)[0]["output"], gate.agent.calls) == ("blocked by security policy: autonomy is read-only", 0)


def test_item_that_an_operator_drops_ends_its_run() -> None:
    gate = CronGate([Hang()])
    job_id = gate.add()
    gate.later(60)
    gate.gate.client.post(f"/api/inbox/{gate.runs(job_id)[0]['item_id']}/drop")
    gate.later(0)
    assert gate.statuses(job_id) == ["failed"]


# --- shell


def test_output_of_a_program_is_announced_once_and_not_when_run_by_hand() -> None:
    channel = RecordingChannel()
    gate = CronGate(channels={"recording": channel})
    gate.processes.ends = [Finished(3, "disk full")]
    made = gate.ask("POST", "", {"schedule": MINUTE, "command": "df", "delivery": {"mode": "announce", "channel": "recording", "to": "+1"}})
    assert "warning" not in made.json
    gate.ask("POST", f"/{made.json['id']}/run")
    assert channel.sent == []
    gate.later(61)
    assert [(sent.target, sent.text) for sent in channel.sent] == [("+1", "disk full\nended with exit code 3")]
    gate.again()
    gate.later(1)
    assert (len(channel.sent), gate.agent.calls) == (1, 0)


def test_program_that_says_nothing_announces_nothing() -> None:
    channel = RecordingChannel()
    gate = CronGate(channels={"recording": channel})
    gate.processes.ends = [Finished(0, "\n")]
    job_id = gate.add(command="true", delivery={"mode": "announce", "channel": "recording", "to": "+1"})
    gate.later(61)
    assert (gate.statuses(job_id), channel.sent) == (["ok"], [])


def test_program_is_not_run_when_its_output_must_be_told_and_cannot() -> None:
    gate = CronGate()
    strict = {"mode": "announce", "channel": "x", "to": "y", "best_effort": False}
    answer = gate.ask("POST", "", {"schedule": MINUTE, "command": "df", "delivery": strict})
    assert answer.json["warning"] == "the channel x is not configured"
    gate.later(60)
    assert [(run["status"], run["output"]) for run in gate.runs(answer.json["id"])] == [("failed", "the channel x is not configured")]
    assert gate.processes.runs == []


def test_command_is_split_and_run_without_a_shell() -> None:
    gate = CronGate(job_timeout_secs=7)
    job_id = gate.add(command="echo 'a b' c")
    gate.later(60)
    assert (gate.processes.runs, gate.processes.timeouts) == ([("echo", "a b", "c")], [7.0])
    assert [(run["status"], run["output"], run["item_id"]) for run in gate.runs(job_id)] == [("ok", "done", None)]


@pytest.mark.parametrize(
    ("end", "status", "output"),
    [
        (Finished(3, "oops"), "failed", "oops\nended with exit code 3"),
        (Finished(None, ""), "failed", "ended by a signal"),
        (Finished(None, "half", timed_out=True), "timeout", "half\nended after 120 s"),
        (Finished(0, "much", is_cut=True), "ok", "much\n… (more was written)"),
    ],
)
def test_run_says_how_its_program_ended(end: Finished, status: str, output: str) -> None:
    gate = CronGate()
    gate.processes.ends = [end]
    job_id = gate.add(command="ls")
    gate.later(60)
    assert [(run["status"], run["output"]) for run in gate.runs(job_id)] == [(status, output)]
    assert gate.job(job_id)["last_status"] == status


def test_shell_run_under_way_at_the_crash_is_uncertain_and_not_repeated() -> None:
    gate = CronGate()
    gate.processes.is_held = True
    job_id = gate.add(command="ls")
    gate.later(60)
    gate.again()
    gate.later(1)
    assert (gate.statuses(job_id), len(gate.processes.runs)) == (["uncertain"], 1)
    assert gate.job(job_id)["last_status"] == "uncertain"
    gate.later(60)
    assert len(gate.processes.runs) == 2


def test_stopping_ends_programs_and_leaves_no_timer() -> None:
    gate = CronGate()
    gate.processes.is_held = True
    gate.add(command="ls")
    gate.later(60)
    stopped: list[object] = []
    gate.gate.stop().addCallback(stopped.append)
    gate.later(20)
    assert (gate.processes.cancelled, len(stopped)) == (1, 1)
    assert gate.gate.clock.pending == 0


def test_four_programs_run_at_once_and_the_others_wait() -> None:
    gate = CronGate()
    gate.processes.is_held = True
    for _ in range(6):
        gate.add(command="ls")
    gate.later(60)
    assert len(gate.processes.runs) == 4
    gate.processes.release()
    gate.later(0)
    assert len(gate.processes.runs) == 6


def test_command_that_needs_an_approval_fails_when_it_is_due_and_says_so_before() -> None:
    gate = CronGate()
    answer = gate.ask("POST", "", {"schedule": MINUTE, "command": "mkdir x"})
    assert answer.json["warning"] == "mkdir is a medium-risk command and needs approval"
    gate.later(60)
    assert gate.runs(answer.json["id"])[0]["output"] == "blocked by security policy: mkdir is a medium-risk command and needs approval"
    assert gate.processes.runs == []


def test_command_that_is_no_longer_allowed_is_not_run() -> None:
    gate = CronGate()
    job_id = gate.add(command="ls")
    gate.settings = CronGate(autonomy={"allowed_commands": ("cat",)}).settings
    gate.again()
    gate.later(60)
    assert (gate.statuses(job_id), gate.processes.runs) == (["failed"], [])


def test_hourly_budget_holds_shell_jobs_back() -> None:
    gate = CronGate(autonomy={"max_actions_per_hour": 2})
    job_id = gate.add(command="ls")
    gate.later(180)
    assert gate.statuses(job_id) == ["failed", "ok", "ok"]
    assert "max_actions_per_hour" in gate.runs(job_id)[0]["output"]


# --- the rest


def test_only_the_newest_runs_are_kept() -> None:
    gate = CronGate(runs_kept=3)
    job_id = gate.add()
    gate.later(600)
    assert [run["id"] for run in gate.runs(job_id)] == [10, 9, 8]


def test_end_of_a_run_is_written_when_the_store_is_well_again() -> None:
    gate = CronGate()
    gate.processes.is_held = True
    job_id = gate.add(command="ls")
    gate.later(60)
    gate.gate.store.break_writes("disk full")
    gate.processes.release()
    gate.later(20)
    gate.gate.store.break_writes("")
    gate.later(70)
    assert "ok" in gate.statuses(job_id)


def test_bus_tells_what_happens_without_bodies() -> None:
    gate = CronGate()
    told: list[tuple[str, dict[str, object]]] = []
    gate.gate.gateway.events.watch(lambda event: told.append((event.kind, dict(event.data))))
    job_id = gate.add(prompt="secret text", name="n")
    gate.later(60)
    gate.ask("DELETE", f"/{job_id}")
    assert [kind for kind, _ in told if kind.startswith("cron_")] == ["cron_job_created", "cron_run_started", "cron_run_finished", "cron_job_deleted"]
    assert "secret text" not in repr(told)


def test_idle_scheduler_sets_one_timer_and_looks_rarely() -> None:
    gate = CronGate()
    before = gate.gate.clock.pending
    gate.later(1)
    assert gate.gate.clock.pending == before


def test_run_whose_end_nobody_told_is_found_at_the_next_look() -> None:
    gate = CronGate(held=True)
    job_id = gate.add({"kind": "at", "at": rfc3339(gate.gate.clock.wall_ms() + 1_000)}, delete_after_run=False)
    gate.later(1)
    gate.gate.gateway.ingress.waiters.fail(gate.runs(job_id)[0]["item_id"], Overloaded("nobody tells"))
    gate.agent.release()
    gate.later(14)
    assert gate.statuses(job_id) == ["running"]
    gate.later(1)
    assert gate.statuses(job_id) == ["ok"]


def test_job_that_is_made_while_the_scheduler_looks_is_run_in_time() -> None:
    gate = CronGate()
    gate.gate.store.hold_writes()
    first = gate.gate.client.begin("POST", JOBS, {"schedule": MINUTE, "prompt": "one"})
    second = gate.gate.client.begin("POST", JOBS, {"schedule": {"kind": "every", "every_ms": 5_000}, "prompt": "two"})
    gate.gate.store.release_writes()
    gate.later(6)
    assert (first.response.status, gate.statuses(second.response.json["id"])) == (200, ["ok"])


def test_switches_are_live() -> None:
    gate = CronGate(scheduler=False)
    job_id = gate.add()
    gate.later(90)
    gate.take_up(scheduler={"enabled": True}, heartbeat={"enabled": True})
    gate.later(0)
    assert gate.statuses(job_id) == ["ok"]
    components = gate.gate.client.get("/health").json["runtime"]["components"]
    assert components["heartbeat"]["status"] == "ok"
    gate.take_up(cron={"enabled": False})
    gate.later(300)
    assert (gate.statuses(job_id), gate.ask("POST", f"/{job_id}/run").status) == (["ok"], 409)
