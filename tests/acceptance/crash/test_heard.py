"""What the audit of subscribers finds: each fault that it is there for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.acceptance.crash.heard import misheard, unheard
from tests.acceptance.crash.peers import Heard, Subscriber
from tests.acceptance.crash.rows import Row


class Listened:
    """As much of a `House` as the audit looks at."""

    def __init__(self, heard: Sequence[Heard]) -> None:
        self.subscriber = Subscriber()
        self.subscriber.close()
        self.subscriber.heard += heard


def a_row(item: str, state: str = "done", answer: str | None = "re") -> Row:
    return Row(item, f"text {item}", state, answer, None, "webhook", "line")


def an_event(item: str, kind: str = "done", event_id: str = "", answer: str | None = "re") -> Heard:
    return Heard(event_id or f"msg_{item}_{kind}", f"message_{kind}", item, answer)


ROWS = (a_row("1"), a_row("2", "uncertain"), a_row("3", "waiting", None), a_row("4", "dead", None))
RIGHT = (an_event("1"), an_event("2"), an_event("2"), an_event("2", "uncertain"), an_event("4", "dead", answer=None))


def test_copies_in_a_row_and_replies_that_went_wrong_are_as_promised() -> None:
    house = Listened(RIGHT)
    assert (unheard(house, ROWS), misheard(house, ROWS)) == ([], [])  # type: ignore[arg-type]  # it looks at no more of a house


def test_an_outcome_that_nobody_was_told_is_found() -> None:
    house = Listened(RIGHT[:-1])
    assert unheard(house, ROWS) == ["text 4: dead"]  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize(
    "wrong",
    [
        (*RIGHT, RIGHT[0]),
        (*RIGHT, an_event("1", "dead")),
        (*RIGHT, an_event("1", event_id="other")),
        (*RIGHT[1:], RIGHT[0]),
        (an_event("1", answer="re other"), *RIGHT[1:]),
        (RIGHT[0], an_event("2", event_id=RIGHT[0].id), *RIGHT[3:]),
        (*RIGHT, an_event("9", "events_missed", answer=None)),
    ],
    ids=["again later", "two outcomes", "two ids", "line out of order", "another answer", "one id for two", "of no item"],
)
def test_what_must_not_be_heard_is_found(wrong: Sequence[Heard]) -> None:
    assert misheard(Listened(wrong), ROWS) != []  # type: ignore[arg-type]  # as above
