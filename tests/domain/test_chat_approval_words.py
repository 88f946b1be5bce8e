"""What a reply to a question about tools says. Source: rantaiclaw.md §13, §21 (channel approvals)."""

from __future__ import annotations

import pytest

from clawgate.domain.chat_approvals import Word, classify, distinct, question_text


@pytest.mark.parametrize("text", ["y", "YES", "ok", "Okay.", "allow", "approve!", "go", "do it", " Y \n", "yes!!!", "Do it ."])
def test_words_that_allow_once(text: str) -> None:
    assert classify(text) is Word.ONCE


@pytest.mark.parametrize("text", ["a", "Always", "yes always", "allow always!"])
def test_words_that_allow_always(text: str) -> None:
    assert classify(text) is Word.ALWAYS


@pytest.mark.parametrize("text", ["n", "NO", "deny", "cancel", "stop.", "skip", "nope"])
def test_words_that_deny(text: str) -> None:
    assert classify(text) is Word.DENY


@pytest.mark.parametrize("text", ["", "yes please", "no way", "y?", "what is a yes", "yesalways", ".", "ja"])
def test_ordinary_chat_is_no_approval(text: str) -> None:
    assert classify(text) is Word.OTHER


def test_question_names_each_tool_once() -> None:
    assert distinct(["shell", "fetch", "shell"]) == ("shell", "fetch")
    expected = "🔧 To do that I need to run `shell`, `fetch`.\nReply *Y* to allow once, *A* to always allow, or *N* to skip."
    assert question_text(["shell", "fetch", "shell"]) == expected
    assert "`a'b`" in question_text(["a`b"])
