"""Metrics. Ring: system (edge); implements `ports.events.Meter`. Source: zeroclaw.md A3 (/metrics), libraries.md §8, design §4.14.

A registry of our own, so that an embedder's metrics and ours do not meet. Children are cached: finding one through the library costs more than counting.
Label values can come from outside (a model's name): above 200 label sets, a family counts the rest under "other".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric

from clawgate.domain.metrics import FAMILIES, Family, Kind

MAX_LABEL_SETS = 200
MAX_LABEL_CHARS = 128
OVERFLOW = "other"
HINT = b'# Prometheus backend not enabled. Set [observability] backend = "prometheus" in config.\n'

Instrument = TypeVar("Instrument", Counter, Gauge, Histogram)


class _Cached(Generic[Instrument]):
    """One family and its children by label values; a family without labels is its own only child."""

    def __init__(self, family: Family, parent: Instrument, max_label_sets: int) -> None:
        self._family, self._max = family, max_label_sets
        self._parent: Instrument = parent
        self._children: dict[tuple[str, ...], Instrument] = {} if family.labels else {(): parent}

    def child(self, labels: tuple[str, ...]) -> Instrument:
        found = self._children.get(labels)
        return found if found is not None else self._new(labels)

    def _new(self, labels: tuple[str, ...]) -> Instrument:
        if len(labels) != len(self._family.labels):
            raise ValueError(f"{self._family.name} takes the labels {self._family.labels}, not {labels}")
        short = tuple(label[:MAX_LABEL_CHARS].encode("utf-8", "backslashreplace").decode() for label in labels)
        if short not in self._children and len(self._children) >= self._max:
            short = (OVERFLOW,) * len(labels)
        if short not in self._children:
            self._children[short] = self._parent.labels(*short)
        return self._children[short]


class PrometheusMeter:
    """Counts on a private registry. For one thread at a time, as everything in the daemon."""

    def __init__(self, namespace: str, families: tuple[Family, ...] = FAMILIES, max_label_sets: int = MAX_LABEL_SETS) -> None:
        """
        Args:
            namespace: prefix of the names, without the underscore.
            families: what there is to count.
            max_label_sets: per family; one more, "other", takes the rest.
        """
        self._registry = CollectorRegistry(auto_describe=False)
        self._counters: dict[str, _Cached[Counter]] = {}
        self._gauges: dict[str, _Cached[Gauge]] = {}
        self._histograms: dict[str, _Cached[Histogram]] = {}
        for family in families:
            self._add(namespace, family, max_label_sets)

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        """Adds to a counter.

        Raises:
            KeyError: there is no such counter. ValueError: wrong number of labels, or `by` below 0.
        """
        self._counters[name].child(labels).inc(by)

    def gauge(self, name: str, value: float, *labels: str) -> None:
        """Sets a gauge. Raises as `count`."""
        self._gauges[name].child(labels).set(value)

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Adds to a histogram. Raises as `count`."""
        self._histograms[name].child(labels).observe(value)

    def exposition(self) -> bytes:
        """Prometheus text format 0.0.4, without the library's `_created` samples."""
        return generate_latest(_WithoutCreated(self._registry))

    def _add(self, namespace: str, family: Family, cap: int) -> None:
        name, text, labels, registry = f"{namespace}_{family.name}", family.help, family.labels, self._registry
        if family.kind is Kind.COUNTER:
            self._counters[family.name] = _Cached(family, Counter(name, text, labels, registry=registry), cap)
        elif family.kind is Kind.GAUGE:
            self._gauges[family.name] = _Cached(family, Gauge(name, text, labels, registry=registry), cap)
        else:
            histogram = Histogram(name, text, labels, registry=registry, buckets=family.buckets)
            self._histograms[family.name] = _Cached(family, histogram, cap)


class _WithoutCreated:
    """The registry as `generate_latest` sees it; the library's own switch for this is global to the process, which belongs to the embedder."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


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
