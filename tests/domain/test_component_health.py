"""A component's record (zeroclaw.md A3; rantaiclaw.md §5, §17)."""

from __future__ import annotations

from clawgate.domain.health import Component, Status, failed, ok, restarted


def test_a_component_seen_well() -> None:
    assert ok(None, 5) == Component(Status.OK, 5, 5, None, 0)


def test_a_failure_keeps_when_it_was_last_well() -> None:
    assert failed(ok(None, 5), 9, "no") == Component(Status.ERROR, 9, 5, "no", 0)


def test_a_first_failure_was_never_well() -> None:
    assert failed(None, 9, "no") == Component(Status.ERROR, 9, None, "no", 0)


def test_being_well_again_clears_the_error_and_keeps_the_restarts() -> None:
    assert ok(restarted(failed(None, 1, "no"), 2), 3) == Component(Status.OK, 3, 3, None, 1)


def test_a_restart_counts_and_creates() -> None:
    assert restarted(None, 1) == Component(Status.STARTING, 1, None, None, 1)
    assert restarted(failed(ok(None, 1), 2, "no"), 3) == Component(Status.STARTING, 3, 1, "no", 1)
