"""A few minutes of the soak's day (`make soak` is the whole of it): every answer as it should be, and nothing left behind when everybody has gone."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.soak.report import Report, loaded, page, verdict
from tests.soak.run import Soaked, soak

REQUESTS = 20_000
LOOSE_GROWTH_KIB = 64 * 1024
"""Over the idle daemon: maps and caches that have not reached their bounds yet; two leaked connections a hundred requests would be more."""


@pytest.fixture(scope="module")
def soaked(tmp_path_factory: pytest.TempPathFactory) -> Soaked:
    return asyncio.run(soak(tmp_path_factory.mktemp("soak"), REQUESTS, 24, lambda sample: None, samples=20))


def test_every_answer_of_a_busy_day_is_as_expected(soaked: Soaked) -> None:
    assert soaked.examples == []
    assert soaked.unexpected == 0
    assert soaked.requests >= REQUESTS


def test_nothing_is_left_when_everybody_has_gone(soaked: Soaked) -> None:
    first, last = soaked.samples[0], soaked.samples[-1]
    assert last.gauges["http_connections"] == first.gauges["http_connections"] == 1  # the sampler's own
    assert [last.gauges[name] for name in ("sockets_open", "turns_running", "queue_depth", "store_queue_depth")] == [0, 0, 0, 0]
    assert last.gauges["unhandled_errors_total"] == 0
    assert last.fds - first.fds <= 16, "pools: connections to platforms, readers of the store"
    assert last.threads - first.threads <= 12


def test_memory_stays_within_a_loose_bound(soaked: Soaked) -> None:
    assert loaded(soaked)[-1].rss_kib - soaked.samples[0].rss_kib < LOOSE_GROWTH_KIB


def test_the_daemon_did_not_complain(soaked: Soaked) -> None:
    assert soaked.complaints == {}


def test_the_page_tells_of_each_habit(soaked: Soaked) -> None:
    text = page(Report({"cpu": "this"}, soaked))
    assert f"{soaked.requests:,} requests" in text
    assert all(f"| {habit.replace('_', ' ')} | {count:,} |" in text for habit, count in soaked.asked.items())
    assert ("kept" if verdict(soaked).is_kept else "broken") in text
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1
