"""How texts are cut into passages, and questions into words. Source: rantaiclaw.md §14."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain import knowledge
from clawgate.domain.knowledge import CHUNK_CHARS, MOST_WORDS, Chunk, Extracted, Hit, chunks, context, reading, words

MARKDOWN = """intro

# First

alpha

## Second ##
beta
```
# no heading
```
### Empty
# Last
"""


def test_passages_carry_the_heading_above_them() -> None:
    found = chunks(Extracted(text=MARKDOWN, has_headings=True))
    assert found == (Chunk("", "intro"), Chunk("First", "alpha"), Chunk("Second", "beta\n```\n# no heading\n```"))


def test_headings_are_those_of_the_text_in_order() -> None:
    assert reading(Extracted(text=MARKDOWN, has_headings=True)).headings == ("First", "Second", "Empty", "Last")


@pytest.mark.parametrize(
    ("line", "heading"),
    [
        ("# A", "A"),
        ("###### A ##  ", "A"),
        ("# C#", "C#"),
        ("#\tA # b", "A # b"),
        ("# a" + " " * 50_000 + "b", ("a" + " " * 199)),
        ("####### A", ""),
        ("#A", ""),
        ("#  ", ""),
    ],
)
def test_line_is_a_heading_or_not(line: str, heading: str) -> None:
    assert reading(Extracted(text=line, has_headings=True)).headings == ((heading,) if heading else ())


def test_marks_of_a_plain_text_are_no_headings() -> None:
    assert chunks(Extracted(text="# not a heading")) == (Chunk("", "# not a heading"),)


def test_paragraphs_are_gathered_up_to_the_size() -> None:
    paragraphs = ["x" * 500, "y" * 500, "z" * 500]
    assert [chunk.text for chunk in chunks(Extracted(text="\n\n".join(paragraphs)))] == ["x" * 500 + "\n\n" + "y" * 500, "z" * 500]


def test_long_paragraph_is_cut_at_sentences_and_overlaps() -> None:
    text = " ".join(f"This is sentence number {number}." for number in range(200))
    found = [chunk.text for chunk in chunks(Extracted(text=text))]
    assert len(found) > 4
    assert all(piece.endswith(".") for piece in found)
    for before, after in itertools.pairwise(found):
        assert after[:40] in before


@pytest.mark.parametrize("text", ["", " \n\n \t\n", "\n"])
def test_blank_text_has_no_passages(text: str) -> None:
    assert chunks(Extracted(text=text)) == ()
    assert Extracted(text=text).is_low_text


@pytest.mark.parametrize(("text", "pages", "is_low"), [("x" * 49, 1, True), ("x" * 50, 1, False), ("x" * 90, 2, True), ("x", None, False)])
def test_few_characters_a_page_are_low(text: str, pages: int | None, is_low: bool) -> None:
    assert Extracted(text=text, pages=pages).is_low_text is is_low


@given(st.text(alphabet=st.sampled_from("ab .\n#\t`~é"), max_size=6_000), st.booleans())
def test_passages_are_bounded_never_blank_and_lose_no_word(text: str, has_headings: bool) -> None:
    extracted = Extracted(text=text, has_headings=has_headings)
    found = chunks(extracted)
    assert all(chunk.text.strip() and len(chunk.text) <= CHUNK_CHARS for chunk in found)
    if not has_headings:
        assert {piece for chunk in found for piece in chunk.text if piece in "abé"} == {letter for letter in text if letter in "abé"}


def test_passages_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowledge, "MOST_CHUNKS", 3)
    assert len(chunks(Extracted(text="word " * 10_000))) == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ('" OR * NEAR( -', ("or", "near")),
        ("What? what! WHAT", ("what",)),
        ("Größe, naïve; 東京", ("größe", "naïve", "東京")),
        (" ".join(f"w{number}" for number in range(99)), tuple(f"w{number}" for number in range(MOST_WORDS))),
    ],
)
def test_words_of_a_question(text: str, expected: tuple[str, ...]) -> None:
    assert words(text) == expected


def test_context_names_title_and_section() -> None:
    hit = Hit(document="d", title="Manual", categories=(), section="Setup", position=0, text="Plug it in.", similarity=1.0)
    assert context([hit]) == "[Manual — Setup]\nPlug it in."
