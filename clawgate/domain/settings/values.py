"""From what a file or a variable holds to a value of the right kind. Ring: domain.

Only what cannot lose or change a meaning is converted: a whole number where a number may have a fraction, `3000.0` where a whole one is wanted. Everything
else is refused with what to write instead. A secret's text never appears in a message.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from clawgate.domain.errors import Invalid
from clawgate.domain.secret import Secret
from clawgate.domain.settings.schema import Key, Kind

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}\Z")
_FLAGS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
_SHOWN_CHARS = 60


def coerce(key: Key, found: object) -> object:
    """The value that `found`, as TOML gives it, stands for; lists become tuples and secrets `Secret`s without blanks at their ends.

    Raises:
        Invalid: it is of another kind.
    """
    value = _COERCIONS[key.kind](found)
    if value is None:
        hidden = key.kind in (Kind.SECRET, Kind.SECRET_LIST) or key.path == "gateway.paired_tokens"
        raise Invalid(key.path, f"is {described(found, hidden=hidden)} and must be {key.kind.value}", _remedy(key, found, hidden=hidden))
    return value


def from_text(key: Key, text: str) -> object:
    """The TOML value that a variable's text stands for; the text itself where it fits nothing, for `coerce` to complain about.

    Lists are separated by commas.
    """
    stripped = text.strip()
    if key.kind is Kind.FLAG:
        return _FLAGS.get(stripped.lower(), text)
    if key.kind is Kind.COUNT:
        return int(stripped) if _INTEGER.match(stripped) else text
    if key.kind is Kind.NUMBER:
        return _float(stripped, text)
    if key.kind is Kind.TEXTS:
        return [part.strip() for part in text.split(",") if part.strip()]
    return stripped


def described(found: object, *, hidden: bool = False) -> str:
    """What was found, for a message: its kind, and its value when that is short and not `hidden`."""
    if isinstance(found, Mapping):
        return "a table"
    if isinstance(found, list | tuple):
        return "a list"
    kind = (
        "text"
        if isinstance(found, str)
        else "a flag"
        if isinstance(found, bool)
        else "a number"
        if isinstance(found, int | float)
        else "a date or time"
    )
    return kind if hidden else f"{kind} ({_shown(found)})"


def _float(stripped: str, text: str) -> object:
    try:
        return float(stripped)
    except ValueError:
        return text


def _flag(found: object) -> bool | None:
    return found if isinstance(found, bool) else None


def _count(found: object) -> int | None:
    if isinstance(found, bool):
        return None
    if isinstance(found, float):
        return int(found) if found.is_integer() else None
    return found if isinstance(found, int) else None


def _number(found: object) -> float | None:
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        value = float(found)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def _text(found: object) -> str | None:
    return found if isinstance(found, str) else None


def _secret(found: object) -> Secret | None:
    return Secret(found.strip()) if isinstance(found, str) else None


def _texts(found: object) -> tuple[str, ...] | None:
    if not isinstance(found, list | tuple) or not all(isinstance(entry, str) for entry in found):
        return None
    return tuple(found)


def _secrets(found: object) -> dict[str, Secret] | None:
    if not isinstance(found, Mapping) or not all(isinstance(entry, str) for entry in found.values()):
        return None
    return {str(name): Secret(entry) for name, entry in found.items()}


def _secret_list(found: object) -> tuple[Secret, ...] | None:
    texts = _texts(found)
    return None if texts is None else tuple(Secret(text.strip()) for text in texts)


def _text_table(found: object) -> dict[str, str] | None:
    if not isinstance(found, Mapping) or not all(isinstance(entry, str) for entry in found.values()):
        return None
    return {str(name): entry for name, entry in found.items()}


_COERCIONS: Mapping[Kind, Callable[[object], object]] = {
    Kind.FLAG: _flag,
    Kind.COUNT: _count,
    Kind.NUMBER: _number,
    Kind.TEXT: _text,
    Kind.SECRET: _secret,
    Kind.TEXTS: _texts,
    Kind.SECRETS: _secrets,
    Kind.SECRET_LIST: _secret_list,
    Kind.TEXT_TABLE: _text_table,
}


def _shown(found: object) -> str:
    try:
        text = f'"{found}"' if isinstance(found, str) else str(found).lower() if isinstance(found, bool) else str(found)
    except ValueError:  # Python refuses to print integers of thousands of digits
        return "a very long one"
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"


def _remedy(key: Key, found: object, *, hidden: bool) -> str:
    name = key.name
    if key.kind is Kind.FLAG:
        return f"Write {name} = true or {name} = false, without quotes"
    if key.kind in (Kind.COUNT, Kind.NUMBER):
        if isinstance(found, str) and _INTEGER.match(found.strip()):
            return f"Write {name} = {int(found)}, without quotes"
        return f"Write a {'whole ' if key.kind is Kind.COUNT else ''}number, such as {name} = {_example(key)}"
    if key.kind in (Kind.TEXTS, Kind.SECRET_LIST):
        return f"Write a list of quoted texts, such as {name} = {_list_example(found, hidden=hidden)}"
    if key.kind in (Kind.SECRETS, Kind.TEXT_TABLE):
        return f'Write a table of quoted texts, such as {name} = {{ NAME = "…" }}'
    return f'Write it in quotes, such as {name} = "…"'


def _example(key: Key) -> object:
    return key.default if key.default is not None else 1


def _list_example(found: object, *, hidden: bool) -> str:
    return f"[{_shown(found)}]" if isinstance(found, str) and not hidden else '["…"]'
