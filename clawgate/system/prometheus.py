"""Metrics. Ring: system (edge); implements `ports.events.Meter`. Source: zeroclaw.md A3 (/metrics), libraries.md §8, design §4.14.

Counting is ours, numbers in dictionaries: a request does it a dozen times, which took two to five times as long through prometheus_client's instruments. What
is scraped is the library's, which collects from here. Label values can come from outside (a model's name): above 200 label sets, a family counts the rest
under "other".
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from clawgate.domain.metrics import FAMILIES, Family, Kind

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

MAX_LABEL_SETS = 200
MAX_LABEL_CHARS = 128
OVERFLOW = "other"
HINT = b'# Prometheus backend not enabled. Set [observability] backend = "prometheus" in config.\n'
Labels = tuple[str, ...]


class _Cells:
    """One family and its cells by label values; a family without labels has its only cell from the start.

    A cell is the number; of a histogram, what fell into each bucket alone, the one without a bound last, and then the sum.
    """

    __slots__ = ("_cells", "_max", "family")

    def __init__(self, family: Family, max_label_sets: int) -> None:
        self.family, self._max = family, max_label_sets
        self._cells: dict[Labels, list[float]] = {} if family.labels else {(): self._made()}

    def of(self, labels: Labels) -> list[float]:
        found = self._cells.get(labels)
        return found if found is not None else self._of_new(labels)

    def _of_new(self, labels: Labels) -> list[float]:
        if len(labels) != len(self.family.labels):
            raise ValueError(f"{self.family.name} takes the labels {self.family.labels}, not {labels}")
        short = tuple(label[:MAX_LABEL_CHARS].encode("utf-8", "backslashreplace").decode() for label in labels)
        if short not in self._cells and len(self._cells) >= self._max:
            short = (OVERFLOW,) * len(labels)
        return self._cells.setdefault(short, self._made())

    def _made(self) -> list[float]:
        return [0.0] * (len(self.family.buckets) + 2 if self.family.kind is Kind.HISTOGRAM else 1)

    def metric(self, namespace: str) -> Metric:
        """The family as the library writes it."""
        from prometheus_client import core  # imported at the first scrape: nobody pays for it who is not scraped

        make = {Kind.COUNTER: core.CounterMetricFamily, Kind.GAUGE: core.GaugeMetricFamily, Kind.HISTOGRAM: core.HistogramMetricFamily}
        found: Any = make[self.family.kind](f"{namespace}_{self.family.name}", self.family.help, labels=self.family.labels)
        for labels, cell in self._cells.items():
            found.add_metric(labels, *((self._buckets(cell), cell[-1]) if self.family.kind is Kind.HISTOGRAM else cell))
        return found  # type: ignore[no-any-return]  # one of three, whose `add_metric` differ

    def _buckets(self, cell: list[float]) -> list[tuple[str, float]]:
        return list(zip((*map(repr, self.family.buckets), "+Inf"), accumulate(cell[:-1]), strict=True))


class PrometheusMeter:
    """Counts, and is a collector of prometheus_client: it can be registered with a registry of an embedder's, too. For one thread at a time."""

    def __init__(self, namespace: str, families: tuple[Family, ...] = FAMILIES, max_label_sets: int = MAX_LABEL_SETS) -> None:
        """
        Args:
            namespace: prefix of the names, without the underscore.
            families: what there is to count.
            max_label_sets: per family; one more, "other", takes the rest.
        """
        self._namespace = namespace
        self._all = [_Cells(family, max_label_sets) for family in families]
        self._counters, self._gauges, self._histograms = (
            {cells.family.name: cells for cells in self._all if cells.family.kind is kind} for kind in (Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM)
        )

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        """Adds to a counter.

        Raises:
            KeyError: there is no such counter. ValueError: wrong number of labels, or `by` below 0.
        """
        if by < 0:
            raise ValueError(f"{name} only grows")
        self._counters[name].of(labels)[0] += by

    def gauge(self, name: str, value: float, *labels: str) -> None:
        """Sets a gauge. Raises as `count`."""
        self._gauges[name].of(labels)[0] = float(value)

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Adds to a histogram. Raises as `count`."""
        cells = self._histograms[name]
        cell = cells.of(labels)
        cell[bisect_left(cells.family.buckets, value)] += 1
        cell[-1] += value

    def collect(self) -> Iterator[Metric]:
        """Every family, for a registry."""
        return (cells.metric(self._namespace) for cells in self._all)

    def exposition(self) -> bytes:
        """Prometheus text format 0.0.4."""
        from prometheus_client import CollectorRegistry, generate_latest  # as above

        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)


class NoMeter:
    """Counts nothing and says how to change that; unknown names are still programming errors."""

    def __init__(self, families: tuple[Family, ...] = FAMILIES) -> None:
        self._known = {family.name: family for family in families}

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        """Nothing, or KeyError."""
        self._known[name]

    def gauge(self, name: str, value: float, *labels: str) -> None:
        """Nothing, or KeyError."""
        self._known[name]

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Nothing, or KeyError."""
        self._known[name]

    def exposition(self) -> bytes:
        """The published hint line."""
        return HINT
