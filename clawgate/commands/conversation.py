"""The conversation of `clawgate chat`, line by line. Ring: entry. Source: design §4.16; frames of `web/dialects/chat_frames_wire.py` (zeroclaw.v1).

A line is a message, but for `/attach PATH`: the file goes with the next one. While the agent answers, Ctrl-C gives the turn up; at the prompt, Ctrl-D leaves.
What was answered is in the session.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from urllib.parse import urlencode, urlsplit

import click
import msgspec
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect, unix_connect
from websockets.typing import Subprotocol

from clawgate.commands.attaching import attached, poster
from clawgate.commands.operator import Operator, Refused
from clawgate.commands.output import complain, row_of, safe, show
from clawgate.domain.errors import Unavailable
from clawgate.system.control import CONTROL_SOCKET, NotRunning, short_address

_DIALECT = [Subprotocol("zeroclaw.v1")]
_PROMPT = "> "
_MOST_BYTES = 16 * 1024 * 1024
_CONNECT_SECONDS = 10.0
_ENDS = ("done", "aborted", "error")
_ATTACH = "/attach "
_UNUSABLE_WORD = "INVALID_APPROVAL_RESPONSE"


def converse(own: Operator, url: str | None, token: str, session: str) -> None:
    """Talks until there is no more input.

    Args:
        url: of a gateway elsewhere, to which `token` is shown; None = the operator's own daemon.
        session: to go on in; "" = a new one.

    Raises:
        NotRunning: there is no daemon. Refused: the gateway's own words. Unavailable: there is no connection, or it broke off.
    """
    with ExitStack() as stack:
        try:
            _Talk(_opened(stack, own, url, token, session), partial(attached, poster(own, url, token))).run()
        except ConnectionClosed:
            raise Unavailable("the connection broke off; what was accepted is answered, see the session") from None


def _opened(stack: ExitStack, own: Operator, url: str | None, token: str, session: str) -> ClientConnection:
    """A connection to the named gateway, which ends with `stack`. Raises NotRunning, Refused, Unavailable."""
    query = "/ws/chat" + (f"?{urlencode({'session_id': session})}" if session else "")
    try:
        return stack.enter_context(_remote(url + query, token) if url else _local(own, query))
    except InvalidStatus as problem:
        raise Refused(_refusal(problem)) from None
    except (OSError, InvalidHandshake) as problem:
        if url is None and isinstance(problem, FileNotFoundError | ConnectionRefusedError):
            raise NotRunning("no daemon is running: start it with `clawgate run`") from None
        raise Unavailable(f"no connection: {problem or type(problem).__name__}") from None


@contextmanager
def _local(own: Operator, query: str) -> Iterator[ClientConnection]:
    daemon = own.daemon()
    prefix = urlsplit(daemon.url).path.rstrip("/") if daemon is not None else ""
    with (
        short_address(os.path.join(own.state_dir, CONTROL_SOCKET)) as path,
        unix_connect(path, f"ws://localhost{prefix}{query}", subprotocols=_DIALECT, max_size=_MOST_BYTES, open_timeout=_CONNECT_SECONDS) as socket,
    ):
        yield socket


@contextmanager
def _remote(url: str, token: str) -> Iterator[ClientConnection]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    address = "ws" + url.removeprefix("http")
    with connect(
        address, subprotocols=_DIALECT, additional_headers=headers, max_size=_MOST_BYTES, open_timeout=_CONNECT_SECONDS, proxy=None
    ) as socket:
        yield socket


class _Talk(msgspec.Struct):
    """The conversation; one turn after the other.

    Attributes:
        attach: uploads a file to a session; its id.
        others: turns in the session that other doors have begun and that have not ended, as far as was seen.
    """

    socket: ClientConnection
    attach: Callable[[str, str], str]
    others: int = 0
    _files: list[str] = []

    def run(self) -> None:
        """Until there is no more input."""
        start = self._frame()
        complain(f"session {safe(start.get('session_id'))}, {safe(start.get('message_count'))} messages. Ctrl-C gives a turn up, Ctrl-D leaves.")
        self._send({"type": "connect"})
        while (line := _line(_PROMPT)) is not None:
            if line.startswith(_ATTACH):
                self._take(str(start.get("session_id")), line.removeprefix(_ATTACH).strip())
            elif line.strip():
                self._missed()
                self._send({"type": "message", "content": line, "attachments": self._files})
                self._files = []
                self._turn()

    def _take(self, session_id: str, path: str) -> None:
        """Uploads a file for the next message; one that cannot be taken ends nothing."""
        try:
            self._files.append(self.attach(session_id, path))
        except (Refused, Unavailable) as problem:
            complain(str(problem))
        else:
            complain(f"{safe(path)} goes with the next message")

    def _turn(self) -> None:
        """Shows one turn to its end, and first those of others that stand before it."""
        has_shown, before = False, self.others
        while True:
            try:
                frame = self._frame()
                kind = frame.get("type")
                if kind == "done" and not has_shown:
                    _write(frame.get("full_response"))
                has_shown = _shown(frame) or has_shown
                if kind == "approval_request":
                    self._answer(frame)
                elif _is_question(frame):
                    self.others += 1
                elif _is_end(frame):
                    if not (before and "seq" in frame):  # what has no number answers our own frame
                        return
                    has_shown, before, self.others = False, before - 1, self.others - 1
            except KeyboardInterrupt:
                self._send({"type": "cancel"})

    def _answer(self, question: dict[str, object]) -> None:
        """Asks; no answer at all is a no."""
        word = _line(f"Allow {safe(question.get('tool'))} {safe(question.get('arguments_summary'))}? [y/N/always] ")
        decision = {"y": "approve", "yes": "approve", "a": "always", "always": "always"}.get((word or "").strip().lower(), "deny")
        self._send({"type": "approval_response", "request_id": question.get("request_id"), "decision": decision})

    def _missed(self) -> None:
        """Shows what happened in the session while nobody looked, so that another's answer is not taken for ours."""
        while True:
            try:
                frame = self._frame(0)
                _shown(frame)
                self.others = max(0, self.others + _is_question(frame) - _is_end(frame))
            except TimeoutError:
                return

    def _frame(self, seconds: float | None = None) -> dict[str, object]:
        return row_of(json.loads(self.socket.recv(timeout=seconds)))

    def _send(self, frame: dict[str, object]) -> None:
        self.socket.send(json.dumps(frame))


def _is_question(frame: dict[str, object]) -> bool:
    """Whether another door begins a turn."""
    return frame.get("type") == "message" and frame.get("role") == "user"


def _is_end(frame: dict[str, object]) -> bool:
    """Whether a turn ends."""
    return frame.get("type") in _ENDS and frame.get("code") != _UNUSABLE_WORD


def _shown(frame: dict[str, object]) -> bool:
    """Shows a frame; whether text of the answer was among it."""
    match frame.get("type"):
        case "chunk":
            _write(frame.get("content"))
            return True
        case "tool_call":
            show(f"\n[{safe(frame.get('name'))} {safe(json.dumps(frame.get('args'), ensure_ascii=False))}]")
        case "tool_result":
            show(f"[{safe(frame.get('name'))}: {safe(frame.get('output'))[:200]}]")
        case "message":
            show(f"\n[{safe(frame.get('source'))}, {safe(frame.get('role'))}: {safe(frame.get('content'))}]")
        case "done":
            show()
        case "aborted":
            show("\n(given up)")
        case "error":
            complain(f"\n{safe(frame.get('message'))}")
    return False


def _write(text: object) -> None:
    """A piece of the answer, without what a terminal would obey."""
    pieces = str(text or "")
    click.echo("".join(char if char.isprintable() or char in "\n\t" else "�" for char in pieces), nl=False)


def _line(prompt: str) -> str | None:
    """A line of the input, None at its end. The prompt is for people only: a pipe gets none."""
    if sys.stdin.isatty():
        click.echo(prompt, nl=False, err=True)
    try:
        line = sys.stdin.readline()
    except KeyboardInterrupt:
        complain("")
        return ""
    return line.rstrip("\r\n") if line else None


def _refusal(problem: InvalidStatus) -> str:
    """The gateway's own words."""
    status = problem.response.status_code
    try:
        said = row_of(json.loads(problem.response.body or b"{}")).get("error")
    except ValueError:
        said = None
    return safe(said) if isinstance(said, str) else f"the gateway answered {status}"
