"""A skill from a marketplace over real sockets: found, fetched, unpacked, removed; and servers that do not keep the protocol. Source: docs/howto/skills.md."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from clawgate.domain.settings.model import SkillsSettings
from clawgate.domain.skills import Reference, SkillSourceFailed
from clawgate.services.deadlines import within
from clawgate.services.events import Events
from clawgate.services.skills import Skills
from clawgate.system.clock import SystemClock
from clawgate.system.marketplace import HttpMarketplace
from clawgate.system.skillfiles import SkillDirectory
from clawgate.system.threads import Threads
from clawgate.testing.skills import RecordingSwitch, skill_text, zipped

pytestmark = pytest.mark.acceptance
DEADLINE_SECONDS = 20
ARCHIVE = zipped({"tool/SKILL.md": skill_text("Tool"), "tool/docs/x.md": "x"})


class Market(Resource):
    """Answers by a table of paths."""

    isLeaf = True

    def __init__(self, pages: dict[str, Any]) -> None:  # Any: bytes, a status, a mapping, or what answers
        super().__init__()
        self.pages = pages
        self.asked: list[str] = []

    def render_GET(self, request: Request) -> bytes | int:
        path = request.uri.decode()
        self.asked.append(path)
        page = self.pages.get(path, 404)
        if callable(page):
            return int(page(request))
        if isinstance(page, int):
            request.setResponseCode(page)
            return b"{}"
        return page if isinstance(page, bytes) else json.dumps(page).encode()


def redirect(request: Request) -> int:
    request.redirect(b"/archives/tool.zip")
    request.finish()
    return NOT_DONE_YET


def endless(request: Request) -> int:
    request.setHeader(b"Content-Length", b"100000000")
    request.write(b"x" * 300_000)
    return NOT_DONE_YET


def hang(request: Request) -> int:
    request.write(b"x")
    return NOT_DONE_YET


def cut(request: Request) -> int:
    request.setHeader(b"Content-Length", b"1000")
    request.write(b"x")
    request.loseConnection()
    return NOT_DONE_YET


@pytest.fixture
def serve() -> Iterator[Callable[[dict[str, Any]], tuple[str, Market]]]:
    ports: list[IListeningPort] = []

    def start(pages: dict[str, Any]) -> tuple[str, Market]:
        market = Market(pages)
        ports.append(reactor.listenTCP(0, Site(market), interface="127.0.0.1"))  # type: ignore[attr-defined]  # the module is the reactor
        return f"http://127.0.0.1:{ports[-1].getHost().port}", market

    yield start
    for port in ports:
        port.stopListening()


def match(url: str, **more: object) -> dict[str, object]:
    return {"matches": [{"owner": "bob", "slug": "tool", "version": "2.0", "url": url, **more}]}


def marketplace(base: str, max_bytes: int = 100_000) -> HttpMarketplace:
    return HttpMarketplace(reactor, SystemClock(reactor), lambda: base, lambda: max_bytes)  # type: ignore[arg-type]  # the module is the reactor


Serve = Callable[[dict[str, Any]], tuple[str, Market]]


@ensureDeferred
async def test_skill_is_found_fetched_and_unpacked(serve: Serve, tmp_path: Path) -> None:
    base, market = serve(
        {"/api/skills/bob/tool": match("/archives/tool.zip", sha256=hashlib.sha256(ARCHIVE).hexdigest()), "/archives/tool.zip": ARCHIVE}
    )
    clock, threads = SystemClock(reactor), Threads(reactor, "test-skills", 1)  # type: ignore[arg-type]  # the module is the reactor
    threads.start()
    try:
        files = SkillDirectory(str(tmp_path / "skills"), threads, {})
        skills = Skills(files, marketplace(base + "/api/"), RecordingSwitch(), SkillsSettings, clock, Events(clock))
        await within(Deferred.fromCoroutine(skills.install("@bob/tool")), DEADLINE_SECONDS, clock)
        (skill,) = await skills.all()
        assert (skill.name, skill.origin.version if skill.origin else "") == ("Tool", "2.0")
        assert (tmp_path / "skills" / "tool" / "docs" / "x.md").read_text() == "x"
        assert market.asked == ["/api/skills/bob/tool", "/archives/tool.zip"]
    finally:
        threads.stop()


@pytest.mark.parametrize(
    ("pages", "words"),
    [
        ({"/skills/tool": 500}, "answered 500"),
        ({"/skills/tool": b"<html>"}, "no list of matches"),
        ({"/skills/tool": redirect}, "answered 302"),
        ({"/skills/tool": endless}, "too large"),
        ({"/skills/tool": cut}, "cannot be reached"),
        ({"/skills/tool": match("http://localhost:1/x")}, "another server"),
        ({"/skills/tool": match("/gone")}, "answered 404"),
        ({"/skills/tool": match("/moved"), "/moved": redirect, "/archives/tool.zip": ARCHIVE}, "answered 302"),
        ({"/skills/tool": match("/large"), "/large": b"x" * 100_001}, "too large"),
        ({"/skills/tool": match("/a", sha256="0" * 64), "/a": ARCHIVE}, "not the one"),
    ],
)
@ensureDeferred
async def test_marketplace_that_breaks_the_protocol_is_a_failure_that_says_how(serve: Serve, pages: dict[str, Any], words: str) -> None:
    base, _ = serve(pages)
    asking = marketplace(base)
    with pytest.raises(SkillSourceFailed, match=words):
        (candidate,) = await within(asking.look_up(Reference("", "tool")), DEADLINE_SECONDS, asking.clock)
        await within(asking.download(candidate), DEADLINE_SECONDS, asking.clock)


@ensureDeferred
async def test_unknown_name_and_no_server_and_no_marketplace(serve: Serve) -> None:
    base, _ = serve({})
    asking = marketplace(base)
    assert await within(asking.look_up(Reference("", "tool")), DEADLINE_SECONDS, asking.clock) == ()
    for nowhere, words in (("http://127.0.0.1:1", "cannot be reached"), ("", "no marketplace is configured")):
        with pytest.raises(SkillSourceFailed, match=words):
            await within(marketplace(nowhere).look_up(Reference("", "tool")), DEADLINE_SECONDS, asking.clock)


@ensureDeferred
async def test_marketplace_that_hangs_is_given_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clawgate.system.marketplace.LOOK_UP_SECONDS", 0.2)
    base, _ = serve({"/skills/tool": hang})
    asking = marketplace(base)
    with pytest.raises(SkillSourceFailed, match="in time"):
        await within(asking.look_up(Reference("", "tool")), DEADLINE_SECONDS, asking.clock)
