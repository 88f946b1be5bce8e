"""Paired devices and their mirror in config.toml (design §4.9, §4.10)."""

from __future__ import annotations

import hashlib

import pytest
from road import now
from twisted.internet.defer import Deferred, succeed

from clawgate.domain.caller import ALL_SCOPES
from clawgate.domain.errors import Conflict, NotFound, StoreUnavailable
from clawgate.services import devices
from clawgate.services.access import Access
from clawgate.services.devices import Devices, Issued
from clawgate.testing.clock import CountingIds, FixedEntropy, ManualClock
from clawgate.testing.store import InlineStore


class File:
    """The list in config.toml.

    Attributes:
        entries: what stands there. writes: how often it was written. held: writes that wait for the test, while it is a list.
    """

    def __init__(self) -> None:
        self.entries: frozenset[str] = frozenset()
        self.writes = 0
        self.problem: Exception | None = None
        self.held: list[Deferred[None]] | None = None

    def acknowledge(self, entries: tuple[str, ...]) -> None:
        self.acknowledged = entries

    def write(self, hashes: frozenset[str]) -> Deferred[None]:
        if self.problem is not None:
            failed: Deferred[None] = Deferred()
            failed.errback(self.problem)
            return failed
        self.entries, self.writes = hashes, self.writes + 1
        if self.held is None:
            return succeed(None)
        self.held.append(Deferred())
        return self.held[-1]

    def land(self) -> None:
        held, self.held = self.held or [], None
        for waiter in held:
            waiter.callback(None)


class House:
    def __init__(self) -> None:
        self.clock, self.file = ManualClock(), File()
        self.store = InlineStore(self.clock)
        now(self.store.start())
        self.access = Access(self.store.devices, self.clock, True)
        self.killed: list[str] = []
        self.devices = Devices(
            self.store.devices, self.access, self.file, self.clock, FixedEntropy(), CountingIds(), "zc_", revoked=self.killed.append
        )

    def pairing(self, ttl_seconds: int = 0) -> Deferred[Issued]:
        adding = self.devices.add(name=None, device_type=None, scopes=ALL_SCOPES, ttl_seconds=ttl_seconds, address="203.0.113.9")
        return Deferred.fromCoroutine(adding)

    def revoking(self, issued: Issued) -> Deferred[object]:
        return Deferred.fromCoroutine(self.devices.revoke(issued.device.id))

    def adopting(self, *entries: str, present: bool = True, writes: int | None = None) -> Deferred[None]:
        return Deferred.fromCoroutine(self.devices.adopt(entries, list_present=present, writes=writes))

    def is_good(self, token: str) -> bool:
        return now(Deferred.fromCoroutine(self.access.identify(token, "c"))) is not None


def hash_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def test_a_new_token_is_mirrored() -> None:
    house = House()
    issued = now(house.pairing())
    assert (issued.persisted, house.file.entries) == (True, frozenset({hash_of(issued.token)}))
    assert house.is_good(issued.token)


def test_a_file_that_cannot_be_written_costs_the_mirror_and_not_the_token() -> None:
    house = House()
    house.file.problem = OSError("read-only")
    issued = now(house.pairing())
    assert (issued.persisted, house.is_good(issued.token)) == (False, True)


def test_a_token_the_store_refuses_does_not_exist() -> None:
    house = House()
    house.store.break_writes("disk full")
    with pytest.raises(StoreUnavailable):
        now(house.pairing())
    assert house.file.entries == frozenset()


def test_a_file_that_hangs_costs_the_mirror_and_not_the_token() -> None:
    house = House()
    house.file.held = []
    pairing = house.pairing()
    house.clock.advance(devices.MIRROR_SECONDS)
    issued = now(pairing)
    assert (issued.persisted, house.is_good(issued.token)) == (False, True)
    house.file.land()
    now(house.adopting())  # a list from before it was written
    now(house.adopting(*house.file.entries))
    assert house.is_good(issued.token)
    assert now(house.pairing()).persisted is True


def test_a_token_stored_and_not_marked_as_mirrored_is_a_token() -> None:
    house = House()
    house.file.held = []
    pairing = house.pairing()
    house.store.break_writes("disk full")
    house.file.land()
    assert house.is_good(now(pairing).token)


def test_revoking_kills_token_mirror_and_connections() -> None:
    house = House()
    issued, other = now(house.pairing()), now(house.pairing())
    now(house.revoking(issued))
    assert not house.is_good(issued.token)
    assert house.file.entries == {hash_of(other.token)}
    assert house.killed == [issued.device.id]
    with pytest.raises(NotFound):
        now(house.revoking(issued))


def test_revoking_while_the_pairing_is_being_mirrored_is_not_undone() -> None:
    house = House()
    house.file.held = []
    pairing = house.pairing()
    device = now(house.store.devices.alive(house.clock.wall_ms()))[0]
    revoking = Deferred.fromCoroutine(house.devices.revoke(device.id))
    house.file.land()
    now(revoking)
    token = now(pairing).token
    assert not house.is_good(token)
    assert house.file.entries == frozenset()


def test_revoking_does_not_wait_for_the_file() -> None:
    house = House()
    issued = now(house.pairing())
    house.file.held = []
    house.revoking(issued)
    assert not house.is_good(issued.token)


# --- store and file brought together


def test_a_hash_in_the_file_alone_is_imported() -> None:
    house = House()
    now(house.adopting(hash_of("zc_old")))
    assert house.is_good("zc_old")
    assert house.devices.is_paired


def test_a_token_in_clear_is_imported_and_replaced_by_its_hash() -> None:
    house = House()
    now(house.adopting("zc_old"))
    assert (house.is_good("zc_old"), house.file.entries) == (True, frozenset({hash_of("zc_old")}))
    assert house.file.acknowledged == (hash_of("zc_old"),)


def test_a_hash_deleted_by_hand_is_revoked() -> None:
    house = House()
    issued, other = now(house.pairing()), now(house.pairing())
    assert house.is_good(issued.token)
    now(house.adopting(hash_of(other.token)))
    assert [house.is_good(one.token) for one in (issued, other)] == [False, True]
    assert house.killed == [issued.device.id]


def test_a_file_without_the_list_deletes_nothing_and_gets_it() -> None:
    house = House()
    issued = now(house.pairing())
    house.file.entries = frozenset()
    now(house.adopting(present=False))
    assert (house.is_good(issued.token), house.file.entries) == (True, frozenset({hash_of(issued.token)}))


def test_a_hash_that_was_never_mirrored_is_not_taken_as_deleted() -> None:
    house = House()
    house.file.problem = OSError("read-only")
    issued = now(house.pairing())
    house.file.problem = None
    now(house.adopting())
    assert (house.is_good(issued.token), house.file.entries) == (True, frozenset({hash_of(issued.token)}))


def test_a_revoked_hash_stays_revoked_when_an_old_file_brings_it_back() -> None:
    house = House()
    issued = now(house.pairing())
    now(house.revoking(issued))
    now(house.adopting(hash_of(issued.token)))
    assert (house.is_good(issued.token), house.file.entries) == (False, frozenset())


def test_a_file_that_says_the_same_is_not_written() -> None:
    house = House()
    issued = now(house.pairing())
    now(house.adopting(hash_of(issued.token)))
    assert house.file.writes == 1


def test_beyond_its_bound_the_list_takes_no_more_and_nobody_is_revoked_for_missing_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "MOST_MIRRORED", 2)
    house = House()
    issued = [now(house.pairing()) for _ in range(3)]
    hashes = [hash_of(one.token) for one in issued]
    assert (house.file.entries, issued[2].persisted) == (set(hashes[:2]), True)
    now(house.adopting(*hashes[:2]))
    assert [house.is_good(one.token) for one in issued] == [True] * 3
    now(house.revoking(issued[0]))
    assert house.file.entries == set(hashes[1:])


def test_a_longer_list_that_was_there_before_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "MOST_MIRRORED", 2)
    house = House()
    now(house.adopting(*map(hash_of, ("zc_a", "zc_b", "zc_c"))))
    assert house.file.writes == 0
    now(house.adopting(*map(hash_of, ("zc_a", "zc_b"))))
    assert [house.is_good(token) for token in ("zc_a", "zc_b", "zc_c")] == [True, True, False]


def test_an_expired_hash_leaves_the_file() -> None:
    house = House()
    issued = now(house.pairing(ttl_seconds=10))
    house.clock.advance(10)
    now(house.adopting(hash_of(issued.token)))
    assert (house.is_good(issued.token), house.file.entries) == (False, frozenset())


def test_a_list_read_while_ours_is_being_written_revokes_nobody() -> None:
    house = House()
    house.file.held = []
    pairing = house.pairing()
    adopting = house.adopting()
    house.file.land()
    now(adopting)
    issued = now(pairing)
    assert house.is_good(issued.token)
    now(house.adopting())
    assert not house.is_good(issued.token)


def test_a_list_read_before_ours_was_written_revokes_nobody() -> None:
    house = House()
    issued, writes = now(house.pairing()), house.devices.writes
    other = now(house.pairing())
    now(house.adopting(hash_of(issued.token), writes=writes))
    assert (house.is_good(issued.token), house.is_good(other.token)) == (True, True)
    assert house.file.entries == {hash_of(issued.token), hash_of(other.token)}
    now(house.adopting(hash_of(issued.token), writes=house.devices.writes))
    assert not house.is_good(other.token)


def test_a_hash_taken_out_by_hand_while_our_write_is_refused_is_dead() -> None:
    """Nothing has changed in the file since the hand did, so the watch brings no other list."""
    house = House()
    issued = now(house.pairing())
    house.file.held = []
    writes, pairing = house.devices.writes, house.pairing()
    adopting = house.adopting(writes=writes)
    held, house.file.held = house.file.held, None
    held[0].errback(Conflict("the list changed since it was seen"))
    now(adopting)
    assert (house.is_good(issued.token), house.is_good(now(pairing).token)) == (False, True)


def test_what_a_crash_left_unmarked_is_marked_when_the_list_is_taken_up() -> None:
    house = House()
    house.file.held = []
    pairing = house.pairing()
    house.store.break_writes("disk full")
    house.file.land()
    issued = now(pairing)
    house.store.break_writes("")
    now(house.adopting(hash_of(issued.token)))
    now(house.adopting())
    assert not house.is_good(issued.token)


def test_a_list_changed_by_hand_meanwhile_is_not_overwritten() -> None:
    house = House()
    house.file.problem = Conflict("changed since it was read")
    issued = now(house.pairing())
    assert (issued.persisted, house.file.writes) == (False, 0)


def test_nothing_is_paired_once_the_last_token_has_run_out() -> None:
    house = House()
    now(house.pairing(ttl_seconds=60))
    assert house.devices.is_paired
    house.clock.advance(60)
    assert not house.devices.is_paired


def test_revoking_all_returns_how_many() -> None:
    house = House()
    tokens = [now(house.pairing()).token for _ in range(3)]
    assert now(Deferred.fromCoroutine(house.devices.revoke_all())) == 3
    assert [house.is_good(token) for token in tokens] == [False] * 3
    assert not house.devices.is_paired
