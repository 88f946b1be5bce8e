"""Triggers: named prompts that a program sets off. Ring: domain. Source: rantaiclaw.md §8; design §4.2, §4.15.

{name} in a message   is the first query value of that name, else the JSON body's top-level text, number, true or false of that name;
unknown ones stay as they are; what was filled in is not looked at again
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec

from clawgate.domain.errors import NotFound, TooLarge

MOST_PROMPT_CHARS = 262_144
"""A message may name one long value many times."""
_SHALLOW = 100
"""Brackets of a kind; with fewer, nothing is nested too deep."""
_PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_][A-Za-z0-9_.-]{0,63})\}")
Body = dict[str, object]


class TriggerRoute(msgspec.Struct, frozen=True):
    """One entry of webhook-routes.json.

    Attributes:
        path: as written there.
        skill: loaded for the turn when there is one of that name.
        message: what is asked, with placeholders.
    """

    path: str
    skill: str
    message: str


class NoTrigger(NotFound):
    """No route is registered for the path.

    Attributes:
        path: normalised.
        available: the paths there are, as written.
    """

    def __init__(self, path: str, available: tuple[str, ...]) -> None:
        super().__init__(f"No trigger route registered for path: {path}")
        self.path, self.available = path, available


def normalised(path: str) -> str:
    """The path as it is compared: without slashes at its beginning."""
    return path.lstrip("/")


def find(routes: Sequence[TriggerRoute], path: str) -> TriggerRoute:
    """The first route of exactly this path. Raises NoTrigger."""
    wanted = normalised(path)
    for route in routes:
        if normalised(route.path) == wanted:
            return route
    raise NoTrigger(wanted, tuple(route.path for route in routes))


def read_body(raw: bytes) -> Body:
    """The object that a body holds; whatever else it is, is no body (rantaiclaw.md §8: never an error)."""
    try:
        found = parsed(raw)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def parsed(raw: bytes) -> object:
    """The JSON value that stands in `raw`, if it can be written down again. Raises ValueError for everything else."""
    try:
        found: object = msgspec.json.decode(raw)  # knows no NaN, no number beyond the finite ones and no half of a surrogate pair
        if _may_be_deep(raw):  # deeper than can be written
            json.dumps(found)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise ValueError(str(problem)) from None
    return found


def prompt(route: TriggerRoute, query: Mapping[str, str], body: Body) -> str:
    """What the agent is asked: the filled-in message, and the body's `payload`, compact with sorted keys, when there is one.

    Raises:
        TooLarge: that would be longer than `MOST_PROMPT_CHARS`.
    """
    text = f"[Webhook Trigger: {route.skill}] {fill(route.message, query, body)}"
    payload = body.get("payload")
    if payload is not None:
        text += "\n\nPayload: " + json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if len(text) > MOST_PROMPT_CHARS:
        raise TooLarge(_TOO_LONG)
    return text


def fill(message: str, query: Mapping[str, str], body: Body) -> str:
    """The message with its placeholders filled in, in one pass. Raises TooLarge."""
    pieces, room = list(_pieces(message)), MOST_PROMPT_CHARS
    for position in range(1, len(pieces), 2):
        text = _value(pieces[position], query, body)
        pieces[position] = text = f"{{{pieces[position]}}}" if text is None else text
        room -= len(text)
        if room < 0:
            raise TooLarge(_TOO_LONG)
    return "".join(pieces)


@lru_cache(maxsize=256)
def _pieces(message: str) -> tuple[str, ...]:
    """Its text and the names of its placeholders, by turns; text begins and ends it."""
    return tuple(_PLACEHOLDER.split(message))


def unfilled(message: str, query: Mapping[str, str], body: Body) -> tuple[str, ...]:
    """Names in a message that `fill` would leave as they are."""
    return tuple(name for name in _pieces(message)[1::2] if _value(name, query, body) is None)


_TOO_LONG = f"The prompt would be longer than {MOST_PROMPT_CHARS} characters"


def _value(name: str, query: Mapping[str, str], body: Body) -> str | None:
    return query[name] if name in query else _scalar(body.get(name))


def _scalar(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, int | float) else None


def _may_be_deep(raw: bytes) -> bool:
    for bracket in (b"[", b"{"):
        at = -1
        for _ in range(_SHALLOW):  # not `count`, which reads a long body ten times slower than this
            at = raw.find(bracket, at + 1)
            if at < 0:
                break
        else:
            return True
    return False
