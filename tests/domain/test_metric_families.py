"""The table of metric families: upstream's names, labels and buckets, and sound ones of our own."""

from __future__ import annotations

import re

import pytest

from clawgate.domain.metrics import FAMILIES, Family, Kind

BY_NAME = {family.name: family for family in FAMILIES}
AGENT = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
TOOL = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
LATENCY = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@pytest.mark.parametrize(
    ("name", "kind", "labels", "buckets"),
    [
        ("agent_starts_total", Kind.COUNTER, {"model", "provider"}, ()),
        ("agent_duration_seconds", Kind.HISTOGRAM, {"model", "provider"}, AGENT),
        ("tool_calls_total", Kind.COUNTER, {"success", "tool"}, ()),
        ("tool_duration_seconds", Kind.HISTOGRAM, {"tool"}, TOOL),
        ("channel_messages_total", Kind.COUNTER, {"channel", "direction"}, ()),
        ("heartbeat_ticks_total", Kind.COUNTER, set(), ()),
        ("errors_total", Kind.COUNTER, {"component"}, ()),
        ("request_latency_seconds", Kind.HISTOGRAM, set(), LATENCY),
        ("tokens_used_last", Kind.GAUGE, set(), ()),
        ("active_sessions", Kind.GAUGE, set(), ()),
        ("queue_depth", Kind.GAUGE, set(), ()),
        ("llm_requests_total", Kind.COUNTER, {"provider", "model"}, ()),
    ],
)
def test_upstreams_families(name: str, kind: Kind, labels: set[str], buckets: tuple[float, ...]) -> None:
    family = BY_NAME[name]
    assert (family.kind, set(family.labels), family.buckets) == (kind, labels, buckets)


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_each_family_follows_the_naming_rules(family: Family) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", family.name)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", label) for label in family.labels)
    assert family.name.endswith("_total") == (family.kind is Kind.COUNTER)
    assert bool(family.buckets) == (family.kind is Kind.HISTOGRAM)
    assert list(family.buckets) == sorted(set(family.buckets))
    assert family.help
