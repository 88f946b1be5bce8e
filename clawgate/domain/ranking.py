"""How well texts fit the words of a query. Ring: domain. Source: Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009).

For collections where the index's own ranking takes too long: it counts every message that holds a word, however many there are. Here the texts at hand are the
collection, and accents are not folded: good enough for an order.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

_SATURATION, _LENGTH_WEIGHT = 1.2, 0.75
_LEAST_WEIGHT = 1e-6
_MOST_WORDS = 32
_WORD = re.compile(r"([^\W_]+)\s*(\*?)")
_OPERATORS = frozenset({"AND", "OR", "NOT", "NEAR"})


def query_words(query: str) -> tuple[str, ...]:
    """The words of a full-text query, folded, each once, without its operators; `begin*` keeps its star. At most 32."""
    found = (word.casefold() + star for word, star in _WORD.findall(query) if word not in _OPERATORS)
    return tuple(dict.fromkeys(found))[:_MOST_WORDS]


def scores(words: Sequence[str], texts: Sequence[str]) -> list[float]:
    """A number for each text, in their order; the more negative, the better it fits. Every number is below 0.

    Args:
        words: as `query_words` gives them.
    """
    folded = [text.casefold() for text in texts]
    counts = _counts(words, folded)
    average = sum(map(len, folded)) / max(len(folded), 1) or 1.0
    weights = [_weight(len(folded), sum(map(bool, each))) for each in zip(*counts, strict=True)]
    return [-_fit(each, weights, len(text) / average) for each, text in zip(counts, folded, strict=True)]


def _counts(words: Sequence[str], folded: Sequence[str]) -> list[list[int]]:
    """How often each word stands in each text."""
    forms = [re.escape(word.removesuffix("*")) + r"\w*" * word.endswith("*") for word in words]
    find = re.compile(rf"\b(?:{'|'.join(f'({form})' for form in forms)})\b").finditer
    counts = []
    for text in folded:
        each = [0] * len(words)
        for match in find(text) if words else ():
            each[(match.lastindex or 1) - 1] += 1
        counts.append(each)
    return counts


def _weight(total: int, holding: int) -> float:
    """Rare words weigh more; a word that most texts hold weighs next to nothing, as SQLite has it."""
    return max(math.log((total - holding + 0.5) / (holding + 0.5)), _LEAST_WEIGHT)


def _fit(counts: Sequence[int], weights: Sequence[float], relative_length: float) -> float:
    drag = _SATURATION * (1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * relative_length)
    return _LEAST_WEIGHT**2 + sum(weight * count * (_SATURATION + 1) / (count + drag) for weight, count in zip(weights, counts, strict=True))
