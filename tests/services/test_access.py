"""Which caller a token stands for, and that a dead token is dead (design §4.9, §6)."""

from __future__ import annotations

import msgspec
import pytest
from road import now
from twisted.internet.defer import Deferred

from clawgate.domain.caller import ALL_SCOPES, Caller, Scope
from clawgate.domain.devices import Device
from clawgate.domain.errors import StoreUnavailable
from clawgate.domain.tokens import token_hash
from clawgate.services import access as module
from clawgate.services.access import Access
from clawgate.testing.clock import ManualClock
from clawgate.testing.store import InlineStore


class SlowReads:
    """Devices whose look-ups wait for the test; what they find is what was there when they were asked."""

    def __init__(self, store: InlineStore) -> None:
        self.store = store
        self.reads: list[tuple[Deferred[Device | None], Device | None]] = []

    def by_hash(self, hashed: str) -> Deferred[Device | None]:
        waiter: Deferred[Device | None] = Deferred()
        self.reads.append((waiter, now(self.store.devices.by_hash(hashed))))
        return waiter

    def touch(self, seen: dict[str, int]) -> Deferred[None]:
        return self.store.devices.touch(seen)

    def land(self) -> None:
        waiter, found = self.reads.pop(0)
        waiter.callback(found)


class House:
    def __init__(self, *, slow: bool = False, require_pairing: bool = True) -> None:
        self.clock = ManualClock()
        self.store = InlineStore(self.clock)
        now(self.store.start())
        self.slow = SlowReads(self.store)
        self.access = Access(self.slow if slow else self.store.devices, self.clock, require_pairing)  # type: ignore[arg-type]  # the two methods it uses

    def pair(self, token: str = "zc_1", **more: object) -> Device:
        at = self.clock.wall_ms()
        device = Device(id=f"device {token}", token_hash=token_hash(token), paired_ms=at, last_seen_ms=at, **more)  # type: ignore[arg-type]  # fields of Device
        now(self.store.devices.add(device))
        return device

    def asking(self, token: str | None = "zc_1") -> Deferred[Caller | None]:
        return Deferred.fromCoroutine(self.access.identify(token, "203.0.113.9"))

    def revoke(self, device: Device) -> None:
        now(self.store.devices.replace(msgspec.structs.replace(device, revoked_ms=self.clock.wall_ms())))
        self.access.forget(device.token_hash)


def test_a_paired_token_is_its_device_with_its_scopes() -> None:
    house = House()
    house.pair(scopes=frozenset({Scope.CHAT}))
    caller = now(house.asking())
    assert caller == Caller("device zc_1", frozenset({Scope.CHAT}), "203.0.113.9")


def test_no_token_and_an_unknown_one_open_nothing() -> None:
    house = House()
    house.pair()
    assert [now(house.asking(token)) for token in (None, "", "zc_2", "zc_1 ")] == [None] * 4


def test_without_pairing_everybody_may_do_everything() -> None:
    assert now(House(require_pairing=False).asking(None)) == Caller("open", ALL_SCOPES, "203.0.113.9")


def test_a_known_token_costs_no_read() -> None:
    house = House(slow=True)
    house.pair()
    first = house.asking()
    house.slow.land()
    now(first)
    assert now(house.asking()) is not None
    assert house.slow.reads == []


def test_a_revoked_token_is_dead_at_once() -> None:
    house = House()
    device = house.pair()
    assert now(house.asking()) is not None
    house.revoke(device)
    assert now(house.asking()) is None


def test_a_look_up_under_way_while_its_device_is_revoked_finds_nothing_and_leaves_nothing() -> None:
    house = House(slow=True)
    device = house.pair()
    asking = house.asking()
    house.revoke(device)
    house.slow.land()
    assert not asking.called
    house.slow.land()
    assert now(asking) is None
    again = house.asking()
    house.slow.land()
    assert now(again) is None


def test_a_look_up_that_fails_refuses_and_is_not_remembered() -> None:
    house = House(slow=True)
    house.pair()
    asking = house.asking()
    house.slow.reads.pop()[0].errback(StoreUnavailable())
    with pytest.raises(StoreUnavailable):
        now(asking)
    again = house.asking()
    house.slow.land()
    assert now(again) is not None


def test_a_token_expires_while_it_is_remembered() -> None:
    house = House()
    house.pair(expires_ms=house.clock.wall_ms() + 10_000)
    assert now(house.asking()) is not None
    house.clock.advance(10)
    assert now(house.asking()) is None


def test_last_seen_is_written_now_and_then() -> None:
    house = House()
    house.pair()
    house.clock.advance(59)
    now(house.asking())
    now(Deferred.fromCoroutine(house.access.write_last_seen()))
    before = now(house.store.devices.by_id("device zc_1"))
    house.clock.advance(1)
    now(house.asking())
    now(Deferred.fromCoroutine(house.access.write_last_seen()))
    after = now(house.store.devices.by_id("device zc_1"))
    assert before is not None
    assert after is not None
    assert after.last_seen_ms - before.last_seen_ms == 60_000


def test_a_store_that_refuses_last_seen_costs_nothing_else() -> None:
    house = House()
    house.pair()
    house.clock.advance(60)
    house.store.break_writes("disk full")
    now(house.asking())
    now(Deferred.fromCoroutine(house.access.write_last_seen()))
    assert now(house.asking()) is not None


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_KNOWN", 3)
    house = House()
    for number in range(10):
        house.pair(f"zc_{number}")
        house.clock.advance(120)
        assert now(house.asking(f"zc_{number}")) is not None
    assert (len(house.access._known), len(house.access._seen)) == (3, 3)
    assert now(house.asking("zc_0")) is not None
