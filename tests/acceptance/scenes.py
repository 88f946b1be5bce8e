r"""Scenes: what a client and the gateway say to each other on a socket. One file per socket and dialect, `tests/golden/frames/*.frames`.

    = title                what is shown; the source in brackets
    @ directive            what is done besides, and what is waited for (see `Scene`)
    > frame                the client sends it; `{name}` are the scene's values
    < frame                the gateway sent it; what differs from run to run stands in braces
    ! opened PROTOCOL      what became of the connection: `opened`, `closed CODE REASON`, `refused` before the handshake ended; `answered`: of a request

A control character stands as its picture: ␊ is a line feed, ␛ an escape. `{s}`, `{s+1}` are `seq` from the first one seen on, `{e}`, `{e+1}` ids of events.

`GOLDEN_UPDATE=1` writes what was received anew, with the first client; read the difference before you commit it.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from tests.acceptance.daemon import DEADLINE_SECONDS, Answer, Daemon, Upstream, until

FOLDER = Path(__file__).parent.parent / "golden" / "frames"
Told = tuple[str, str]
"""What a client noticed: "<" and a frame, or "!" and what became of the connection."""

_VOLATILE = (
    (r"\beyJ[\w-]+\.[\w-]+\.[\w-]+", "{token}"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)", "{moment}"),
    (r'"item":"[0-9a-f]{16}"', '"item":"{item}"'),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "{uuid}"),
    (r'"(ts|uptimeMs|duration_ms|timeout_secs)":\d+', r'"\1":{number}'),
)
_COUNTED = {"s": re.compile(r'(?<="seq":)\d+'), "e": re.compile(r"^\d+(?=: )")}
_ANSWERED = {"request": re.compile(r'"request_id":"([^"]+)"'), "call": re.compile(r'"call_id":"([^"]+)"')}
"""What the gateway gives a name to that the client has to repeat."""


class Peer(Protocol):
    """Somebody's client.

    Attributes:
        name: as `@ without` has it.
    """

    name: str

    def open(self, url: str, protocols: list[str]) -> None:
        """Opens a WebSocket; whether it came to it is told by `next`."""

    def listen(self, url: str) -> None:
        """Opens an event stream; a frame of it is the number of the last event, a colon and the data."""

    def send(self, text: str) -> None:
        """Sends a text frame."""

    def next(self) -> Told:
        """What comes next; fails when nothing does."""

    def close(self, code: int) -> None:
        """Says goodbye; the end is told by `next`."""


class Stage:
    """Where scenes are played: a daemon, its model, its control plane."""

    def __init__(self, daemon: Daemon, upstream: Upstream, control: str, control_token: Callable[[], str]) -> None:
        self.daemon, self.upstream, self.control, self.control_token = daemon, upstream, control, control_token

    def ticket(self) -> str:
        """For one event stream."""
        return str(self.daemon.call("POST", "/api/events/ticket").json["ticket"])


class Unplayable(Exception):
    """This client cannot; why."""


class Scene:
    """One run of a file with one client.

    let NAME VALUE              a value of the scene's own
    open PATH [PROTOCOL …]      a WebSocket, as soon as it is open or refused; a URL when it begins with `ws:`
    listen PATH                 an event stream, likewise
    until TEXT                  what comes, up to the first line that has TEXT
    past TEXT                   the same, but it is not written down
    lines                       from now on a frame is a piece of a text, whose lines count
    close CODE                  the client goes, and waits for the goodbye
    ask METHOD PATH [JSON]      somebody asks the gateway over HTTP
    answer                      what that was answered
    hold · asked TEXT · release the model does not answer · it has been asked TEXT · it answers again
    without CLIENT REASON       this client cannot play the rest
    """

    def __init__(self, stage: Stage, peer: Peer, others: ThreadPoolExecutor) -> None:
        self.stage, self.peer, self.others = stage, peer, others
        self.lines: list[str] = []
        self.values: dict[str, str] = {}
        self.bases: dict[str, int] = {}
        self.piece: str | None = None
        self.asked: Future[Answer] | None = None

    def play(self, text: str) -> str:
        """The text with what happened this time."""
        for line in text.splitlines():
            if line[:1] in ("<", "!"):
                continue
            self.lines.append(line)
            if line.startswith("> "):
                self.peer.send(self.filled(line[2:]))
            elif line.startswith("@ "):
                verb, _, rest = line[2:].partition(" ")
                getattr(self, "do_" + verb)(self.filled(rest))
        return "\n".join(self.lines) + "\n"

    # -- directives

    def do_let(self, rest: str) -> None:
        name, _, value = rest.partition(" ")
        self.values[name] = value

    def do_open(self, rest: str) -> None:
        path, *protocols = rest.split()
        self.piece = None
        self.peer.open(path if path.startswith("ws:") else self.stage.daemon.url.replace("http", "ws", 1) + path, protocols)
        self.write(self.received())

    def do_listen(self, rest: str) -> None:
        self.peer.listen(self.stage.daemon.url + rest)
        self.write(self.received())

    def do_lines(self, rest: str) -> None:
        self.piece = ""

    def do_until(self, rest: str) -> None:
        for lines in self.up_to(rest):
            self.write(lines)

    def do_past(self, rest: str) -> None:
        for _ in self.up_to(rest):
            pass

    def do_close(self, rest: str) -> None:
        self.peer.close(int(rest))
        for lines in self.up_to("! closed"):
            self.write(lines)

    def do_ask(self, rest: str) -> None:
        method, path, *body = rest.split(" ", 2)
        self.asked = self.others.submit(self.stage.daemon.call, method, path, json.loads(body[0]) if body else None)

    def do_answer(self, rest: str) -> None:
        assert self.asked is not None
        answer = self.asked.result(DEADLINE_SECONDS)
        self.write([f"! answered {answer.status} {self.masked(answer.body.decode())}".rstrip()])

    def do_hold(self, rest: str) -> None:
        self.stage.upstream.gate.clear()

    def do_asked(self, rest: str) -> None:
        until(lambda: rest in self.stage.upstream.asked[-1:], f"the model is asked {rest}")

    def do_release(self, rest: str) -> None:
        self.stage.upstream.gate.set()

    def do_without(self, rest: str) -> None:
        client, _, reason = rest.partition(" ")
        if client == self.peer.name:
            raise Unplayable(reason)

    # -- what comes

    def up_to(self, text: str) -> Iterator[list[str]]:
        while True:
            lines = self.received()
            yield lines
            if any(text in line for line in lines):
                return

    def received(self) -> list[str]:
        """The next thing that happened, as lines; of a text, those that are whole."""
        mark, text = self.peer.next()
        if self.piece is None or mark == "!":
            rest, self.piece = self.piece, None if self.piece is None else ""
            return [*([f"< {self.masked(rest)}"] if rest else []), f"{mark} {self.masked(text)}"]
        *whole, self.piece = (self.piece + text).split("\n")
        return [f"< {self.masked(line)}\N{SYMBOL FOR LINE FEED}" for line in whole]

    def write(self, lines: list[str]) -> None:
        self.lines += lines

    # -- values

    def filled(self, text: str) -> str:
        """The text with values in place of their names, and control characters in place of their pictures."""
        text = re.sub(r"\{([a-z_]+)(?:\+(\d+))?\}", lambda found: self.value(found[1], int(found[2] or 0)), text)
        return re.sub("[\u2400-\u241f]", lambda found: chr(ord(found[0]) - 0x2400), text)

    def value(self, name: str, more: int) -> str:
        if name in self.bases:
            return str(self.bases[name] + more)
        made: dict[str, Callable[[], str]] = {
            "token": lambda: self.stage.daemon.token,
            "ticket": self.stage.ticket,
            "control": lambda: self.stage.control,
            "control_token": self.stage.control_token,
            "uuid": lambda: str(uuid.uuid4()),
        }
        return self.values[name] if name in self.values else made[name]()

    def masked(self, text: str) -> str:
        """The text without what differs from run to run, on one line."""
        for name, pattern in _ANSWERED.items():
            if (found := pattern.search(text)) is not None:
                self.values[name] = found[1]
        for name, value in self.values.items():
            text = text.replace(value, f"{{{name}}}")
        for name, pattern in _COUNTED.items():
            text = pattern.sub(lambda found, name=name: self.counted(name, int(found[0])), text)  # type: ignore[misc]  # bound at once
        for volatile, stands_for in _VOLATILE:
            text = re.sub(volatile, stands_for, text)
        return re.sub("[\x00-\x1f]", lambda found: chr(ord(found[0]) + 0x2400), text)

    def counted(self, name: str, number: int) -> str:
        more = number - self.bases.setdefault(name, number)
        return f"{{{name}+{more}}}" if more else f"{{{name}}}"
