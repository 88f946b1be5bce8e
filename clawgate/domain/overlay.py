"""The overlay: what was changed while running, above config.toml. Ring: domain. Source: design §4.11; rantaiclaw.md §16.

`config.runtime.toml` is a document like config.toml, and one table more:

    default_model = "other"               an entry: stands above what config.toml says
    [clawgate_overlay]
    removed = ["channels_config.linq"]    tombstones: what config.toml says there does not count
    [clawgate_overlay.seen]               for each entry and tombstone, the fingerprint of what config.toml said there when it was made
    default_model = "9c1185a5c5e9fc54"
    "channels_config.linq" = "0f2a…"

An entry with a fingerprint stands for its path whole, and for as long as config.toml says there what it said then: a later change of the file by hand is the
newer word and drops the entry. What has no fingerprint was written by hand; it is merged into the tables of config.toml, as upstream would, and stays.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping

import msgspec

from clawgate.domain.errors import Invalid

Path = tuple[str, ...]
"""The names from the top of the document to a key or table."""

TABLE = "clawgate_overlay"
ABSENT = "absent"
"""The fingerprint of nothing."""
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_NAME = re.compile(r'([A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*")(\.|\Z)')
_REMEDY = "Correct it, or delete the file to be rid of everything that was changed while running"


class Change(msgspec.Struct, frozen=True):
    """What a path is to say from now on; `value` None = nothing.

    Attributes:
        value: as a TOML reader gives it.
    """

    path: Path
    value: object = None


def merged(base: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """A new document: tables are merged, anything else in `above` replaces (rantaiclaw.md §16). Lists are shared, not copied."""
    result: dict[str, object] = {name: merged(value, {}) if isinstance(value, Mapping) else value for name, value in base.items()}
    for name, value in above.items():
        below = base.get(name)
        if isinstance(value, Mapping):
            result[name] = merged(below if isinstance(below, Mapping) else {}, value)
        else:
            result[name] = value
    return result


def effective(base: Mapping[str, object], overlay: Mapping[str, object]) -> dict[str, object]:
    """The document that config.toml and the overlay amount to.

    Raises:
        Invalid: `[clawgate_overlay]` is not as this module writes it.
    """
    kept = pruned(base, overlay)
    seen, removed = _read(kept)
    values = {name: value for name, value in kept.items() if name != TABLE}
    below = merged(base, {})
    for path in (*seen, *removed):
        remove(below, path)
    return merged(below, values)


def pruned(base: Mapping[str, object], overlay: Mapping[str, object]) -> dict[str, object]:
    """The overlay without what a change of config.toml has dropped. Raises Invalid, as `effective`."""
    seen, _ = _read(overlay)
    return without(overlay, (path for path, before in seen.items() if before != fingerprint(base, path)))


def without(overlay: Mapping[str, object], paths: Iterable[Path]) -> dict[str, object]:
    """The overlay without its entries and tombstones at these paths, and below them. Raises Invalid, as `effective`."""
    result = merged(overlay, {})
    seen, removed = _read(overlay)
    for path in paths:
        remove(result, path)
        seen = {other: before for other, before in seen.items() if other[: len(path)] != path}
        removed = [other for other in removed if other[: len(path)] != path]
    return _written(result, seen, removed)


def changed(base: Mapping[str, object], overlay: Mapping[str, object], changes: Iterable[Change]) -> dict[str, object]:
    """The overlay after `changes`: for each path that is to say something else than config.toml, an entry or a tombstone.

    Raises:
        Invalid: as `effective`.
    """
    wanted = tuple(changes)
    result = without(pruned(base, overlay), (change.path for change in wanted))
    seen, removed = _read(result)
    for change in wanted:
        if change.value == at(base, change.path):
            continue
        seen[change.path] = fingerprint(base, change.path)
        if change.value is None:
            removed.append(change.path)
        else:
            put(result, change.path, change.value)
    return _written(result, seen, removed)


def fingerprint(document: Mapping[str, object], path: Path) -> str:
    """What a document says at a path, as 16 hexadecimal digits; `ABSENT` for nothing. Order of keys, comments and spacing do not count."""
    found = at(document, path)
    if found is None:
        return ABSENT
    said = json.dumps(found, sort_keys=True, default=str)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def at(document: Mapping[str, object], path: Path) -> object:
    """What stands at a path; None where there is nothing, or no table on the way."""
    found: object = document
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def put(document: dict[str, object], path: Path, value: object) -> None:
    """Makes a path say `value`, in place; whatever else is no table on the way makes room."""
    table = document
    for name in path[:-1]:
        below = table.get(name)
        if not isinstance(below, dict):
            below = table[name] = {}
        table = below
    table[path[-1]] = value


def remove(document: dict[str, object], path: Path) -> None:
    """Takes a path out of a document, in place, and every table that is empty then."""
    if len(path) == 1:
        document.pop(path[0], None)
        return
    below = document.get(path[0])
    if isinstance(below, dict):
        remove(below, path[1:])
        if not below:
            del document[path[0]]


def text_of(path: Path) -> str:
    """A path as TOML writes a dotted key: `mcp_servers."my.files"`."""
    return ".".join(name if _BARE.fullmatch(name) else json.dumps(name) for name in path)


def path_of(text: str) -> Path:
    """The path that `text_of` wrote; () when it is none."""
    names: list[str] = []
    position, dotted = 0, True
    while dotted:
        found = _NAME.match(text, position)
        if found is None:
            return ()
        names.append(_unquoted(found[1]))
        position, dotted = found.end(), found[2] == "."
    return tuple(names) if all(names) else ()


def _unquoted(name: str) -> str:
    if not name.startswith('"'):
        return name
    try:
        return str(json.loads(name))
    except ValueError:
        return ""


def _read(overlay: Mapping[str, object]) -> tuple[dict[Path, str], list[Path]]:
    """Fingerprints by path, and tombstones."""
    own = overlay.get(TABLE, {})
    if not isinstance(own, Mapping):
        raise Invalid(TABLE, "is no table", _REMEDY)
    seen, removed = own.get("seen", {}), own.get("removed", [])
    if not isinstance(seen, Mapping) or not all(isinstance(before, str) for before in seen.values()):
        raise Invalid(f"{TABLE}.seen", "is no table of texts", _REMEDY)
    if not isinstance(removed, list) or not all(isinstance(text, str) for text in removed):
        raise Invalid(f"{TABLE}.removed", "is no list of texts", _REMEDY)
    return {_named("seen", text): str(before) for text, before in seen.items()}, [_named("removed", text) for text in removed]


def _named(key: str, text: str) -> Path:
    path = path_of(text)
    if not path:
        raise Invalid(f"{TABLE}.{key}", f'"{text[:60]}" names no setting', _REMEDY)
    return path


def _written(document: dict[str, object], seen: Mapping[Path, str], removed: Iterable[Path]) -> dict[str, object]:
    document.pop(TABLE, None)
    own: dict[str, object] = {}
    if stones := [text_of(path) for path in removed]:
        own["removed"] = stones
    if seen:
        own["seen"] = {text_of(path): before for path, before in seen.items()}
    return document | ({TABLE: own} if own else {})
