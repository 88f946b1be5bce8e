"""`/health`, `/readyz`, `/metrics`, `/pair/page`. Source: zeroclaw.md A3, A5, A6, B1; rantaiclaw.md §5, §21; design §4.1, §4.14; CVE-2026-25253."""

from __future__ import annotations

import re

import pytest

from clawgate.domain.settings.model import ObservabilitySettings, Settings
from clawgate.testing.gateway import MemoryGateway
from tests.web.gate import check_common, gateway

MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00"
HINT = b'# Prometheus backend not enabled. Set [observability] backend = "prometheus" in config.\n'


def test_health_is_the_union_of_all_families() -> None:
    gate = MemoryGateway()
    answer = gate.client.get("/health")
    check_common(answer)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert set(answer.json) == {"status", "paired", "require_pairing", "runtime"}
    assert set(answer.json["runtime"]) == {"pid", "updated_at", "uptime_seconds", "components"}
    assert set(answer.json["runtime"]["components"]["gateway"]) == {"status", "updated_at", "last_ok", "last_error", "restart_count"}


def test_health_tells_process_and_times() -> None:
    gate = MemoryGateway()
    gate.clock.advance(61.9)
    runtime = gate.client.get("/health").json["runtime"]
    assert (runtime["pid"], runtime["uptime_seconds"]) == (4711, 61)
    assert re.fullmatch(MOMENT, runtime["updated_at"])
    component = runtime["components"]["gateway"]
    assert (component["status"], component["last_error"], component["restart_count"]) == ("ok", None, 0)
    assert re.fullmatch(MOMENT, component["last_ok"])


def test_paired_follows_the_tokens_whether_or_not_pairing_is_required() -> None:
    gate = MemoryGateway()
    assert gate.client.get("/health").json["paired"] is False
    gate.pair()
    assert (gate.client.get("/health").json["paired"], gate.client.get("/health").json["require_pairing"]) == (True, True)
    gate.client.post("/admin/paircode/new?rotate=all", peer="operator")
    assert gate.client.get("/health").json["paired"] is False
    assert gateway(require_pairing=False).client.get("/health").json["require_pairing"] is False


def test_components_are_sorted_and_keep_their_last_good_moment() -> None:
    gate = MemoryGateway()
    gate.gateway.health.ok("channel:b")
    gate.gateway.health.failed("channel:b", "down")
    gate.gateway.health.restarted("channel:a")
    components = gate.client.get("/health").json["runtime"]["components"]
    assert list(components) == sorted(components)
    assert (components["channel:b"]["status"], components["channel:b"]["last_error"], components["channel:a"]["status"]) == (
        "error",
        "down",
        "starting",
    )
    assert re.fullmatch(MOMENT, components["channel:b"]["last_ok"])
    assert (components["channel:a"]["restart_count"], components["channel:a"]["last_ok"]) == (1, None)


def test_health_stays_200_and_readiness_does_not_while_something_is_wrong() -> None:
    gate = MemoryGateway()
    assert gate.client.get("/readyz").json["status"] == "ready"
    gate.gateway.health.restarted("channel:a")
    assert gate.client.get("/readyz").status == 200
    gate.gateway.health.failed("channel:b", "down")
    ready = gate.client.get("/readyz")
    assert (ready.status, ready.json["status"], ready.json["unhealthy_components"]) == (503, "unready", ["channel:b"])
    assert ready.json["runtime"]["components"]["channel:b"]["last_error"] == "down"
    assert gate.client.get("/health").status == 200


def test_store_that_fails_shows_in_readiness() -> None:
    gate = MemoryGateway()
    gate.store.break_writes("disk full")
    gate.client.post("/webhook", {"message": "hi"}, token=None)
    gate.client.post("/pair", headers={"X-Pairing-Code": gate.codes[0]})
    gate.clock.advance(5)
    assert gate.client.get("/readyz").json["unhealthy_components"] == ["store"]


def test_everything_but_what_runs_is_a_503_while_draining() -> None:
    gate = MemoryGateway()
    gate.stop()
    gate.pump()
    for path in ("/health", "/readyz", "/metrics", "/pair/page"):
        answer = gate.client.get(path)
        check_common(answer)
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")


def test_metrics_are_an_exposition_with_families_at_zero() -> None:
    answer = MemoryGateway().client.get("/metrics")
    check_common(answer)
    text = answer.body.decode()
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    for line in ("clawgate_heartbeat_ticks_total 0.0", "clawgate_request_latency_seconds_count 0.0", "clawgate_tokens_used_last 0.0"):
        assert line in text.splitlines()


def test_namespace_keeps_an_old_dashboard_alive() -> None:
    text = MemoryGateway(Settings(observability=ObservabilitySettings(metrics_namespace="zeroclaw"))).client.get("/metrics").body.decode()
    assert "zeroclaw_heartbeat_ticks_total 0.0" in text
    assert "clawgate_" not in text


def test_metrics_that_are_off_say_how_to_switch_them_on() -> None:
    answer = MemoryGateway(Settings(observability=ObservabilitySettings(backend="none"))).client.get("/metrics")
    assert (answer.status, answer.headers["content-type"], answer.body) == (200, "text/plain; version=0.0.4; charset=utf-8", HINT)


def test_answers_are_counted_by_status() -> None:
    gate = MemoryGateway()
    gate.client.get("/health")
    gate.client.get("/nothing")
    text = gate.client.get("/metrics").body.decode()
    assert 'clawgate_http_requests_total{status="200"} 1.0' in text
    assert 'clawgate_http_requests_total{status="404"} 1.0' in text


@pytest.mark.parametrize("path", ["/health", "/readyz", "/metrics"])
def test_probes_are_unlimited(path: str) -> None:
    gate = gateway(api_rate_limit_per_minute=1, pair_rate_limit_per_minute=1, webhook_rate_limit_per_minute=1)
    assert {gate.client.get(path).status for _ in range(50)} == {200}


def test_pairing_page_is_the_only_page_and_the_same_for_everybody() -> None:
    gate = MemoryGateway()
    answers = [gate.client.get(path) for path in ("/pair/page", "/pair/page?gatewayUrl=https://evil.example&token=x", "/pair/page?code=123456")]
    for answer in answers:
        check_common(answer)
        assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert len({answer.body for answer in answers}) == 1
    assert gate.codes[0].encode() not in answers[0].body


def test_pairing_page_talks_to_its_own_origin_and_takes_nothing_from_its_query() -> None:
    page = MemoryGateway().client.get("/pair/page").body.decode()
    assert not re.search(r"https?://", page)
    assert "location.search" not in page
