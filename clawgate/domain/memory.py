"""What may be remembered, how it is found again, and how it looks in MEMORY.md. Ring: domain. Source: rantaiclaw.md §10 (memory).

    content  →  invisible characters out  →  blank or forged?  refused  →  credentials masked  →  stored

A text that carries the mark under which recalled memories stand in a prompt could pass for what the gateway itself said; it is refused, also when invisible
characters were put between its letters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import msgspec

from clawgate.domain.errors import BadRequest, InvalidContent, RejectedContent
from clawgate.domain.messages import MemoryEntry
from clawgate.domain.redaction import Redactor

CORE = "core"
MOST_CONTENT_CHARS = 32_000
MOST_KEY_CHARS = 256
MOST_CATEGORY_CHARS = 64
MOST_WORDS = 32
MARK = "<!-- Written by clawgate from its core memories. What is changed here is overwritten. -->"
_FORGED = re.compile(r"\[\s*memory\s+context\s*\]", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+")
_REDACTOR = Redactor()
_STOP_WORDS = frozenset(
    _WORD.findall(
        "about all and any are but can could did does for from had has have her him his how its just may not now off our out she should some than that "
        "the them then there these they this those was were what when where which who why will with would you your"
    )
)


class Cleaned(msgspec.Struct, frozen=True):
    """A text as it is stored, and what was done to it."""

    content: str
    notes: tuple[str, ...] = ()


class Stored(msgspec.Struct, frozen=True):
    """What became of a text that was to be remembered."""

    key: str
    notes: tuple[str, ...] = ()


class MemoryHit(msgspec.Struct, frozen=True):
    """What a search found.

    Attributes:
        score: bm25, the more negative the better; None for what is found by its words alone.
    """

    entry: MemoryEntry
    score: float | None = None


class MemoryPage(msgspec.Struct, frozen=True):
    """Some of what is remembered, and how much there is in all."""

    hits: tuple[MemoryHit, ...]
    total: int


def cleaned(content: str) -> Cleaned:
    """A text as it may be remembered.

    Raises:
        InvalidContent: nothing is in it, or it is too long.
        RejectedContent: it carries the mark of recalled memories.
    """
    lines = content.replace("\r\n", "\n").replace("\r", "\n")
    visible = "".join(char for char in lines if not _is_invisible(char))
    if not visible.strip():
        raise InvalidContent("content must not be empty")
    if len(visible) > MOST_CONTENT_CHARS:
        raise InvalidContent(f"content must not be longer than {MOST_CONTENT_CHARS} characters")
    if is_forged(visible):
        raise RejectedContent("content must not contain a [Memory context] block")
    masked = _REDACTOR.text(visible)
    removed = len(lines) - len(visible)
    notes = (f"removed {removed} invisible character(s)",) if removed else ()
    return Cleaned(masked, notes if masked == visible else (*notes, "redacted what looked like a credential"))


def is_forged(content: str) -> bool:
    """Whether a text pretends to be recalled memories."""
    return _FORGED.search(content) is not None


def checked_key(key: str) -> str:
    """A key that a caller chose.

    Raises:
        BadRequest: no address could be made of it, or it is the name of another route.
    """
    segments = key.split("/")
    is_path = all(segment not in ("", ".", "..") for segment in segments) and "\\" not in key and not key[-1:].isspace() and not key[:1].isspace()
    if not (is_path and len(key) <= MOST_KEY_CHARS and key.isprintable() and key != "stats"):
        raise BadRequest(f"key must be at most {MOST_KEY_CHARS} visible characters that can stand in a path")
    return key


def checked_category(category: str) -> str:
    """A category that a caller chose, trimmed. Raises BadRequest when it is blank, long or not printable."""
    category = category.strip()
    if not category or len(category) > MOST_CATEGORY_CHARS or not category.isprintable():
        raise BadRequest(f"category must be 1 to {MOST_CATEGORY_CHARS} visible characters")
    return category


def telling_words(question: str) -> tuple[str, ...]:
    """The words of a question that say what it is about, folded, each once, in their order; at most 32."""
    words = dict.fromkeys(word for word in _folded_words(question) if len(word) > 2 and word not in _STOP_WORDS)
    return tuple(words)[:MOST_WORDS]


def worth_recalling(words: Iterable[str], found: Iterable[MemoryEntry], limit: int) -> tuple[MemoryEntry, ...]:
    """The entries that share most words with a question, best first.

    Args:
        words: as `telling_words` gives them.
        found: in the order that decides between equals.
    """
    wanted = frozenset(words)
    shared = [(len(wanted.intersection(_folded_words(entry.content))), entry) for entry in found if not is_forged(entry.content)]
    ranked = sorted((pair for pair in shared if pair[0]), key=_shared, reverse=True)
    return tuple(entry for _, entry in ranked[:limit])


def markdown(entries: Iterable[MemoryEntry]) -> str:
    """MEMORY.md: a list item for each entry, in their order; an entry of several lines is indented below its first."""
    items = ["- " + "\n  ".join(entry.content.strip().splitlines()) + "\n" for entry in entries]
    return f"{MARK}\n\n# Memory\n\n" + "".join(items)


def _shared(pair: tuple[int, MemoryEntry]) -> int:
    return pair[0]


def _is_invisible(char: str) -> bool:
    return char not in "\n\t" and unicodedata.category(char) in ("Cc", "Cf", "Cs")


def _folded_words(text: str) -> Iterable[str]:
    folded = text.casefold()
    if not folded.isascii():
        folded = "".join(char for char in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(char))
    return _WORD.findall(folded)
