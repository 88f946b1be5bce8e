"""Who the daemon talks to while it is killed: a model that misbehaves, platforms that take replies, a subscriber. They remember what they saw.

What happens is written in the message itself: `kind-thread-number-mood`. A mood is had once; asked again, the model answers `re <message>`.

    model       plain · slow · hang (nothing, then the connection is closed) · fail500 · fail429 (with Retry-After) · cut (the stream breaks off) ·
                refuse (400, each time) · note, pay (asks for a tool that leaves a mark)
    platform    late (503, nothing was taken) · noack (taken, and the connection is closed without an answer)
    subscriber  now and then the one, now and then the other
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

TOOLS = {"note": "ledger__note", "pay": "ledger__pay"}
"""By the mood that asks for them; somebody has to allow the second one."""
SLOW_SECONDS, HANG_SECONDS = 0.3, 1.5


class Reply(NamedTuple):
    """What a server does with a request; `closes_after` bytes of the body the connection is closed."""

    status: int = 200
    body: bytes = b"{}"
    content_type: str = "application/json"
    headers: Mapping[str, str] = {}
    closes_after: int | None = None


class Server:
    """An HTTP server on loopback, a thread for each connection."""

    def __init__(self, reply: Callable[[str, dict[str, Any], Mapping[str, str]], Reply]) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = reply(self.path, asked, self.headers)
                with contextlib.suppress(OSError):
                    self.send(answer)

            def send(self, answer: Reply) -> None:
                if answer.closes_after == 0:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in {"Content-Type": answer.content_type, "Content-Length": str(len(answer.body)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body[: answer.closes_after])
                self.close_connection = answer.closes_after is not None

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 512

            def handle_error(self, request: object, client_address: object) -> None:
                """A daemon that was killed hangs up; that is the test's own doing."""

        self._listener = Listener(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._listener.server_address[1]}"
        threading.Thread(target=self._listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown()
        self._listener.server_close()


def mood_of(text: str) -> str:
    """The last word of a message."""
    return text.rpartition("-")[2]


def bare(text: str) -> str:
    """A message without what its door writes before it."""
    return text.rpartition(" ")[2]


class Model:
    """An OpenAI-compatible model.

    Attributes:
        asked: every question, in the order in which it came, those of repeated turns and of further rounds included.
        begun: how often each turn was begun: a question whose last line is not a tool's.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.begun: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._server = Server(self._answer)

    @property
    def provider(self) -> str:
        return f"custom:{self._server.url}/v1"

    def close(self) -> None:
        self._server.close()

    def _answer(self, path: str, request: dict[str, Any], headers: Mapping[str, str]) -> Reply:
        text = bare(next(line["content"] for line in reversed(request["messages"]) if line["role"] == "user"))
        is_round = request["messages"][-1]["role"] == "tool"
        with self._lock:
            self.asked.append(text)
            self.begun[text] += not is_round
            is_first = self.begun[text] == 1
        mood = mood_of(text)
        if mood == "refuse":
            return Reply(400, b'{"error": {"message": "no"}}')
        if mood in TOOLS and not is_round:
            return self._asks_for_tool(request, text, TOOLS[mood])
        return self._moody(mood, text) if is_first and not is_round else streamed({"content": f"re {text}"})

    def _asks_for_tool(self, request: dict[str, Any], text: str, tool: str) -> Reply:
        if tool not in [one["function"]["name"] for one in request.get("tools", ())]:
            return Reply(503, b'{"error": {"message": "the tool is not there yet"}}', headers={"Retry-After": "1"})
        function = {"name": tool, "arguments": f'{{"text": "{text}"}}'}
        return streamed({"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": function}]})

    def _moody(self, mood: str, text: str) -> Reply:
        whole = streamed({"content": f"re {text}"})
        match mood:
            case "slow":
                time.sleep(SLOW_SECONDS)
            case "hang":
                time.sleep(HANG_SECONDS)
                return Reply(closes_after=0)
            case "fail500":
                return Reply(500, b'{"error": {"message": "broken"}}')
            case "fail429":
                return Reply(429, b'{"error": {"message": "slower"}}', headers={"Retry-After": "1"})
            case "cut":
                return whole._replace(closes_after=len(whole.body) // 3)
        return whole


def streamed(delta: dict[str, Any]) -> Reply:
    """An answer as a stream of one piece."""
    chunk = {"id": "c", "object": "chat.completion.chunk", "model": "up-1"}
    events = [
        {**chunk, "choices": [{"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": None}]},
        {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if "tool_calls" in delta else "stop"}]},
    ]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    return Reply(body=body.encode(), content_type="text/event-stream")


class Taken(NamedTuple):
    """A part that a platform took."""

    channel: str
    target: str
    text: str


class Platform:
    """The APIs of Linq and WhatsApp.

    Attributes:
        taken: every part that was taken, in order.
        arrived: called with each part before it is answered: the bytes have left the daemon.
    """

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.arrived: Callable[[Taken], None] = lambda part: None
        self._tries: Counter[Taken] = Counter()
        self._lock = threading.Lock()
        self._server = Server(self._answer)

    @property
    def url(self) -> str:
        return self._server.url

    def close(self) -> None:
        self._server.close()

    def _answer(self, path: str, request: dict[str, Any], headers: Mapping[str, str]) -> Reply:
        part = _part(path, request)
        mood = mood_of(part.text)
        with self._lock:
            self._tries[part] += 1
            if mood == "late" and self._tries[part] == 1:
                return Reply(503)
            self.taken.append(part)
            number = len(self.taken)
        self.arrived(part)
        if mood == "noack" and self._tries[part] == 1:
            return Reply(closes_after=0)
        return Reply(body=json.dumps({"messages": [{"id": f"wamid.{number}"}], "message": {"id": f"linq.{number}"}}).encode())


class Heard(NamedTuple):
    """An event that a subscriber took.

    Attributes:
        id: of the event, the same for each copy. item, answer: of the message whose outcome it is.
    """

    id: str
    kind: str
    item: str
    answer: str | None


class Subscriber:
    """A receiver of events.

    Attributes:
        heard: every event that was taken, in order, copies included.
        is_away: whether it takes nothing at all.
        is_kind: whether it takes everything at once; each refusal costs the whole line five seconds, and a long run leaves thousands of events in it.
        arrived: called with each event before it is answered: the bytes have left the daemon.
    """

    EACH_LATE, EACH_NOACK = 23, 29

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.is_away = self.is_kind = False
        self.arrived: Callable[[Heard], None] = lambda event: None
        self._tries: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._server = Server(self._answer)

    @property
    def url(self) -> str:
        return f"{self._server.url}/events"

    def close(self) -> None:
        self._server.close()

    def _answer(self, path: str, request: dict[str, Any], headers: Mapping[str, str]) -> Reply:
        data = request["data"]
        event = Heard(headers["webhook-id"], request["type"], data.get("id", ""), data.get("answer"))
        with self._lock:
            self._tries[event.id] += 1
            number, is_first = len(self._tries), self._tries[event.id] == 1
            is_harsh = is_first and not self.is_kind
            if self.is_away or (is_harsh and number % self.EACH_LATE == 0):
                return Reply(503)
            self.heard.append(event)
        self.arrived(event)
        return Reply(closes_after=0) if is_harsh and number % self.EACH_NOACK == 0 else Reply()


def _part(path: str, request: dict[str, Any]) -> Taken:
    if path.startswith("/linq/"):
        return Taken("linq", path.split("/")[3], request["message"]["parts"][0]["value"])
    return Taken("whatsapp", "+" + request["to"], request["text"]["body"])
