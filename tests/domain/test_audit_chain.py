"""The audit log's chain: what verifying finds. Source: domain/audit.py, sentence by sentence."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from clawgate.domain.audit import (
    CUT,
    GENESIS,
    MOST_DETAIL_BYTES,
    MOST_NAME_CHARS,
    Action,
    Break,
    Deed,
    Entry,
    Link,
    Outcome,
    chained,
    deed,
    digest_of,
    follow,
    parse_head,
    pruned,
    verify,
)
from clawgate.domain.errors import BadRequest

_replace = msgspec.structs.replace
TEXTS = st.text(max_size=20)
DEEDS = st.builds(
    Deed,
    at_ms=st.integers(0, 1 << 50),
    action=st.sampled_from(sorted(Action)) | TEXTS,
    actor=TEXTS,
    subject=TEXTS,
    outcome=st.sampled_from(sorted(Outcome)),
    detail=TEXTS,
)
CHANGES = st.one_of(
    st.tuples(st.sampled_from(("action", "actor", "subject", "outcome", "detail")), TEXTS),
    st.tuples(st.just("at_ms"), st.integers(0, 1 << 50)),
    st.tuples(st.sampled_from(("prev", "digest")), st.integers(0, 1 << 256).map(lambda number: f"{number:064x}")),
    st.tuples(st.just("seq"), st.integers(-5, 100)),
)


def chain(deeds: list[Deed]) -> list[Entry]:
    entries: list[Entry] = []
    before = Link()
    for stated in deeds:
        entries.append(chained(stated, before))
        before = entries[-1].link
    return entries


def simple(count: int) -> list[Entry]:
    return chain([deed(1000 + number, Action.COMMAND, "ann", f"thing {number}") for number in range(count)])


@given(st.lists(DEEDS, max_size=8))
def test_a_chain_as_it_was_written_is_intact(deeds: list[Deed]) -> None:
    entries = chain(deeds)
    verdict = verify(entries, Link())
    assert (verdict.broken, verdict.entries, verdict.head) == (None, len(deeds), entries[-1].link if entries else Link())


@given(st.lists(DEEDS, min_size=1, max_size=8), st.data(), CHANGES)
def test_any_single_change_is_found_at_its_place_or_the_one_after(deeds: list[Deed], data: st.DataObject, change: tuple[str, object]) -> None:
    entries = chain(deeds)
    place = data.draw(st.integers(0, len(entries) - 1))
    name, value = change
    assume(getattr(entries[place], name) != value)
    entries[place] = _replace(entries[place], **{name: value})
    broken = verify(entries, Link()).broken
    assert broken is not None
    assert broken.seq in (place + 1, entries[place].seq)


@given(st.lists(DEEDS, min_size=2, max_size=8), st.data(), CHANGES)
def test_a_change_whose_own_digest_was_made_anew_is_found_unless_it_is_the_last(
    deeds: list[Deed], data: st.DataObject, change: tuple[str, object]
) -> None:
    entries = chain(deeds)
    place = data.draw(st.integers(0, len(entries) - 2))
    name, value = change
    assume(getattr(entries[place], name) != value and name != "digest")
    forged = _replace(entries[place], **{name: value})
    entries[place] = _replace(forged, digest=digest_of(forged))
    assert verify(entries, Link()).broken is not None


@given(st.lists(DEEDS, min_size=2, max_size=8), st.data())
def test_a_removed_entry_is_found(deeds: list[Deed], data: st.DataObject) -> None:
    entries = chain(deeds)
    place = data.draw(st.integers(0, len(entries) - 2))
    del entries[place]
    broken = verify(entries, Link()).broken
    assert broken == Break(place + 1, f"removed: entry {place + 2} follows on {place}")


@given(st.lists(DEEDS, min_size=2, max_size=8), st.data())
def test_two_entries_in_each_others_place_are_found(deeds: list[Deed], data: st.DataObject) -> None:
    entries = chain(deeds)
    one, other = data.draw(st.lists(st.integers(0, len(entries) - 1), min_size=2, max_size=2, unique=True))
    entries[one], entries[other] = entries[other], entries[one]
    broken = verify(entries, Link()).broken
    assert broken is not None
    assert broken.seq <= max(one, other) + 1


@given(st.lists(DEEDS, min_size=1, max_size=8), DEEDS, st.data())
def test_an_inserted_entry_is_found_however_it_is_numbered(deeds: list[Deed], extra: Deed, data: st.DataObject) -> None:
    entries = chain(deeds)
    place = data.draw(st.integers(0, len(entries) - 1))
    before = entries[place - 1].link if place else Link()
    entries.insert(place, chained(extra, before))
    assume(entries[place] != entries[place + 1])
    renumbered = [*entries[: place + 1], *(_replace(entry, seq=entry.seq + 1) for entry in entries[place + 1 :])]
    assert verify(entries, Link()).broken is not None
    assert verify(renumbered, Link()).broken is not None


@given(st.lists(DEEDS, min_size=1, max_size=8), st.data())
def test_a_cut_off_end_is_found_by_a_noted_head_only(deeds: list[Deed], data: st.DataObject) -> None:
    entries = chain(deeds)
    noted = entries[-1].link
    left = entries[: data.draw(st.integers(0, len(entries) - 1))]
    assert verify(left, Link()).broken is None
    assert verify(left, Link(), noted).broken == Break(len(left) + 1, f"removed: the log ends before entry {noted.seq}, which was noted")


@given(st.lists(DEEDS, min_size=1, max_size=8), st.lists(DEEDS, min_size=1, max_size=8), st.data())
def test_a_log_that_was_computed_anew_is_found_by_a_noted_head(deeds: list[Deed], others: list[Deed], data: st.DataObject) -> None:
    entries, anew = chain(deeds), chain(others)
    noted = data.draw(st.sampled_from(entries)).link
    assume(noted.seq <= len(anew) and anew[noted.seq - 1].digest != noted.digest)
    assert verify(anew, Link()).broken is None
    assert verify(anew, Link(), noted).broken == Break(noted.seq, "rewritten: it is not the entry whose digest was noted")


def test_an_earlier_head_holds_while_the_log_grows() -> None:
    entries = simple(5)
    assert [verify(entries, Link(), entry.link).broken for entry in entries] == [None] * 5
    assert verify(entries, Link(), Link()).broken is None


def test_the_digest_is_made_of_the_one_before_and_sorted_json() -> None:
    (entry,) = chain([deed(5, Action.LOGIN, "ann", "console", detail={"b": 1, "a": "é"})])
    text = r'{"action":"login","actor":"ann","at_ms":5,"detail":"{\"a\":\"é\",\"b\":1}","outcome":"ok","seq":1,"subject":"console"}'
    assert entry.digest == hashlib.sha256((GENESIS + text).encode()).hexdigest()


def test_a_pruned_log_begins_at_its_anchor_when_an_entry_says_so() -> None:
    entries = simple(4)
    anchor = entries[1].link
    kept = [*entries[2:], chained(pruned(9, anchor, 2), entries[-1].link)]
    assert verify(kept, anchor).broken is None
    assert verify(kept, anchor, anchor).broken is None
    assert verify(kept[:-1], anchor).broken == Break(2, "removed: the beginning is gone, and no entry says that it was pruned")
    assert verify(kept, entries[2].link).broken is not None


def test_a_head_from_before_the_anchor_can_no_longer_be_looked_at() -> None:
    entries = simple(4)
    with pytest.raises(BadRequest, match="entries up to 2 have been pruned"):
        verify(entries[2:], entries[1].link, entries[0].link)


def test_only_a_part_can_be_followed_too() -> None:
    entries = simple(4)
    assert follow(entries[2:], entries[1].link).entries == 2
    assert follow(entries[2:], entries[0].link).broken is not None


@given(st.text(max_size=3000), st.text(max_size=3000))
def test_a_fact_is_bounded_and_its_detail_is_json(name: str, text: str) -> None:
    made = deed(1, Action.COMMAND, name, name, detail={"text": text})
    assert len(made.actor) <= MOST_NAME_CHARS >= len(made.subject)
    assert len(made.detail.encode()) <= MOST_DETAIL_BYTES
    (only,) = msgspec.json.decode(made.detail, type=dict[str, str]).items()
    assert only == ("text", text) or (only[0] == "cut" and only[1].endswith(CUT))


def test_half_a_surrogate_pair_is_written_as_it_can_be() -> None:
    made = deed(1, Action.COMMAND, "\ud800", detail={"text": "\ud800"})
    assert (made.actor, made.detail) == ("?", "{\"text\":\"{'text': '\\\\ud800'}\"}")
    assert verify(chain([made]), Link()).broken is None


@given(st.integers(0, 10**18 - 1), st.integers(0, (1 << 256) - 1))
def test_a_head_is_read_as_it_is_printed(seq: int, digest: int) -> None:
    link = Link(seq, f"{digest:064x}")
    assert parse_head(f" {str(link).upper()}\n") == link


@given(
    st.text(max_size=90)
    | st.sampled_from([f"1:{GENESIS}"[:end] for end in range(66)] + [f"01:{GENESIS}", f"-1:{GENESIS}", f"1:{GENESIS}0", f"1 {GENESIS}"])
)
def test_anything_else_is_no_head(text: str) -> None:
    with pytest.raises(BadRequest, match="SEQ:DIGEST"):
        parse_head(text)
