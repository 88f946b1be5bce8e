"""Long replies in parts. Ring: channels (wire). Source: rantaiclaw.md §7 ("split at 4096 chars").

A part ends, best first: at a line break, at a blank, between two characters as a reader sees them, both of the former only in the second half of
the part. The character it ends at is dropped; nothing else is lost, and no part is blank, since platforms refuse blank messages.
"""

from __future__ import annotations

import unicodedata

_JOINER = "\u200d"
_MAX_CLUSTER_CHARS = 32


def split(text: str, cap_chars: int) -> tuple[str, ...]:
    """The parts of `text`, in order, each of 1 to `cap_chars` characters; none when it is blank.

    Args:
        text: any length.
        cap_chars: at least 1; counted in code points, as the contract does.
    """
    parts, start = [], 0
    while start < len(text):
        end, resume = _cut(text, start, cap_chars)
        parts.append(text[start:end])
        start = resume
    return tuple(part for part in parts if part.strip())


def _cut(text: str, start: int, cap_chars: int) -> tuple[int, int]:
    limit = start + cap_chars
    if len(text) <= limit:
        return len(text), len(text)
    for separator in ("\n", " "):
        at = text.rfind(separator, start + cap_chars // 2 + 1, limit + 1)
        if at > start:
            return at, at + 1
    at = _between_characters(text, start, limit)
    return at, at


def _between_characters(text: str, start: int, limit: int) -> int:
    for at in range(limit, max(start, limit - _MAX_CLUSTER_CHARS), -1):
        if not _continues(text, start, at):
            return at
    return limit


def _continues(text: str, start: int, at: int) -> bool:
    """Whether the character at `at` belongs to the one before it: marks, joiners, skin tones, the second half of a flag or of CR LF."""
    here, before = text[at], text[at - 1]
    if _JOINER in (here, before) or unicodedata.category(here).startswith("M") or "\U0001f3fb" <= here <= "\U0001f3ff":
        return True
    if _is_flag(here) and _is_flag(before):
        return _flags_before(text, start, at) % 2 == 1
    return here == "\n" and before == "\r"


def _flags_before(text: str, start: int, at: int) -> int:
    count = 0
    while at - count > start and _is_flag(text[at - count - 1]):
        count += 1
    return count


def _is_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"
