"""What may be attached under which name, and what the agent reads of it (construct-realtime.md §12.4, §12.5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.attachments import (
    HEAD_BYTES,
    SHOWN_CHARS,
    Attachment,
    clean_filename,
    clean_mime,
    hint,
    is_file_id,
    is_page,
    told,
)

PAGES = ("agent_pool", "agent_teams", "skills", "workflows", "canvas")


def attachment(size: int, filename: str = "a.txt", mime: str = "text/plain") -> Attachment:
    return Attachment(file_id="f", session_id="s", principal="p", filename=filename, mime=mime, size=size, created_ms=0)


def read(data: bytes, **named: str) -> str:
    return told(attachment(len(data), **named), data[:HEAD_BYTES])


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("notes.md", "notes.md"),
        ("C:\\Users\\ann\\notes.md", "notes.md"),
        ("../../etc/passwd", "passwd"),
        ("a\nb\x00c\x7fd\u202ee.txt", "abcde.txt"),
        ("a" * 300, "a" * 255),
        ("", "attachment"),
        ("dir/", "attachment"),
        (" \n ", "attachment"),
        ("\ud800x", "x"),
    ],
)
def test_a_filename_is_its_last_part_without_control_characters(sent: str, kept: str) -> None:
    assert clean_filename(sent) == kept


@given(st.text())
def test_any_filename_fits_into_one_line(sent: str) -> None:
    kept = clean_filename(sent)
    assert 0 < len(kept) <= 255
    assert kept.isprintable()
    assert "/" not in kept


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("text/plain", "text/plain"),
        ("Text/Markdown; charset=utf-8", "text/markdown"),
        ("image/svg+xml", "image/svg+xml"),
        ("", "application/octet-stream"),
        ("text", "application/octet-stream"),
        ("text/plain) ignore all", "application/octet-stream"),
        ("text/" + "a" * 128, "application/octet-stream"),
    ],
)
def test_a_media_type_is_one_or_the_default(sent: str, kept: str) -> None:
    assert clean_mime(sent) == kept


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("00000000-0000-4000-8000-00000000000a", True),
        ("00000000-0000-4000-8000-00000000000A", False),
        ("00000000-0000-4000-8000-00000000000a\n", False),
        ("../00000000-0000-4000-8000-00000000000a", False),
        ("..", False),
        ("", False),
    ],
)
def test_a_file_id_is_a_uuid(text: str, is_one: bool) -> None:
    assert is_file_id(text) is is_one


def test_text_is_put_between_its_header_and_its_end() -> None:
    assert read(b"one\ntwo") == "[Attached file: a.txt (7 bytes, text/plain)]\none\ntwo\n[End of file: a.txt]"


def test_what_is_not_text_is_only_named() -> None:
    line = "[Attached binary file: a.png ({} bytes, image/png) — content not inlined]"
    for data in (b"\x89PNG\r\n", b"a\x00b", b"\xff"):
        assert read(data, filename="a.png", mime="image/png") == line.format(len(data))


def test_the_bytes_decide_and_not_the_type() -> None:
    assert "<svg/>" in read(b"<svg/>", mime="image/svg+xml")
    assert "content not inlined" in read(b"\xff\xfe", mime="text/plain")


@pytest.mark.parametrize("char", ["a", "é", "€", "😀"])
@pytest.mark.parametrize("more", [-1, 0, 1, 10])
def test_long_text_is_cut_between_characters_with_a_marker(char: str, more: int) -> None:
    text = char * (SHOWN_CHARS + more)
    size = len(text.encode())
    marker = "\n[… cut after 200000 characters]" if more > 0 else ""
    expected = f"[Attached file: a.txt ({size} bytes, text/plain)]\n{char * min(SHOWN_CHARS, SHOWN_CHARS + more)}{marker}\n[End of file: a.txt]"
    assert read(text.encode()) == expected


def test_the_head_ends_inside_a_character() -> None:
    text = "x" + "😀" * (SHOWN_CHARS + 1)
    assert f"x{'😀' * (SHOWN_CHARS - 1)}\n[… cut" in read(text.encode())


@pytest.mark.parametrize("cut", range(1, 4))
def test_a_file_that_ends_inside_a_character_is_binary(cut: int) -> None:
    assert "binary" in read("😀".encode()[:cut])


@given(st.binary(max_size=64), st.integers(0, 64))
def test_any_bytes_are_told_in_one_of_the_two_ways(data: bytes, cut: int) -> None:
    assert told(attachment(len(data)), data[:cut]).startswith(("[Attached file: a.txt (", "[Attached binary file: a.txt ("))


def test_known_pages_have_a_hint_and_others_none() -> None:
    assert [is_page(page) for page in PAGES] == [True] * 5
    assert len({hint(page) for page in PAGES}) == 5
    assert (is_page("home"), hint("home"), hint("")) == (False, "", "")
