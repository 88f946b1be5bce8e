"""Questions of workflows and what replies to them mean (construct-realtime.md §3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from clawgate.domain.workflow_approvals import APPROVE_KEYWORDS, MOST_KEYWORDS, MOST_TEXT_CHARS, REJECT_KEYWORDS, Word, raised, word_of

YES, NO = Word(approved=True), Word(approved=False)
NOW_MS = 1_000_000

REPLIES: list[tuple[str, Word | None]] = [
    ("approve", YES),
    ("  LGTM  ", YES),
    ("Yes please", YES),
    ("yes, please", None),
    ("yesterday", None),
    ("no", NO),
    ("No.", None),
    ("reject Too Slow ", Word(approved=False, feedback="Too Slow")),
    ("rejected  because of İ and ß", Word(approved=False, feedback="because of İ and ß")),
    ("nope", None),
    ("", None),
    ("maybe", None),
]


@pytest.mark.parametrize(("reply", "expected"), REPLIES, ids=[reply for reply, _ in REPLIES])
def test_a_reply_means_what_its_first_word_says(reply: str, expected: Word | None) -> None:
    assert word_of(reply, APPROVE_KEYWORDS, REJECT_KEYWORDS) == expected


def test_approval_is_looked_for_first_and_keywords_may_be_several_words() -> None:
    assert word_of("no", ("no",), ("no",)) == YES
    assert word_of("Go Away from here", ("go",), ("go away",)) == YES
    assert word_of("Go Away from here", (), ("go away",)) == Word(approved=False, feedback="from here")
    assert word_of("anything", ("",), ("",)) is None


@given(some.text(max_size=60), some.lists(some.text(max_size=8), max_size=4), some.lists(some.text(max_size=8), max_size=4))
def test_feedback_is_a_part_of_the_reply(reply: str, approve: list[str], reject: list[str]) -> None:
    word = word_of(reply, approve, reject)
    assert word is None or word.feedback in reply


NOT_ASKED: list[object] = [
    None,
    "human_approval_request",
    [],
    {},
    {"type": "workflow_notification", "run_id": "r", "step_id": "s"},
    {"type": "human_approval_request", "run_id": "r"},
    {"type": "human_approval_request", "run_id": 1, "step_id": "s"},
]


@pytest.mark.parametrize("body", NOT_ASKED, ids=repr)
def test_what_names_no_run_and_step_asks_nothing(body: object) -> None:
    assert raised(body, NOW_MS) is None


def test_a_question_has_the_published_defaults() -> None:
    asked = raised({"type": "human_approval_request", "run_id": "r", "step_id": "s", "content": "?", "approve_keywords": "yes"}, NOW_MS)
    assert asked is not None
    assert (asked.workflow_name, asked.title, asked.message, asked.cwd) == ("", "Human approval needed", "", "/tmp")
    assert (asked.approve_keywords, asked.reject_keywords, asked.expires_ms) == (APPROVE_KEYWORDS, REJECT_KEYWORDS, 0)


TIMEOUTS: list[tuple[object, int]] = [
    (1.5, NOW_MS + 1500),
    (60, NOW_MS + 60_000),
    (0, 0),
    (-1, 0),
    (1e300, 0),
    (True, 0),
    ("5", 0),
    (None, 0),
]


@pytest.mark.parametrize(("timeout", "expires_ms"), TIMEOUTS, ids=[repr(timeout) for timeout, _ in TIMEOUTS])
def test_a_timeout_ends_the_question(timeout: object, expires_ms: int) -> None:
    asked = raised({"type": "human_approval_request", "run_id": "r", "step_id": "s", "timeout": timeout}, NOW_MS)
    assert asked is not None
    assert asked.expires_ms == expires_ms


def test_what_a_question_says_is_bounded() -> None:
    long = {"title": "x" * 20_000, "message": "y" * 20_000}
    words = [" A " if number == 0 else "b" for number in range(100)]
    body = {"type": "human_approval_request", "run_id": "r" * 999, "step_id": "s", "content": long, "approve_keywords": words}
    asked = raised(body, NOW_MS)
    assert asked is not None
    assert [len(asked.run_id), len(asked.title), len(asked.message), len(asked.approve_keywords)] == [
        256,
        MOST_TEXT_CHARS,
        MOST_TEXT_CHARS,
        MOST_KEYWORDS,
    ]
    assert asked.approve_keywords[0] == "a"
