"""Metrics as Prometheus reads them (zeroclaw.md A3, design §4.14)."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from clawgate.domain.metrics import FAMILIES, Family, Kind
from clawgate.ports.events import Meter
from clawgate.system.prometheus import HINT, MAX_LABEL_SETS, NoMeter, PrometheusMeter

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(meter: Meter) -> Samples:
    families = text_string_to_metric_families(meter.exposition().decode())
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for family in families for sample in family.samples}


def filled() -> PrometheusMeter:
    meter = PrometheusMeter("clawgate")
    for family in FAMILIES:
        labels = tuple(f'a"b\\c\n{label}' for label in family.labels)
        if family.kind is Kind.COUNTER:
            meter.count(family.name, *labels)
        elif family.kind is Kind.GAUGE:
            meter.gauge(family.name, 2.5, *labels)
        else:
            meter.observe(family.name, 0.2, *labels)
    return meter


def test_families_without_labels_exist_at_zero() -> None:
    found = samples(PrometheusMeter("clawgate"))
    for family in FAMILIES:
        name = f"clawgate_{family.name}" + ("_count" if family.kind is Kind.HISTOGRAM else "")
        assert found.get((name, ())) == (None if family.labels else 0)


def test_the_heartbeat_line_dashboards_look_for() -> None:
    meter = PrometheusMeter("zeroclaw")
    meter.count("heartbeat_ticks_total")
    assert b"zeroclaw_heartbeat_ticks_total 1" in meter.exposition()


def test_an_embedder_may_scrape_it_with_what_is_his() -> None:
    registry = CollectorRegistry()
    Counter("own_total", "The embedder's.", registry=registry).inc()
    registry.register(filled())
    assert registry.get_sample_value("own_total") == 1
    assert registry.get_sample_value("clawgate_queue_depth") == 2.5


def test_counters_add_and_gauges_are_set() -> None:
    meter = PrometheusMeter("clawgate")
    meter.count("errors_total", "gateway")
    meter.count("errors_total", "gateway", by=2)
    meter.gauge("queue_depth", 7)
    meter.gauge("queue_depth", 3)
    found = samples(meter)
    assert (found["clawgate_errors_total", (("component", "gateway"),)], found["clawgate_queue_depth", ()]) == (3, 3)


def test_labels_are_taken_in_the_familys_order() -> None:
    meter = PrometheusMeter("clawgate")
    meter.count("agent_starts_total", "openai", "gpt-4o")
    assert samples(meter)["clawgate_agent_starts_total", (("model", "gpt-4o"), ("provider", "openai"))] == 1


def test_histograms_have_the_published_buckets() -> None:
    meter = PrometheusMeter("clawgate")
    meter.observe("request_latency_seconds", 0.2)
    found = samples(meter)
    bounds = [labels[0][1] for name, labels in found if name == "clawgate_request_latency_seconds_bucket"]
    assert bounds == ["0.01", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf"]
    assert found["clawgate_request_latency_seconds_bucket", (("le", "0.25"),)] == 1
    assert found["clawgate_request_latency_seconds_bucket", (("le", "0.1"),)] == 0


def test_no_created_samples_and_no_process_metrics() -> None:
    names = {name for name, _ in samples(filled())}
    assert [name for name in names if name.endswith("_created") or not name.startswith("clawgate_")] == []


def test_help_and_type_are_there_for_each_family() -> None:
    text = filled().exposition().decode()
    for family in FAMILIES:
        assert f"# HELP clawgate_{family.name} {family.help}\n" in text
        assert f"# TYPE clawgate_{family.name} {family.kind}\n" in text


def test_hostile_label_values_survive_the_format() -> None:
    meter = PrometheusMeter("clawgate")
    for value in ('a"b\\c\nd', "\ud800", ""):
        meter.count("errors_total", value)
    assert [labels[0][1] for name, labels in samples(meter) if name == "clawgate_errors_total"] == ['a"b\\c\nd', "\\ud800", ""]


@given(st.lists(st.text(), max_size=10))
def test_any_label_gives_a_readable_exposition(values: list[str]) -> None:
    meter = PrometheusMeter("c", (Family("x_total", Kind.COUNTER, "X", ("y",)),))
    for value in values:
        meter.count("x_total", value)
    assert sum(samples(meter).values()) == len(values)


def test_label_sets_are_bounded_and_the_rest_is_other() -> None:
    meter = PrometheusMeter("clawgate")
    for number in range(MAX_LABEL_SETS + 50):
        meter.count("agent_starts_total", "custom", f"model-{number}")
    meter.count("agent_starts_total", "custom", "model-0")
    found = {labels: value for (name, labels), value in samples(meter).items() if name == "clawgate_agent_starts_total"}
    assert len(found) == MAX_LABEL_SETS + 1
    assert found[("model", "other"), ("provider", "other")] == 50
    assert found[("model", "model-0"), ("provider", "custom")] == 2


@pytest.mark.parametrize("meter", [PrometheusMeter("c"), NoMeter()])
def test_an_unknown_name_is_a_programming_error(meter: Meter) -> None:
    with pytest.raises(KeyError):
        meter.count("nothing_total")
    with pytest.raises(KeyError):
        meter.gauge("nothing", 1)
    with pytest.raises(KeyError):
        meter.observe("nothing_seconds", 1)


def test_a_name_of_another_kind_and_a_wrong_number_of_labels_are_too() -> None:
    meter = PrometheusMeter("c")
    with pytest.raises(KeyError):
        meter.gauge("errors_total", 1, "gateway")
    with pytest.raises(ValueError, match="errors_total"):
        meter.count("errors_total")
    with pytest.raises(ValueError, match="heartbeat"):
        meter.count("heartbeat_ticks_total", "x")


def test_a_counter_never_falls() -> None:
    meter = PrometheusMeter("c")
    with pytest.raises(ValueError, match="heartbeat"):
        meter.count("heartbeat_ticks_total", by=-1)
    assert samples(meter)["c_heartbeat_ticks_total", ()] == 0


def test_two_meters_share_nothing() -> None:
    first, second = PrometheusMeter("clawgate"), PrometheusMeter("clawgate")
    first.count("heartbeat_ticks_total")
    assert samples(second)["clawgate_heartbeat_ticks_total", ()] == 0


def test_without_a_backend_the_published_hint_is_shown() -> None:
    meter = NoMeter()
    meter.count("heartbeat_ticks_total")
    assert meter.exposition() == HINT
    assert HINT == b'# Prometheus backend not enabled. Set [observability] backend = "prometheus" in config.\n'


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_accepts_the_exposition() -> None:
    result = subprocess.run(["promtool", "check", "metrics"], input=filled().exposition(), capture_output=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, b"")
