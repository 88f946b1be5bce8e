"""What is done now and then."""

from __future__ import annotations

from road import counted, gate, items, now, stop, tell

from clawgate.domain.settings.model import InboxSettings
from clawgate.testing.agents import Hang


def test_the_gauges_follow_the_inbox() -> None:
    road = gate([Hang()])
    tell(road)
    road.clock.advance(7)
    assert counted(road, "queue_depth") == 1
    assert counted(road, "inbox_oldest_seconds") == 5


def test_ended_items_are_forgotten_after_their_retention_and_open_ones_never() -> None:
    road = gate(["ok", Hang()], inbox=InboxSettings(retention_secs=600), turn_seconds=100_000)
    tell(road, "done")
    tell(road, "open")
    road.clock.advance(500)
    assert len(items(road)) == 2
    road.clock.advance(200)
    assert [found.text for found in items(road)] == ["open"]


def test_a_round_that_fails_does_not_end_the_rounds() -> None:
    road = gate(inbox=InboxSettings(retention_secs=60))
    tell(road)
    road.store.break_writes("disk full")
    road.clock.advance(120)
    assert len(items(road)) == 1
    road.store.break_writes("")
    road.clock.advance(60)
    assert items(road) == ()


def test_a_store_that_fails_is_seen_in_health_and_so_is_its_recovery() -> None:
    road = gate()
    road.store.break_writes("disk full")
    road.client.post("/webhook", {"message": "hi"})
    road.clock.advance(5)
    assert road.client.get("/health").json["runtime"]["components"]["store"]["status"] == "error"
    road.store.break_writes("")
    tell(road)
    road.clock.advance(5)
    assert road.client.get("/health").json["runtime"]["components"]["store"]["status"] == "ok"


def test_nothing_goes_on_after_the_stop() -> None:
    road = gate()
    stop(road)
    assert [call for call in road.clock.reactor.getDelayedCalls() if call.active()] == []


def test_facts_that_have_run_out_are_forgotten() -> None:
    road = gate()
    for key, expires_ms in (("kept", 0), ("later", road.clock.wall_ms() + 90_000), ("soon", road.clock.wall_ms() + 30_000)):
        now(road.store.facts.put("nonce", key, "", expires_ms))
    road.clock.advance(61)
    assert list(now(road.store.facts.all("nonce", 0, 9))) == ["kept", "later"]
