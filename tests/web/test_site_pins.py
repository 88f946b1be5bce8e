"""Private corners of Twisted that the site stands on, and what the stock parser would have made of what ours accepts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from klein import Klein
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web import http, server
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from werkzeug.routing import Rule

from clawgate.web import http_wire
from clawgate.web.http_wire import Unreadable, canonical_name
from tests.web.test_site_hostile import mutated, mutations
from tests.web.wire import CHUNKED, GET, POST, Bench


def test_channel_has_the_private_names_we_build_on() -> None:
    channel: Any = http.HTTPChannel()
    channel.timeOut = None
    channel.makeConnection(StringTransport())
    assert channel._handlingRequest is False and channel._waitingForTransport is False and channel.requests == []
    assert channel._dataBuffer == []
    assert channel._optimisticEagerReadSize == 0x4000
    assert {"pauseProducing", "resumeProducing", "unregisterProducer"} <= set(dir(channel._networkProducer))
    assert callable(channel._respondToBadRequestAndDisconnect) and callable(channel._protocolUpgradeForWebsockets)
    channel.pauseProducing()
    assert channel._waitingForTransport is True


def test_rules_have_the_private_name_we_override() -> None:
    assert callable(Rule._compile_builder)
    klein: Any = Klein()
    assert klein.endpoints == {}
    assert klein.url_map is klein._url_map


def test_request_has_the_private_names_we_build_on() -> None:
    assert http.Request._disconnected is False and server.Request._encoder is None and server.Request._inFakeHead is False
    headers = Headers({b"etag": [b"1"]})
    assert headers._rawHeaders == {b"ETag": [b"1"]}


def test_stock_request_may_still_ask_for_a_bad_request() -> None:
    bench = Bench()
    bench.channel._respondToBadRequestAndDisconnect()
    assert bench.statuses == [400] and bench.wire.half_closed


NAMES = ["content-md5", "dnt", "etag", "p3p", "te", "www-authenticate", "x-xss-protection", "X-hub-SIGNATURE-256", "x_a", "-a--b-", "a'b.c"]
token_text = st.text("abcXYZ019-_.'!~", min_size=1, max_size=12)


@pytest.mark.parametrize("name", NAMES)
def test_header_names_are_filed_as_twisted_files_them(name: str) -> None:
    assert [canonical_name(name.encode())] == [filed for filed, _ in Headers({name.encode(): [b""]}).getAllRawHeaders()]


@given(token_text)
@settings(max_examples=100, deadline=None)
def test_any_header_name_is_filed_as_twisted_files_it(name: str) -> None:
    assert Headers({name.encode(): [b"1"]}).hasHeader(canonical_name(name.encode()))
    assert [canonical_name(name.encode())] == [filed for filed, _ in Headers({name.encode(): [b""]}).getAllRawHeaders()]


def test_names_that_clients_choose_do_not_fill_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(http_wire._MOST_NAMES + 100):
        canonical_name(b"X-%d" % number)
    assert len(http_wire._NAMES) <= http_wire._MOST_NAMES
    monkeypatch.setattr(http_wire, "_NAMES", {})
    assert canonical_name(b"x-" + b"a" * 16_000) == b"X-A" + b"a" * 15_999
    assert canonical_name(b"x-b") == b"X-B"
    assert http_wire._NAMES == {b"x-b": b"X-B"}
    with pytest.raises(Unreadable):
        canonical_name(b"X A")


def stock_verdict(data: bytes) -> list[tuple[bytes, bytes, bytes]]:
    seen: list[tuple[bytes, bytes, bytes]] = []

    class Root(Resource):
        isLeaf = True

        def render(self, request: Any) -> bytes:  # Any: Resource.render is untyped upstream
            seen.append((request.method, request.uri, request.content.read()))
            return b""

    site: Any = server.Site(Root(), reactor=Clock(), parsePOSTFormSubmission=False)
    channel = site.buildProtocol(None)
    channel.makeConnection(StringTransport())
    channel.dataReceived(data)
    channel.connectionLost(None)
    return seen


@given(st.sampled_from([POST, GET, CHUNKED + b"5\r\nabcde\r\n0\r\n\r\n", POST + GET]), mutations)
@settings(max_examples=300, deadline=None)
def test_whatever_ours_accepts_the_stock_parser_reads_the_same(good: bytes, changes: list[tuple[str, int, bytes]]) -> None:
    data = mutated(good, changes)
    bench = Bench()
    bench.send(data)
    assert bench.resource.seen == stock_verdict(data)[: len(bench.resource.seen)]
