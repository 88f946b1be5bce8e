"""`POST /api/v1/agent/chat` and the approvals of its tools. Ring: edge (web). Source: rantaiclaw.md §10, §13; design §1, §4.6, §4.15.

A sync caller and a streaming one stand at the end of the same road; both are asked about gated tools (upstream's sync mode skipped the gate, §20.9).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

import msgspec
from twisted.internet.defer import CancelledError

from clawgate.domain.caller import Caller, Scope
from clawgate.domain.chat import conversation
from clawgate.domain.errors import AgentUnavailable, BadRequest, Conflict, Forbidden, GatewayError, Invalid, NotFound, Unavailable
from clawgate.domain.idempotency import from_header
from clawgate.domain.inbox import Item, State
from clawgate.domain.messages import PLAIN, Attendance, Inbound, TurnOptions, is_storable
from clawgate.domain.sessions import is_worth_saving
from clawgate.domain.settings import providers
from clawgate.domain.turn import TurnEvent
from clawgate.ports.clock import Clock
from clawgate.services.approvals import Approvals
from clawgate.services.ingress import Asked, Ingress
from clawgate.services.streams import Streams
from clawgate.web.answers import Answer, empty_answer, json_answer
from clawgate.web.call import Call
from clawgate.web.dialects import api_wire, chat_wire, root_wire
from clawgate.web.documented import JSON, documented
from clawgate.web.router import Router
from clawgate.web.streams import EventStream, StreamAnswer

SYNC_SECONDS = 120.0
STREAM_SECONDS = 3600.0
_YES = ("1", "true", "yes", "on")


class ChatBody(msgspec.Struct):
    """What is asked; unknown fields are ignored."""

    message: str
    model: str | None = None
    provider: str | None = None
    temperature: float | None = None
    session_id: str | None = None


class WordBody(msgspec.Struct):
    """Somebody's word on a tool."""

    approve: bool
    always: bool = False


class SessionNames(Protocol):
    """Which session a chat goes on in."""

    async def resolve(self, wanted: str | None, caller: Caller) -> str:
        """The session's id: an existing one, or a new one. Raises NotFound for somebody else's."""


class AgentChatSurface(msgspec.Struct):
    """The console's door."""

    ingress: Ingress
    streams: Streams
    approvals: Approvals
    sessions: SessionNames
    clock: Clock
    provider: Callable[[], str]
    idempotency_ttl_seconds: int

    def register(self, router: Router) -> None:
        """Adds the routes."""
        add = partial(router.add, limiter="api", dialect=api_wire.refusal)
        add(
            "POST",
            "/api/v1/agent/chat",
            self.chat,
            auth=Scope.CHAT,
            timed=False,
            leaves_with_client=True,
            summary="Ask the agent in a session; streams with `Accept: text/event-stream`",
        )
        add("POST", "/api/v1/approvals/<approval_id>", self.resolve, auth=Scope.APPROVE, summary="Allow or deny a tool that waits")
        add("GET", "/api/v1/approvals", self.pending, auth=Scope.APPROVE, summary="Tools that wait for somebody's word")

    @documented(body=ChatBody, query={"stream": str}, statuses=(200, 500), gives=(JSON, "text/event-stream"), raises=(NotFound,))
    async def chat(self, call: Call) -> Answer | StreamAnswer:
        """An answer, or a stream of frames."""
        body = call.json(ChatBody)
        _check(body)
        message = self._inbound(call, body, await self.sessions.resolve(body.session_id, call.caller))
        if _streams(call):
            return StreamAnswer(lambda stream: self._stream(stream, message, body), call.caller)
        started = self.clock.monotonic()
        asked = await self.ingress.ask(message, SYNC_SECONDS)
        return self._answer(call, body, asked, int((self.clock.monotonic() - started) * 1000))

    @documented(body=WordBody)
    async def resolve(self, call: Call) -> Answer:
        """What became of the word, which is on disk."""
        body = call.json(WordBody)
        resolved = await self.approvals.resolve(str(call.values["approval_id"]), call.caller, approve=body.approve, always=body.always)
        return json_answer(200, {"resolved": True, "id": resolved.id, "approved": resolved.approved, "always": resolved.always})

    async def pending(self, call: Call) -> Answer:
        """The open questions, oldest first."""
        found = [chat_wire.pending(one) for one in await self.approvals.pending(call.caller)]
        return json_answer(200, {"approvals": found, "count": len(found)})

    def _inbound(self, call: Call, body: ChatBody, session: str) -> Inbound:
        principal = call.caller.principal
        return Inbound(
            source="api",
            principal=principal,
            text=body.message,
            conversation=conversation(session),
            dedupe=from_header(call.header("x-idempotency-key"), principal, self.idempotency_ttl_seconds),
            options=TurnOptions(
                provider=(body.provider or "").strip(),
                model=(body.model or "").strip(),
                temperature=body.temperature,
                session=session,
                attendance=Attendance.CONSOLE,
            ),
        )

    def _answer(self, call: Call, body: ChatBody, asked: Asked, duration_ms: int) -> Answer:
        item = asked.item
        url = f"{call.base}/api/inbox/{item.id}"
        if item.is_open:
            return empty_answer(408, (b"Location", url.encode("latin-1")))
        problem = _problem(item, url)
        if problem is not None:
            raise problem
        return json_answer(
            200,
            {
                "text": item.answer or "",
                "model": item.model or "",
                "provider": body.provider or self.provider(),
                "duration_ms": duration_ms,
                "session_id": _session_of(item, body),
            },
        )

    async def _stream(self, stream: EventStream, message: Inbound, body: ChatBody) -> None:
        ends: list[Callable[[], None]] = []

        def tell(event: TurnEvent) -> None:
            frame = chat_wire.frame(event)
            if frame is not None:
                stream.data(frame)

        def begun(item_id: str) -> None:
            ends.append(self.streams.watch(item_id, tell))

        try:
            item = (await self.ingress.ask(message, STREAM_SECONDS, begun)).item
        except CancelledError:
            raise
        except Unavailable:
            self._over(stream, body, root_wire.UNAVAILABLE)
        except GatewayError as problem:
            self._over(stream, body, str(problem))
        else:
            self._ended(stream, item, body)
        finally:
            for end in ends:
                end()

    def _ended(self, stream: EventStream, item: Item, body: ChatBody) -> None:
        problem = None if item.is_open else _problem(item, f"/api/inbox/{item.id}")
        if item.is_denied:
            stream.data(chat_wire.done("", body.session_id or "", cancelled=True))
        elif item.is_open or problem is not None:
            self._over(stream, body, str(problem) if problem is not None else f"No answer yet; see /api/inbox/{item.id}")
        else:
            stream.data(chat_wire.done(item.answer or "", _session_of(item, body)))

    def _over(self, stream: EventStream, body: ChatBody, message: str) -> None:
        stream.data(chat_wire.error(message))
        stream.data(chat_wire.done("", body.session_id or ""))


def _problem(item: Item, url: str) -> GatewayError | None:
    """Why an ended item has no answer to give; None when it has one."""
    if item.state is State.DONE:
        return None
    if item.is_denied:
        return Forbidden(chat_wire.DENIED)
    if item.state is State.DEAD:
        return AgentUnavailable(f"{chat_wire.FAILED} ({item.error})")
    return Conflict(f"The message is {item.state}; see {url}")


def _session_of(item: Item, body: ChatBody) -> str:
    """The session that the exchange was saved in; a blank answer is not saved."""
    saved_in = (item.options or PLAIN).session if is_worth_saving(item.answer) else ""
    return saved_in or body.session_id or ""


def _streams(call: Call) -> bool:
    return "text/event-stream" in (call.header("accept") or "").lower() or (call.query("stream") or "").lower() in _YES


def _check(body: ChatBody) -> None:
    if not body.message.strip() or not is_storable(body.message):
        raise BadRequest(chat_wire.BLANK)
    if body.temperature is not None and not 0.0 <= body.temperature <= 2.0:
        raise BadRequest("temperature must be between 0.0 and 2.0")
    if body.provider:
        _check_provider(body.provider)


def _check_provider(text: str) -> None:
    try:
        name = providers.normalised("provider", text)
    except Invalid as problem:
        raise BadRequest(f"Unknown provider '{text[:60]}'") from problem
    if ":" in name:
        raise BadRequest("provider: name a vendor; URLs, files and programs are for the configuration")
