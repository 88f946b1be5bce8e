"""The knowledge base: documents, the passages they are cut into, groups, and what a search finds. Ring: domain. Source: rantaiclaw.md §14.

A text is cut at its headings and paragraphs. Paragraphs are gathered up to `CHUNK_CHARS`; a longer one is cut at the end of a sentence, else of a word, and
each piece begins with the last `OVERLAP_CHARS` of the one before, so that what stands across the cut is found too. A passage never reaches over a heading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

CHUNK_CHARS = 1_200
OVERLAP_CHARS = 150
MOST_CHUNKS = 12_000
MOST_TEXT_CHARS = 12_000_000
MOST_DOCUMENTS = 10_000
MOST_GROUPS = 1_000
MOST_WORDS = 32
MOST_HEADINGS = 500
DEFAULT_TOP = 5
MOST_TOP = 50
MOST_CONTEXT_CHARS = 48_000
LOW_TEXT_CHARS_PER_PAGE = 50
"""A document with fewer characters a page is a scan, most likely."""

_HEADING = re.compile(r"#{1,6}[ \t]+(\S.*)")
"""Takes time that grows with the line and no faster; what closes a heading is cut off afterwards."""
_FENCE = re.compile(r"[ \t]{0,3}(```|~~~)")
_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"[.!?…。！？][\"')\]]*\s")


class Chunk(msgspec.Struct, frozen=True):
    """One passage; `section` is the heading above it, "" when there is none."""

    section: str
    text: str


class Extracted(msgspec.Struct, frozen=True, kw_only=True):
    """What came out of a file.

    Attributes:
        pages: None where there are none.
        has_headings: lines that begin with # are headings.
    """

    text: str
    title: str = ""
    pages: int | None = None
    has_headings: bool = False

    @property
    def is_low_text(self) -> bool:
        """Whether there is so little text that the file is a picture of a text, most likely."""
        return len(self.text.strip()) < LOW_TEXT_CHARS_PER_PAGE * (self.pages or 0) or not self.text.strip()


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was read: what is told of it, and its passages.

    Attributes:
        headings: at most `MOST_HEADINGS`, in order.
    """

    title: str
    chars: int
    words: int
    pages: int | None
    is_low_text: bool
    headings: tuple[str, ...]
    chunks: tuple[Chunk, ...]


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One document without its text.

    Attributes:
        kind: the extension that decided how it is read, such as "pdf".
        headings: at most `MOST_HEADINGS`, in order.
    """

    id: str
    title: str
    filename: str
    kind: str
    categories: tuple[str, ...] = ()
    headings: tuple[str, ...] = ()
    size_bytes: int
    chars: int
    words: int
    chunks: int
    pages: int | None
    is_low_text: bool
    created_ms: int
    updated_ms: int
    is_hidden: bool = False


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Documents that belong together. Names are unique."""

    id: str
    name: str
    description: str = ""
    color: str = ""
    created_ms: int = 0


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is searched for.

    Attributes:
        words: as `words` gives them; none find nothing.
        groups: ids; only documents of any of them. Empty = all.
        category: only documents of this one; "" = all.
        least: hits below this share of the best one's score are left out, 0 … 1.
    """

    words: tuple[str, ...]
    top: int = DEFAULT_TOP
    groups: tuple[str, ...] = ()
    category: str = ""
    least: float = 0.0


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """One passage that was found; `similarity` is its share of the best hit's score, which has 1."""

    document: str
    title: str
    categories: tuple[str, ...]
    section: str
    position: int
    text: str
    similarity: float


def words(text: str) -> tuple[str, ...]:
    """The first `MOST_WORDS` different words of a question."""
    return tuple(dict.fromkeys(match.group().lower() for match in _WORD.finditer(text)))[:MOST_WORDS]


def context(hits: Sequence[Hit]) -> str:
    """Hits as a text for a model, each under its title; at most `MOST_CONTEXT_CHARS`."""
    blocks = [f"[{hit.title}{' — ' + hit.section if hit.section else ''}]\n{hit.text}" for hit in hits]
    return "\n\n".join(blocks)[:MOST_CONTEXT_CHARS]


def chunks(extracted: Extracted) -> tuple[Chunk, ...]:
    """The passages of a text, at most `MOST_CHUNKS`; empty for a text without any."""
    found: list[Chunk] = []
    for section, text in _sections(extracted):
        for piece in _pieces(text):
            if len(found) == MOST_CHUNKS:
                return tuple(found)
            found.append(Chunk(section, piece))
    return tuple(found)


def reading(extracted: Extracted) -> Reading:
    """All that is kept of a text; not for the reactor's thread, texts may be long."""
    return Reading(
        title=extracted.title,
        chars=len(extracted.text),
        words=sum(1 for _ in _WORD.finditer(extracted.text)),
        pages=extracted.pages,
        is_low_text=extracted.is_low_text,
        headings=headings(extracted),
        chunks=chunks(extracted),
    )


def headings(extracted: Extracted) -> tuple[str, ...]:
    """Its headings in order, at most `MOST_HEADINGS`."""
    return tuple(section for section, _ in _sections(extracted) if section)[:MOST_HEADINGS]


def _sections(extracted: Extracted) -> Iterator[tuple[str, str]]:
    if not extracted.has_headings:
        yield "", extracted.text
        return
    section, lines, fence = "", list[str](), ""
    for line in extracted.text.splitlines():
        mark = _FENCE.match(line)
        if mark is not None:
            fence = "" if fence == mark[1] else (fence or mark[1])
        heading = None if fence else _HEADING.fullmatch(line)
        if heading is None:
            lines.append(line)
            continue
        if section or any(map(str.strip, lines)):
            yield section, "\n".join(lines)
        section, lines = _heading(heading[1]), []
    if section or lines:
        yield section, "\n".join(lines)


def _heading(text: str) -> str:
    text = text.rstrip()
    bare = text.rstrip("#")
    return (bare.rstrip() if not bare or bare[-1].isspace() else text)[:200]


def _pieces(text: str) -> Iterator[str]:
    gathered = ""
    for paragraph in re.split(r"\n[ \t]*\n", text):
        paragraph = paragraph.strip()
        if gathered and len(gathered) + 2 + len(paragraph) > CHUNK_CHARS:
            yield gathered
            gathered = ""
        if len(paragraph) > CHUNK_CHARS:
            *whole, paragraph = _cut(paragraph)
            yield from whole
        if paragraph:
            gathered = f"{gathered}\n\n{paragraph}" if gathered else paragraph
    if gathered:
        yield gathered


def _cut(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > CHUNK_CHARS:
        end = _end(text, start)
        yield text[start:end].strip()
        start = max(_word_start(text, end - OVERLAP_CHARS), start + 1)
    yield text[start:].strip()


def _end(text: str, start: int) -> int:
    """Where a piece ends: at the last sentence's end in its second half, else at the last blank there, else anywhere."""
    middle, limit = start + CHUNK_CHARS // 2, start + CHUNK_CHARS
    sentences = [match.end() for match in _SENTENCE_END.finditer(text, middle, limit)]
    if sentences:
        return sentences[-1]
    blank = max(text.rfind(" ", middle, limit), text.rfind("\n", middle, limit))
    return blank if blank > 0 else limit


def _word_start(text: str, position: int) -> int:
    """The first beginning of a word at or after `position`, close by; else `position`."""
    for index in range(position, min(position + 40, len(text))):
        if text[index - 1].isspace() and not text[index].isspace():
            return index
    return position
