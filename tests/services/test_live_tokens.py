"""`[gateway] paired_tokens` taken up from a configuration that was read a while ago (design §4.10)."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from clawgate.domain.settings import Settings
from clawgate.domain.tokens import token_hash
from clawgate.testing import MemoryGateway

OWN = "zc_own"


class House:
    """A gateway whose files are read when the test says so."""

    def __init__(self) -> None:
        self.gate = MemoryGateway(Settings(paired_tokens_present=True))
        self.own = self.gate.pair(name="own")
        self.read: Deferred[Settings] = Deferred()
        self.gate.config.load = lambda: self.read  # type: ignore[method-assign]  # what a slow disk does

    def settings(self, *tokens: str) -> Settings:
        """What the file says, with the list of these."""
        own = self.gate.config.now()
        self.gate.config.base = {**self.gate.config.base, "gateway": {"paired_tokens": [token_hash(token) for token in tokens]}}
        assert (own.gateway.paired_tokens, self.gate.config.now().paired_tokens_present) == ((), True)
        return self.gate.config.now()

    def reload(self) -> Deferred[object]:
        return Deferred.fromCoroutine(self.gate.gateway.live.reload())

    def finish(self, settings: Settings) -> None:
        self.read.callback(settings)
        self.gate.pump()

    def is_good(self, token: str) -> bool:
        return self.gate.client.get("/api/v1/status", token=token).status == 200


def test_a_device_paired_while_the_files_are_read_stays() -> None:
    house = House()
    read = house.settings(house.own)
    house.reload()
    guest = house.gate.pair(name="guest")
    house.finish(read)
    assert (house.is_good(house.own), house.is_good(guest)) == (True, True)
    assert house.gate.mirror.hashes == {token_hash(house.own), token_hash(guest)}


def test_a_list_without_a_device_that_was_paired_before_revokes_it() -> None:
    house = House()
    guest = house.gate.pair(name="guest")
    house.reload()
    house.finish(house.settings(house.own))
    assert (house.is_good(house.own), house.is_good(guest)) == (True, False)


def test_a_list_from_before_our_last_word_is_not_taken_for_a_hand_s() -> None:
    house = House()
    told: list[tuple[str, ...]] = []
    house.gate.mirror.acknowledge = told.append  # type: ignore[method-assign]  # to see what is taken as seen
    read = house.settings(house.own)
    house.reload()
    house.gate.pair(name="guest")
    house.finish(read)
    assert told == []
