"""A real daemon and real receivers: signed, in order, tried again, never lost to `kill -9`; checked by the reference library of Standard Webhooks."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from standardwebhooks.webhooks import Webhook

from tests.acceptance.daemon import DEADLINE_SECONDS, Daemon, Listening, QuietHandler, settings, until

pytestmark = pytest.mark.acceptance
OLD, NEW = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_plJ3nmyCDGBKInavdOK15jsl"


class Got(NamedTuple):
    """One request as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def item(self) -> str:
        return str(self.event["data"]["id"])

    @property
    def event(self) -> Any:  # JSON
        return json.loads(self.body)


class Receiver(Listening):
    """Takes deliveries and answers with the status that the test wants at that moment; `gate` cleared = it does not answer yet."""

    def __init__(self, status: int) -> None:
        self.status, self.got = status, list[Got]()
        self.gate = threading.Event()
        self.gate.set()
        receiver = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.status
                receiver.got.append(Got({name.lower(): value for name, value in self.headers.items()}, body))
                receiver.gate.wait(DEADLINE_SECONDS)
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except OSError:
                    pass  # whoever sent it was killed

        super().__init__(Handler)

    def close(self) -> None:
        self.gate.set()
        super().close()


@pytest.fixture
def receiver() -> Iterator[Callable[[int], Receiver]]:
    made: list[Receiver] = []

    def make(status: int) -> Receiver:
        made.append(Receiver(status))
        return made[-1]

    yield make
    for one in made:
        one.close()


def section(name: str, url: str, more: str) -> str:
    return f'[subscriptions.{name}]\nurl = "{url}"\nsecret = ["{NEW}", "{OLD}"]\nallow_private = true\n{more}\n'


def told(daemon: Daemon, text: str) -> str:
    """The id of a message that is done."""
    item = str(daemon.tell(text).json["id"])
    until(lambda: daemon.call("GET", f"/api/inbox/{item}").json["state"] == "done", "it is done")
    return item


def shown(daemon: Daemon, name: str) -> Any:  # JSON
    return daemon.call("GET", f"/api/subscriptions/{name}").json


def test_every_outcome_arrives_in_order_whatever_fails_or_is_killed(tmp_path: Path, receiver: Callable[[int], Receiver]) -> None:
    main, gone = receiver(500), receiver(410)
    sections = section("main", main.url, "include_answer = true") + section("gone", gone.url, 'events = ["message_done", "subscription_*"]')
    daemon = Daemon(tmp_path, settings(more=sections))
    try:
        daemon.start().pair()
        items = [told(daemon, f"/echo {number}") for number in range(3)]

        until(lambda: shown(daemon, "gone")["state"] == "stopped", "410 stops")
        for count in (2, 3):
            until(lambda: shown(daemon, "main")["last_status"] == 500, "the attempt is written down")
            daemon.call("POST", "/api/subscriptions/main/resume")
            until(lambda count=count: len(main.got) == count, "another attempt, at once")  # type: ignore[misc]  # bound in the loop
        main.status = 204
        until(lambda: len(main.got) == 6, "the fourth, five seconds later, and the rest")
        assert [got.item for got in main.got] == [items[0]] * 4 + items[1:]
        assert len({got.id for got in main.got[:4]}) == 1
        assert len({got.id for got in main.got}) == 3

        main.gate.clear()
        items.append(told(daemon, "/echo held"))
        until(lambda: len(main.got) == 7, "it is on its way")
        items.append(told(daemon, "/echo behind it"))
        daemon.kill()
        main.gate.set()
        daemon.start()
        until(lambda: len(main.got) == 9, "what had no record comes again, and what was behind it")
        assert [got.item for got in main.got[6:]] == [items[3], items[3], items[4]]
        assert main.got[6].id == main.got[7].id != main.got[8].id
        assert main.got[6].body == main.got[7].body

        for got in main.got:
            for secret in (NEW, OLD):
                assert Webhook(secret).verify(got.body, got.headers) == got.event
        assert main.got[-1].event["type"] == "message_done"
        assert "behind it" in main.got[-1].event["data"]["answer"]
        until(lambda: shown(daemon, "main")["queued"] == 0, "nothing is left")
        assert [attempt["status"] for attempt in shown(daemon, "main")["recent_attempts"]] == [204, 204, 204, 204, 204, 500, 500, 500]
        assert len(gone.got) == 1
        left = shown(daemon, "gone")
        assert (left["state"], left["reason"], left["queued"]) == ("stopped", "gone", 6)  # five outcomes and the news of its own stop
    finally:
        daemon.close()
