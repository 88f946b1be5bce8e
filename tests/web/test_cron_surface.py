"""`/api/v1/cron`, route by route. Source: rantaiclaw.md §12, §21 (cron), §1 (statuses and shapes)."""

from __future__ import annotations

from typing import Any

import pytest

from clawgate.domain.caller import Scope
from clawgate.domain.settings.model import GatewaySettings
from clawgate.testing.agents import Hang
from clawgate.testing.gateway import Response
from tests.services.cron_gate import JOBS, MINUTE, CronGate
from tests.web.gate import check_common, without_scope

PAIRED = GatewaySettings(api_rate_limit_per_minute=0, pair_rate_limit_per_minute=0)
UNAUTHORIZED = {"error": "unauthorized", "detail": "Pair via POST /pair, then send `Authorization: Bearer <token>`."}
WRITES = [("POST", ""), ("PUT", "/x"), ("DELETE", "/x"), ("POST", "/x/run")]
ROUTES = [("GET", ""), ("GET", "/x/runs"), *WRITES]
NO_DELIVERY = {"mode": "none", "channel": None, "to": None, "best_effort": True}


def ask(gate: CronGate, method: str, path: str = "", body: Any = b"", **options: Any) -> Response:  # as CronGate.ask
    answer = gate.ask(method, path, body, **options)
    check_common(answer)
    return answer


def refused(answer: Response) -> tuple[int, str, str]:
    return answer.status, answer.json["error"], answer.json.get("detail", "")


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_stranger_is_refused_before_the_body_is_looked_at(method: str, path: str) -> None:
    gate = CronGate(own=PAIRED)
    for body in (b"", b"{", b'{"schedule":1}'):
        answer = ask(gate, method, path, body, token="zc_" + "0" * 64)
        assert (answer.status, answer.json) == (401, UNAUTHORIZED)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_each_route_needs_its_scope(method: str, path: str) -> None:
    gate = CronGate(own=PAIRED)
    scope = Scope.READ if method == "GET" else Scope.WRITE
    assert refused(ask(gate, method, path, token=without_scope(gate.gate, scope)))[:2] == (403, "forbidden")


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_writes_and_runs_need_cron_to_be_on_and_reads_do_not(method: str, path: str) -> None:
    gate = CronGate(enabled=False)
    assert refused(ask(gate, method, path)) == (409, "cron_disabled", "cron is disabled by config (cron.enabled=false)")
    assert ask(gate, "GET").json == {"jobs": [], "count": 0, "cron_enabled": False, "scheduler_enabled": True}
    assert ask(gate, "GET", "/x/runs").json == {"runs": [], "count": 0}


def test_round_trip() -> None:
    gate = CronGate()
    made = ask(gate, "POST", "", {"schedule": {"kind": "cron", "expr": "0 9 * * *", "tz": "UTC"}, "prompt": "hi", "name": "news", "unknown": 1})
    assert made.status == 200
    job_id = made.json["id"]
    assert made.json == {
        "id": job_id,
        "expression": "0 9 * * *",
        "schedule": {"kind": "cron", "expr": "0 9 * * *", "tz": "UTC"},
        "command": "",
        "prompt": "hi",
        "name": "news",
        "job_type": "agent",
        "session_target": "isolated",
        "model": None,
        "enabled": True,
        "delivery": NO_DELIVERY,
        "delete_after_run": False,
        "created_at": "2027-01-15T08:00:00.000+00:00",
        "next_run": "2027-01-15T09:00:00.000+00:00",
        "last_run": None,
        "last_status": None,
        "last_output": None,
        "created_by": "gateway",
    }
    listed = ask(gate, "GET").json
    assert listed == {"jobs": [made.json], "count": 1, "cron_enabled": True, "scheduler_enabled": True}
    off = ask(gate, "PUT", f"/{job_id}", {"enabled": False})
    assert (off.status, off.json) == (200, {**made.json, "enabled": False})
    assert ask(gate, "DELETE", f"/{job_id}").json == {"id": job_id, "deleted": True}
    assert refused(ask(gate, "DELETE", f"/{job_id}")) == (404, "not_found", f"Cron job '{job_id}' not found")
    assert ask(gate, "GET").json["count"] == 0


def test_jobs_are_listed_by_their_next_run() -> None:
    gate = CronGate()
    ids = [gate.add({"kind": "every", "every_ms": ms}) for ms in (60_000, 5_000, 30_000)]
    assert [job["id"] for job in ask(gate, "GET").json["jobs"]] == [ids[1], ids[2], ids[0]]


def test_each_kind_of_schedule_comes_back_as_it_went_in() -> None:
    gate = CronGate()
    at = {"kind": "at", "at": "2027-01-15T10:00:00+02:00"}
    for schedule, shown in ((MINUTE, MINUTE), (at, {"kind": "at", "at": "2027-01-15T08:00:00.000+00:00"})):
        gate.gate.clock.set_wall(1_799_999_000_000)
        made = ask(gate, "POST", "", {"schedule": schedule, "command": "ls"}).json
        assert (made["schedule"], made["expression"], made["job_type"], made["prompt"]) == (shown, "", "shell", None)
        assert made["delete_after_run"] is (schedule is at)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"prompt": "hi"}, 422),
        ({"schedule": None, "prompt": "hi"}, 422),
        ({"schedule": {"kind": "weekly"}, "prompt": "hi"}, 422),
        ({"schedule": {"kind": "cron"}, "prompt": "hi"}, 422),
        ({"schedule": {"kind": "at", "at": "tomorrow"}, "prompt": "hi"}, 422),
        ({"schedule": {"kind": "every", "every_ms": "1"}, "prompt": "hi"}, 422),
        ({"schedule": MINUTE, "prompt": 1}, 422),
        ({"schedule": MINUTE, "prompt": "hi", "job_type": "cow"}, 422),
        ({"schedule": MINUTE, "prompt": "hi", "session_target": "cow"}, 422),
        ({"schedule": MINUTE, "prompt": "hi", "delivery": {"mode": "cow"}}, 422),
        ({"schedule": MINUTE}, 400),
        ({"schedule": MINUTE, "prompt": "hi", "command": "ls"}, 400),
        ({"schedule": MINUTE, "prompt": "hi", "job_type": "shell"}, 400),
        ({"schedule": MINUTE, "prompt": "hi", "name": "a\x07b"}, 400),
        ({"schedule": {"kind": "every", "every_ms": 0}, "prompt": "hi"}, 400),
        ({"schedule": {"kind": "every", "every_ms": 10**18}, "prompt": "hi"}, 400),
        ({"schedule": {"kind": "at", "at": "2027-01-15T08:00:00Z"}, "prompt": "hi"}, 400),
        ({"schedule": {"kind": "at", "at": "1970-01-01T00:00:00Z"}, "prompt": "hi"}, 400),
        ({"schedule": {"kind": "cron", "expr": "x"}, "prompt": "hi"}, 400),
        ({"schedule": {"kind": "cron", "expr": "0 0 * * *", "tz": "x"}, "prompt": "hi"}, 400),
        ({"schedule": MINUTE, "command": "rm -rf /"}, 400),
        ({"schedule": MINUTE, "command": "ls | wc"}, 400),
        ({"schedule": MINUTE, "prompt": "hi", "delivery": {"mode": "announce"}}, 400),
        (b"{", 400),
        (b"[]", 422),
    ],
)
def test_what_makes_no_job_is_refused(body: Any, status: int) -> None:  # an object, or raw bytes
    gate = CronGate()
    answer = ask(gate, "POST", "", body, headers={"Content-Type": "application/json"} if isinstance(body, bytes) else {})
    assert answer.status == status
    assert answer.json["error"] == {400: "bad_request", 422: "unprocessable"}[status]
    assert ask(gate, "GET").json["count"] == 0


def test_body_without_its_content_type_is_a_415() -> None:
    assert refused(ask(CronGate(), "POST", "", b"{}"))[:2] == (415, "unsupported_media_type")


def test_blocked_command_says_why() -> None:
    answer = ask(CronGate(autonomy={"allowed_commands": ()}), "POST", "", {"schedule": MINUTE, "command": "ls"})
    assert refused(answer) == (400, "bad_request", "command blocked by security policy: ls is not in allowed_commands")


def test_agent_jobs_are_for_the_operator_when_there_are_approval_owners() -> None:
    gate = CronGate(owners=("@ann",))
    assert refused(ask(gate, "POST", "", {"schedule": MINUTE, "prompt": "hi"}))[:2] == (403, "forbidden")
    assert ask(gate, "POST", "", {"schedule": MINUTE, "command": "ls"}).status == 200
    made = ask(gate, "POST", "", {"schedule": MINUTE, "prompt": "hi"}, peer="operator")
    assert made.status == 200
    assert ask(gate, "PUT", f"/{made.json['id']}", {"prompt": "other"}).status == 403
    assert [ask(gate, "PUT", f"/{made.json['id']}", {"enabled": on}).status for on in (False, True)] == [200, 200]


def test_change_sets_what_is_given_and_clears_nothing() -> None:
    gate = CronGate()
    job_id = gate.add(name="n", model="m", session_target="main")
    changed = ask(gate, "PUT", f"/{job_id}", {"prompt": "new", "name": None, "schedule": {"kind": "every", "every_ms": 1_000}}).json
    assert (changed["prompt"], changed["name"], changed["model"], changed["session_target"]) == ("new", "n", "m", "main")
    assert changed["next_run"] == "2027-01-15T08:00:01.000+00:00"


def test_change_that_cannot_be_is_refused_and_changes_nothing() -> None:
    gate = CronGate()
    job_id = gate.add()
    before = gate.job(job_id)
    for body in ({"command": "ls"}, {"name": "a\nb"}, {"schedule": {"kind": "cron", "expr": "x"}}, {"job_type": "shell"}):
        assert ask(gate, "PUT", f"/{job_id}", body).status == 400
    assert ask(gate, "PUT", f"/{job_id}", {"enabled": "yes"}).status == 422
    assert refused(ask(gate, "PUT", "/x", {"enabled": False})) == (404, "not_found", "Cron job 'x' not found")
    assert gate.job(job_id) == before


def test_number_of_jobs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clawgate.services.cron.MOST_JOBS", 2)
    gate = CronGate()
    assert [ask(gate, "POST", "", {"schedule": MINUTE, "prompt": "hi"}).status for _ in range(3)] == [200, 200, 409]


# --- runs by hand


def test_run_by_hand_answers_its_outcome_and_leaves_the_schedule_alone() -> None:
    gate = CronGate(["answer"])
    job_id = gate.add(delivery={"mode": "announce", "channel": "x", "to": "y", "best_effort": False})
    before = gate.job(job_id)
    answer = ask(gate, "POST", f"/{job_id}/run")
    assert (answer.status, answer.json) == (200, {"id": job_id, "success": True, "output": "answer"})
    assert (gate.job(job_id)["next_run"], gate.statuses(job_id)) == (before["next_run"], ["ok"])
    again = ask(gate, "POST", f"/{job_id}/run")
    assert (again.json["success"], gate.agent.calls) == (True, 2)


def test_run_by_hand_keeps_a_job_that_is_wanted_once() -> None:
    gate = CronGate()
    job_id = gate.add({"kind": "at", "at": "2027-01-15T09:00:00Z"})
    ask(gate, "POST", f"/{job_id}/run")
    assert (gate.has(job_id), gate.job(job_id)["enabled"]) == (True, True)


def test_run_that_outlasts_the_wait_is_a_408_and_goes_on() -> None:
    gate = CronGate([Hang()], held=True)
    job_id = gate.add({"kind": "cron", "expr": "@daily"})
    pending = gate.gate.client.begin("POST", f"{JOBS}/{job_id}/run")
    gate.later(121)
    assert (pending.response.status, pending.response.headers["location"]) == (408, f"{JOBS}/{job_id}/runs")
    assert pending.response.json["error"] == "timeout"
    assert gate.statuses(job_id) == ["running"]
    assert refused(ask(gate, "POST", f"/{job_id}/run")) == (409, "conflict", "the job is running")


def test_client_that_leaves_does_not_end_its_run() -> None:
    gate = CronGate(held=True)
    job_id = gate.add({"kind": "cron", "expr": "@daily"})
    gate.gate.client.begin("POST", f"{JOBS}/{job_id}/run").leave()
    gate.agent.release()
    gate.later(20)
    assert gate.statuses(job_id) == ["ok"]


def test_risky_command_runs_by_hand_only_when_approved() -> None:
    gate = CronGate()
    job_id = gate.add(command="mkdir x")
    assert refused(ask(gate, "POST", f"/{job_id}/run")) == (
        400,
        "bad_request",
        "blocked by security policy: mkdir is a medium-risk command and needs approval",
    )
    assert ask(gate, "POST", f"/{job_id}/run?approved=false").status == 400
    approved = ask(gate, "POST", f"/{job_id}/run?approved=true")
    assert (approved.status, approved.json["success"], gate.processes.runs) == (200, True, [("mkdir", "x")])
    assert ask(gate, "POST", f"/{job_id}/run?approved=perhaps").status == 400


def test_approving_needs_its_scope() -> None:
    gate = CronGate(own=PAIRED)
    token = without_scope(gate.gate, Scope.APPROVE)
    made = ask(gate, "POST", "", {"schedule": MINUTE, "command": "mkdir x"}, token=token).json
    assert ask(gate, "POST", f"/{made['id']}/run?approved=true", token=token).status == 403
    assert gate.processes.runs == []


def test_nothing_is_run_by_hand_while_autonomy_is_read_only() -> None:
    gate = CronGate(autonomy={"level": "readonly"})
    job_id = gate.add()
    assert refused(ask(gate, "POST", f"/{job_id}/run")) == (400, "bad_request", "blocked by security policy: autonomy is read-only")


def test_run_of_a_job_that_does_not_exist_is_a_404() -> None:
    assert refused(ask(CronGate(), "POST", "/x/run")) == (404, "not_found", "Cron job 'x' not found")


def test_runs_are_newest_first_and_limited() -> None:
    gate = CronGate()
    job_id = gate.add()
    gate.later(180)
    shown = ask(gate, "GET", f"/{job_id}/runs?limit=2").json
    assert (shown["count"], [run["id"] for run in shown["runs"]]) == (2, [3, 2])
    assert set(shown["runs"][0]) == {"id", "job_id", "started_at", "finished_at", "status", "output", "duration_ms", "attempt", "item_id"}
    assert shown["runs"][0]["attempt"] == 1
    assert ask(gate, "GET", "/x/runs").json == {"runs": [], "count": 0}
    assert ask(gate, "GET", f"/{job_id}/runs?limit=x").status == 400


@pytest.mark.parametrize("job_id", ["%00", "..%5c", "' OR 1=1".replace(" ", "%20"), "%f0%9f%a6%80", "x" * 400])
def test_odd_id_is_a_400_or_a_404(job_id: str) -> None:
    gate = CronGate()
    statuses = {ask(gate, method, f"/{job_id}{ending}").status for method, ending in (("DELETE", ""), ("POST", "/run"))}
    assert statuses <= {400, 404}
    assert ask(gate, "GET", f"/{job_id}/runs").status in (200, 400)


def test_jobs_ask_for_who_made_them() -> None:
    gate = CronGate(own=PAIRED)
    ann, bob = gate.gate.pair(scopes=["write", "read", "chat"]), gate.gate.pair(scopes=["read", "chat"])
    made = ask(gate, "POST", "", {"schedule": MINUTE, "prompt": "hi"}, token=ann).json
    gate.later(61)
    item_id = ask(gate, "GET", f"/{made['id']}/runs", token=ann).json["runs"][0]["item_id"]
    assert [gate.gate.client.get(f"/api/inbox/{item_id}", token=token).status for token in (ann, bob)] == [200, 404]


def test_job_whose_words_are_changed_asks_for_who_changed_them() -> None:
    gate = CronGate(own=PAIRED)
    ann, bob = gate.gate.pair(scopes=["write", "read", "chat"]), gate.gate.pair(scopes=["write", "read", "chat"])
    made = ask(gate, "POST", "", {"schedule": MINUTE, "prompt": "hi"}, token=ann).json
    assert ask(gate, "PUT", f"/{made['id']}", {"name": "still hers"}, token=bob).status == 200
    gate.later(61)
    assert ask(gate, "PUT", f"/{made['id']}", {"prompt": "what do I remember?"}, token=bob).status == 200
    gate.later(61)
    runs = ask(gate, "GET", f"/{made['id']}/runs", token=ann).json["runs"]
    seen = [[gate.gate.client.get(f"/api/inbox/{run['item_id']}", token=token).status for token in (ann, bob)] for run in runs]
    assert seen == [[404, 200], [200, 404]]
