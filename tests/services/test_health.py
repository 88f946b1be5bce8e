"""What /health and /readyz show (zeroclaw.md A3; rantaiclaw.md §5, §17)."""

from __future__ import annotations

import msgspec

from clawgate.ports.events import ComponentHealth
from clawgate.services.health import MAX_COMPONENTS, Health
from clawgate.testing.clock import ManualClock

NOW = 1_800_000_000_000
AT_0, AT_2, AT_4 = (f"2027-01-15T08:00:0{second}.000+00:00" for second in (0, 2, 4))


def shown(health: Health) -> dict[str, dict[str, object]]:
    components = msgspec.to_builtins(health.snapshot())["components"]
    assert isinstance(components, dict)
    return components


def test_the_published_shape() -> None:
    clock = ManualClock(NOW)
    health = Health(clock, 4711)
    health.ok("gateway")
    clock.advance(2.9)
    clock.set_wall(NOW + 2000)
    assert msgspec.json.decode(msgspec.json.encode(health.snapshot())) == {
        "pid": 4711,
        "uptime_seconds": 2,
        "updated_at": AT_2,
        "components": {"gateway": {"status": "ok", "updated_at": AT_0, "last_ok": AT_0, "last_error": None, "restart_count": 0}},
    }


def test_a_fresh_daemon_has_no_components_and_is_ready() -> None:
    health = Health(ManualClock(NOW), 1)
    assert (shown(health), health.unhealthy()) == ({}, [])


def test_components_are_sorted_by_name() -> None:
    health = Health(ManualClock(NOW), 1)
    for name in ("scheduler", "channels", "gateway", "channel:linq"):
        health.ok(name)
    assert list(shown(health)) == ["channel:linq", "channels", "gateway", "scheduler"]


def test_a_failure_is_shown_and_makes_it_unhealthy_until_it_is_well_again() -> None:
    clock = ManualClock(NOW)
    health = Health(clock, 1)
    health.ok("store")
    clock.advance(2)
    health.failed("store", "disk full")
    assert health.unhealthy() == ["store"]
    assert shown(health)["store"] == {"status": "error", "updated_at": AT_2, "last_ok": AT_0, "last_error": "disk full", "restart_count": 0}
    clock.advance(2)
    health.ok("store")
    assert health.unhealthy() == []
    assert shown(health)["store"] == {"status": "ok", "updated_at": AT_4, "last_ok": AT_4, "last_error": None, "restart_count": 0}


def test_starting_is_not_unhealthy_and_restarts_are_counted() -> None:
    health = Health(ManualClock(NOW), 1)
    health.restarted("channels")
    health.restarted("channels")
    assert shown(health)["channels"] == {"status": "starting", "updated_at": AT_0, "last_ok": None, "last_error": None, "restart_count": 2}
    assert health.unhealthy() == []


def test_the_unhealthy_are_sorted() -> None:
    health = Health(ManualClock(NOW), 1)
    for name in ("b", "c", "a"):
        health.failed(name, "no")
    health.ok("c")
    assert health.unhealthy() == ["a", "b"]


def test_uptime_does_not_follow_the_wall_clock() -> None:
    clock = ManualClock(NOW)
    clock.advance(100)
    health = Health(clock, 1)
    clock.advance(5)
    clock.step_wall(-3_600_000)
    assert health.snapshot().uptime_seconds == 5


def test_errors_and_components_are_bounded() -> None:
    health = Health(ManualClock(NOW), 1)
    for number in range(MAX_COMPONENTS + 5):
        health.failed(f"c{number:04d}", "x" * 10_000)
    components = shown(health)
    assert len(components) == MAX_COMPONENTS
    assert components["c0000"]["last_error"] == "x" * 512
    health.ok("c0000")
    assert "c0000" not in health.unhealthy()


def test_it_is_what_the_port_asks_for() -> None:
    port: ComponentHealth = Health(ManualClock(NOW), 1)
    port.ok("gateway")
