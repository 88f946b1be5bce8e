"""No pattern of the house takes more than linear time, whatever it is given: each is found and tried with texts made of its own pieces.

A pattern that is wrong takes minutes for some 20,000 characters, or doubles its time with each; a right one takes milliseconds.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import clawgate

CHARS = 10_000
SECONDS = 0.3
"""Of processor time. A quadratic pattern needs more for so many characters."""
OPTIONAL = ("clawgate.agents.local_child",)
"""Programs rather than modules."""
BASIC = (
    "a",
    "A",
    "0",
    " ",
    "\t",
    "\n",
    "\r\n",
    "-",
    "_",
    ".",
    ",",
    ":",
    ";",
    "/",
    "\\",
    '"',
    "'",
    "=",
    "&",
    "?",
    "@",
    "#",
    "%",
    "{",
    "[",
    "(",
    "<",
    "é",
    "+",
    "%41",
    "\x1b[",
)
LATER = frozenset({"clawgate.web.tls._CERTIFICATE", "clawgate.web.tls._KEY"})
"""Read files of the operator alone, which are small."""


def patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Every pattern that hangs in a module, in tuples too, by its dotted name."""
    for found in pkgutil.walk_packages(clawgate.__path__, "clawgate."):
        if found.name not in OPTIONAL and not found.name.startswith("clawgate.testing") and not found.name.endswith("__main__"):
            for name, value in vars(importlib.import_module(found.name)).items():
                yield from in_value(f"{found.name}.{name}", value)


def in_value(name: str, value: object) -> Iterator[tuple[str, re.Pattern[Any]]]:
    if isinstance(value, re.Pattern):
        yield name, value
    elif isinstance(getattr(value, "__self__", None), re.Pattern):
        yield name, value.__self__  # type: ignore[attr-defined]  # a bound method: `_X = re.compile(…).search`
    elif isinstance(value, tuple) and isinstance(getattr(value, "pattern", None), str):
        yield f"{name}.pattern", re.compile(value.pattern)  # type: ignore[attr-defined]  # one that is compiled when it is first used
    elif isinstance(value, tuple):
        for number, below in enumerate(value):
            yield from in_value(f"{name}[{number}]", below)


def pieces(pattern: str) -> list[str]:
    """What the pattern itself speaks of: its literal words, and single characters."""
    words = re.findall(r"[A-Za-z0-9_-]{2,}", re.sub(r"\\[a-zA-Z]|\{[\d,]*\}|\[[^\]]*\]|\(\?[a-zA-Z<!=:]*>?", " ", pattern))
    literal = re.sub(r"\\(.)", r"\1", re.sub(r"\\[dswDSWbBAZz]|\(\?P<\w+>|\(\?[a-zA-Z:!=<]*|[()*+?^$]|\{[\d,]*\}|\[[^\]]*\]", "", pattern)).split("|")
    return list(dict.fromkeys([*BASIC, *words, *(text for text in literal if 0 < len(text) < 60)]))


def hostile(pattern: str) -> Iterator[str]:
    """Long texts that nearly match: a beginning, one piece again and again, an end that spoils it."""
    own = pieces(pattern)
    words = own[len(BASIC) :]
    for pump in own:
        for head in ("", *words[:6]):
            yield head + pump * (CHARS // len(pump)) + "\0"
    for first in words[:6]:
        for second in BASIC:
            yield (first + second) * (CHARS // (len(first) + len(second))) + "\0"
            yield '"' + first + second * CHARS + "\0"


FOUND = dict(patterns())


def test_the_patterns_are_found() -> None:
    assert {"clawgate.domain.sse._EOL", "clawgate.stores.memory._UNSEARCHABLE", "clawgate.domain.redaction._SHAPES[0].pattern"} <= set(FOUND)


SWEEPS = {"search", "findall", "finditer", "sub", "subn", "split"}


def uses(name: str) -> set[str]:
    """What the module does with its pattern: a whole text is matched once, a sweep begins at every character."""
    module, _, own = name.partition("[")[0].rpartition(".")
    source = Path(str(importlib.import_module(module).__file__)).read_text("utf-8")
    called = set(re.findall(rf"\b{re.escape(own)}\.(\w+)\(", source)) | set(re.findall(rf"\b{re.escape(own)} = re\.compile\(.*\)\.(\w+)", source))
    return {("search" if each in SWEEPS else each) for each in called} or {"match", "fullmatch", "search"}


@pytest.mark.parametrize("name", sorted(set(FOUND) - LATER))
def test_pattern_is_quick_whatever_it_reads(name: str) -> None:
    pattern = FOUND[name]
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    used = uses(name)
    for text in hostile(source):
        subject: Any = text if isinstance(pattern.pattern, str) else text.encode("utf-8", "replace")
        start = time.thread_time()
        for use in used - {"search"}:
            getattr(pattern, use)(subject)
        if "search" in used:
            sum(1 for _ in pattern.finditer(subject))
        assert time.thread_time() - start < SECONDS, (source, text[:80])
