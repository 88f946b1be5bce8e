"""What differs between two settings, and what of it counts at once. Ring: domain. Source: rantaiclaw.md §2 (hot reload), §15; `Note.live` in model.py.

Paths only: a value, and so a secret, never leaves this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from clawgate.domain.overlay import Path, text_of
from clawgate.domain.settings.model import Section, Settings
from clawgate.domain.settings.schema import Table, tree


class Changes(msgspec.Struct, frozen=True):
    """Paths of keys and tables that differ, written as TOML writes dotted keys, in the model's order.

    Attributes:
        live: taken up while running. restart: at the next start.
    """

    live: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """All of them."""
        return self.live + self.restart


def changes(old: Settings, new: Settings, below: tuple[Path, ...] = ((),)) -> Changes:
    """What differs.

    A table that one of them does not have at all is one difference; it is live if every key of it is.

    Args:
        below: only what is at or below one of these paths, or above it.
    """
    found = [(path, is_live) for path, is_live in _differences(tree(), (), old, new) if any(_touch(path, wanted) for wanted in below)]
    return Changes(
        tuple(text_of(path) for path, is_live in found if is_live),
        tuple(text_of(path) for path, is_live in found if not is_live),
    )


def _touch(path: Path, wanted: Path) -> bool:
    shared = min(len(path), len(wanted))
    return path[:shared] == wanted[:shared]


def _differences(table: Table, path: Path, old: Section | None, new: Section | None) -> Iterator[tuple[Path, bool]]:
    if old is None or new is None:
        if old is not new:
            yield path, all(key.note.live for key in table.keys)
        return
    for key in table.keys:
        if getattr(old, key.name) != getattr(new, key.name):
            yield (*path, key.name), key.note.live
    for child in table.tables:
        yield from _differences(child, (*path, child.name), getattr(old, child.name), getattr(new, child.name))
    for family in table.families:
        yield from _members(family, (*path, family.name), getattr(old, family.name), getattr(new, family.name))


def _members(family: Table, path: Path, old: Mapping[str, Section], new: Mapping[str, Section]) -> Iterator[tuple[Path, bool]]:
    for name in dict.fromkeys((*old, *new)):
        yield from _differences(family, (*path, name), old.get(name), new.get(name))
