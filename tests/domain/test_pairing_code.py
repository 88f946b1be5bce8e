"""The one-time code (zeroclaw.md A2, A6; rantaiclaw.md §21; construct-realtime.md §1.1; design §4.6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.caller import ALL_SCOPES, Scope
from clawgate.domain.pairing import CEILING_FAILURES, CEILING_SECONDS, Grant, Issue, Slot, Try, Verdict, code_from, step

HOUR = 3600.0


def issued(code: str = "123456", now: float = 0.0, ttl: float = HOUR, slot: Slot | None = None, grant: Grant | None = None) -> Slot:
    after, verdict = step(slot or Slot(), Issue(code, grant or Grant(), ttl), now)
    assert verdict is Verdict.ISSUED
    return after


def tried(slot: Slot, *codes: str, now: float = 1.0) -> tuple[Slot, list[Verdict]]:
    verdicts = []
    for code in codes:
        slot, verdict = step(slot, Try(code), now)
        verdicts.append(verdict)
    return slot, verdicts


@given(st.binary(min_size=4, max_size=4))
def test_a_code_is_six_digits_or_drawn_again(random_bytes: bytes) -> None:
    code = code_from(random_bytes)
    number = int.from_bytes(random_bytes, "little")
    assert (code is None) == (number >= 4_294_000_000)
    assert code is None or (len(code) == 6 and code.isascii() and code.isdigit())


@pytest.mark.parametrize(
    ("number", "code"), [(0, "000000"), (7, "000007"), (1_234_567, "234567"), (4_293_999_999, "999999"), (4_294_000_000, None), (2**32 - 1, None)]
)
def test_the_code_of_a_number(number: int, code: str | None) -> None:
    assert code_from(number.to_bytes(4, "little")) == code


def test_a_fresh_slot_has_no_code_and_refuses_everything() -> None:
    assert Slot().pending(0) is None
    assert tried(Slot(), "", "123456", "none", "\0none")[1] == [Verdict.REFUSED] * 4


def test_the_right_code_is_granted() -> None:
    assert tried(issued(), "123456")[1] == [Verdict.GRANTED]


def test_second_use_of_a_code_is_refused() -> None:
    slot, verdicts = tried(issued(), "123456", "123456")
    assert verdicts == [Verdict.GRANTED, Verdict.REFUSED]
    assert slot.pending(1) is None


@pytest.mark.parametrize("code", ["", " ", "654321", "12345", "1234567", "１２３４５６", "\ud800", "123456\0"])
def test_a_wrong_code_is_refused_and_the_code_stays(code: str) -> None:
    slot, verdicts = tried(issued(), code)
    assert verdicts == [Verdict.REFUSED]
    assert slot.pending(1) == "123456"


def test_surrounding_blanks_do_not_matter() -> None:
    assert tried(issued(" 123456\n"), "\t123456 ")[1] == [Verdict.GRANTED]


@pytest.mark.parametrize("code", ["", "  "])
def test_a_blank_code_opens_nothing_even_if_issued(code: str) -> None:
    assert tried(issued(code), "", "  ", "\0none")[1] == [Verdict.REFUSED] * 3


def test_three_wrong_then_the_right_one_works() -> None:
    assert tried(issued(), "1", "2", "3", "123456")[1][-1] is Verdict.GRANTED


def test_an_expired_code_is_refused_and_gone() -> None:
    slot, verdicts = tried(issued(ttl=HOUR), "123456", now=HOUR)
    assert verdicts == [Verdict.REFUSED]
    assert slot == Slot()
    assert tried(issued(ttl=HOUR), "123456", now=HOUR - 0.1)[1] == [Verdict.GRANTED]


def test_a_new_code_replaces_the_pending_one() -> None:
    slot = issued("222222", slot=issued("111111"))
    assert tried(slot, "111111")[1] == [Verdict.REFUSED]
    assert tried(slot, "222222")[1] == [Verdict.GRANTED]


def test_what_the_code_grants_is_bound_when_it_is_issued() -> None:
    grant = Grant(name="phone", scopes=frozenset({Scope.CHAT}), ttl_seconds=60)
    assert issued(grant=grant).grant == grant
    assert Grant().scopes == ALL_SCOPES


def test_a_used_code_leaves_no_grant_behind() -> None:
    slot, _ = tried(issued(grant=Grant(name="phone")), "123456")
    assert slot.grant == Grant()


def test_the_sixtieth_failure_of_an_hour_burns_the_code() -> None:
    slot, verdicts = tried(issued(), *["0"] * CEILING_FAILURES, "123456")
    assert verdicts == [*[Verdict.REFUSED] * (CEILING_FAILURES - 1), Verdict.BURNED, Verdict.REFUSED]
    assert slot.pending(1) is None


def test_failures_older_than_an_hour_do_not_burn() -> None:
    slot, _ = tried(issued(ttl=3 * HOUR), *["0"] * (CEILING_FAILURES - 1), now=0)
    slot, verdicts = tried(slot, "0", now=CEILING_SECONDS)
    assert verdicts == [Verdict.REFUSED]
    assert slot.pending(CEILING_SECONDS) == "123456"


def test_replacing_the_code_does_not_give_more_guesses_an_hour() -> None:
    slot, _ = tried(issued(), *["0"] * (CEILING_FAILURES - 1))
    assert tried(issued("654321", now=2, slot=slot), "0", now=3)[1] == [Verdict.BURNED]


def test_pairing_does_not_give_more_guesses_an_hour() -> None:
    slot, _ = tried(issued(), *["0"] * (CEILING_FAILURES - 1), "123456")
    assert tried(issued("654321", now=2, slot=slot), "0", now=3)[1] == [Verdict.BURNED]


def test_after_a_burn_the_operator_gets_a_working_code() -> None:
    slot, _ = tried(issued(), *["0"] * CEILING_FAILURES)
    assert tried(issued("654321", now=2, slot=slot), "0", "654321", now=3)[1] == [Verdict.REFUSED, Verdict.GRANTED]


def test_hammering_an_empty_slot_does_not_doom_the_next_code() -> None:
    slot, _ = tried(Slot(), *["0"] * (2 * CEILING_FAILURES))
    assert tried(issued(now=1, slot=slot), "typo", "123456", now=2)[1] == [Verdict.REFUSED, Verdict.GRANTED]


@given(st.lists(st.tuples(st.sampled_from(["", "0", "123456", "issue"]), st.floats(0, 900)), max_size=150))
def test_a_code_is_granted_at_most_once_and_memory_is_bounded(events: list[tuple[str, float]]) -> None:
    slot, now, codes, grants = Slot(), 0.0, 0, 0
    for event, wait in events:
        now += wait
        if event == "issue":
            slot, codes = issued(now=now, slot=slot), codes + 1
        else:
            slot, verdict = step(slot, Try(event), now)
            grants += verdict is Verdict.GRANTED
        assert grants <= codes
        assert len(slot.failures) < CEILING_FAILURES
