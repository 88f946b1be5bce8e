"""What a measurement yields: a row, ours and perhaps a peer's side of it. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence

import msgspec

OURS = "clawgate"


class Side(msgspec.Struct, frozen=True):
    """What one server made of a row.

    Attributes:
        value: in the row's unit.
        p50_ms, p99_ms: latencies under that load, where there was one.
        rss_mib: of the server's process after it.
        cpu_us: processor time of the server's process for each answer, whatever it did for it, before or after.
    """

    value: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    rss_mib: float | None = None
    cpu_us: float | None = None


class Row(msgspec.Struct, frozen=True):
    """One line of the table. With several peers there is a row for each, with the same `ours`.

    Attributes:
        key: names the row for `targets.py`, the same in every run.
        name: for people.
        unit: of both values.
        peer: who `theirs` is; it has done the same work in the same run.
        note: what is unequal, or how it was set up.
    """

    key: str
    name: str
    unit: str
    ours: Side
    peer: str = ""
    theirs: Side | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours over theirs, whichever way is better."""
        return self.ours.value / self.theirs.value if self.theirs is not None and self.theirs.value else None


def middle(sides: Sequence[Side]) -> Side:
    """The median of each figure over the rounds; memory as it was at the end."""

    def median(name: str) -> float | None:
        found = [value for side in sides if (value := getattr(side, name)) is not None]
        return statistics.median(found) if found else None

    return Side(statistics.median(side.value for side in sides), median("p50_ms"), median("p99_ms"), sides[-1].rss_mib, median("cpu_us"))


def beside(key: str, name: str, sides: Mapping[str, Side], notes: Mapping[str, str] | None = None) -> Iterator[Row]:
    """A row of requests a second for each peer.

    Args:
        sides: ours as `OURS`, the peers by name.
        notes: by peer.
    """
    for peer, theirs in sides.items():
        if peer != OURS:
            yield Row(key, name, "req/s", sides[OURS], peer, theirs, (notes or {}).get(peer, ""))
