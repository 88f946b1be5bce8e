"""What is announced in the local network, and what when it cannot be."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from clawgate.daemon import check_startable
from clawgate.domain.errors import Invalid
from clawgate.domain.settings import Settings
from clawgate.domain.settings.model import NodesSettings
from clawgate.services.health import Health
from clawgate.system.mdns import Announcer
from clawgate.system.mdns_wire import announcement
from clawgate.system.threads import Threads
from clawgate.testing.clock import ManualClock

T = TypeVar("T")


class Broken(Threads):
    """Threads in which everything fails."""

    def __init__(self) -> None:
        """There are none."""

    def __call__(self, function: Callable[[], T], /) -> Deferred[T]:
        return fail(OSError("no such device"))

    def start(self) -> None:
        """Nothing starts."""


def told(name: str = "", machine: str = "den.example") -> tuple[str, str]:
    made = announcement(name, machine, ("192.0.2.7",), 3000, path="", is_secure=False, version="1.2")
    return made.name, made.host


def test_a_gateway_says_where_and_how_it_is_reached() -> None:
    made = announcement("Kitchen", "den", ("192.0.2.7",), 3000, path="/agents", is_secure=True, version="1.2")
    assert made.instance == "Kitchen._clawgate._tcp.local."
    assert (made.host, made.port, made.addresses) == ("clawgate-den.local.", 3000, ("192.0.2.7",))
    assert made.text == {"path": "/agents", "tls": "1", "version": "1.2"}


def test_without_prefix_and_tls_it_says_so() -> None:
    made = announcement("", "den", ("192.0.2.7",), 3000, path="", is_secure=False, version="1.2")
    assert made.text == {"path": "/", "tls": "0", "version": "1.2"}


def test_a_name_is_the_operators_or_the_machines() -> None:
    assert told() == ("den-example", "clawgate-den.local.")
    assert told("Küche 1.0\n") == ("Küche 1-0", "clawgate-den.local.")
    assert told(" ", "…") == ("…", "clawgate-gateway.local.")


@given(st.text(), st.text())
def test_any_name_is_one_label(name: str, machine: str) -> None:
    label, host = told(name, machine)
    assert 1 <= len(label.encode()) <= 63
    assert "." not in label
    assert label.isprintable()
    assert host.isascii() and len(host.split(".")[0]) <= 63


def test_a_gateway_on_loopback_is_not_announced_and_the_log_says_so() -> None:
    health = Health(ManualClock(), 1)
    announcer = Announcer("", "", "1.2", health, Threads(reactor, "test-mdns", 1))
    with capturedLogs() as captured:
        started = [announcer.start(url) for url in ("http://127.0.0.1:3000", "http://[::1]:3000", "https://127.0.0.2:1")]
    assert (started, health.snapshot().components) == ([None, None, None], {})
    assert [formatEvent(event) for event in captured][1] == "not announced by mDNS: ::1 is reached from this machine only"


def test_what_goes_wrong_is_told_and_ends_nothing() -> None:
    health = Health(ManualClock(), 1)
    announcer = Announcer("", "", "1.2", health, Broken())
    with capturedLogs() as captured:
        done = announcer.start("http://192.0.2.7:3000")
    assert done is not None and SynchronousTestCase().successResultOf(done) is None
    assert health.snapshot().components["mdns"].last_error == "no such device"
    assert [formatEvent(event) for event in captured] == ["not announced by mDNS: no such device"]


def test_a_missing_package_keeps_the_daemon_from_starting_and_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Invalid, match="needs the package zeroconf") as problem:
        check_startable(Settings(nodes=NodesSettings(enabled=True, announce=True)))
    assert (problem.value.path, "clawgate[mdns]" in problem.value.remedy) == ("nodes.announce", True)
    check_startable(Settings(nodes=NodesSettings(announce=True)))  # nothing is announced while nodes are off
