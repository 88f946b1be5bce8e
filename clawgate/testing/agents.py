"""An agent that answers what a test says, a sink that keeps what it is given, and what every backend must do. Ring: testing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from twisted.internet.defer import CancelledError, Deferred, succeed

from clawgate.domain.errors import AgentError
from clawgate.domain.turn import Completion, Line, Prompt, Role, ToolCall, Usage
from clawgate.ports.agents import AgentBackend, Sink
from clawgate.testing.case import TestCase


class Hang(msgspec.Struct, frozen=True):
    """An answer that never comes; `pieces` do."""

    pieces: tuple[str, ...] = ()


class Pieces(msgspec.Struct, frozen=True):
    """An answer in pieces, with what else a model may say."""

    pieces: tuple[str, ...]
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage(3, 2)
    stop: str = "stop"
    thoughts: tuple[str, ...] = ()


Answer = str | Pieces | Completion | AgentError | Hang


def prompt(text: str = "hello", **fields: object) -> Prompt:
    """A prompt of one line; `fields` as `Prompt` has them."""
    return msgspec.structs.replace(Prompt(lines=(Line(Role.USER, text),)), **fields)


class ListSink(msgspec.Struct):
    """Keeps everything.

    Attributes:
        deltas, thoughts, tool_calls, usages: in order of arrival.
    """

    deltas: list[str] = []
    thoughts: list[str] = []
    tool_calls: list[ToolCall] = []
    usages: list[Usage] = []

    def delta(self, text: str) -> None:
        """Keeps it."""
        self.deltas.append(text)

    def thought(self, text: str) -> None:
        """Keeps it."""
        self.thoughts.append(text)

    def tool_call(self, call: ToolCall) -> None:
        """Keeps it."""
        self.tool_calls.append(call)

    def usage(self, usage: Usage) -> None:
        """Keeps it."""
        self.usages.append(usage)

    @property
    def text(self) -> str:
        """All deltas, joined."""
        return "".join(self.deltas)


class ScriptedAgent(msgspec.Struct, eq=False):
    """An `AgentBackend` that follows a script.

    Attributes:
        answers: one per call, the last one for all that follow; or a function of the prompt.
        is_held: while true, calls wait after their pieces until `release` is called.
        prompts: what was asked, in order. calls, running, most_running, cancelled: counts.
    """

    answers: Sequence[Answer] | Callable[[Prompt], Answer] = ("ok",)
    name: str = "scripted"
    default_model: str = "scripted-1"
    reads_context: bool = True
    takes_tools: bool = True
    is_held: bool = False
    prompts: list[Prompt] = []
    running: int = 0
    most_running: int = 0
    cancelled: int = 0
    is_started: bool = False
    _held: list[Deferred[None]] = []

    @property
    def calls(self) -> int:
        """How often it was asked."""
        return len(self.prompts)

    def start(self) -> Deferred[None]:
        """Remembers that it was started."""
        self.is_started = True
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """Remembers that it was stopped."""
        self.is_started = False
        return succeed(None)

    def run(self, prompt: Prompt, sink: Sink) -> Deferred[Completion]:
        """The next answer of the script."""
        return Deferred.fromCoroutine(self._run(prompt, sink))

    def release(self, count: int | None = None) -> None:
        """Lets the first `count` held calls go on; None = all."""
        released = self._held[:count]
        del self._held[: len(released)]
        for waiter in released:
            waiter.callback(None)

    async def _run(self, prompt: Prompt, sink: Sink) -> Completion:
        answer = self._next(prompt)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            return await self._played(answer, prompt, sink)
        except CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    def _next(self, prompt: Prompt) -> Answer:
        self.prompts.append(prompt)
        if callable(self.answers):
            return self.answers(prompt)
        return self.answers[min(self.calls, len(self.answers)) - 1]

    async def _played(self, answer: Answer, prompt: Prompt, sink: Sink) -> Completion:
        if isinstance(answer, str):
            answer = Pieces((answer,))
        pieces = (answer.text,) if isinstance(answer, Completion) else () if isinstance(answer, AgentError) else answer.pieces
        for thought in answer.thoughts if isinstance(answer, Pieces) else ():
            sink.thought(thought)
        for piece in filter(None, pieces):
            sink.delta(piece)
        if isinstance(answer, Hang):
            await Deferred()
        if self.is_held:
            await self._hold()
        if isinstance(answer, AgentError):
            raise answer
        return self._completed(answer, prompt, sink)

    def _hold(self) -> Deferred[None]:
        waiter: Deferred[None] = Deferred(self._held.remove)
        self._held.append(waiter)
        return waiter

    def _completed(self, answer: object, prompt: Prompt, sink: Sink) -> Completion:
        model = prompt.model or self.default_model
        if isinstance(answer, Pieces):
            answer = Completion(text="".join(answer.pieces), model=model, usage=answer.usage, stop=answer.stop, tool_calls=answer.tool_calls)
        if not isinstance(answer, Completion):
            raise TypeError(f"a script cannot answer {type(answer).__name__}")
        for call in answer.tool_calls:
            sink.tool_call(call)
        sink.usage(answer.usage)
        return answer


class BackendContract(TestCase):
    """What every backend does. Subclass with `__test__ = True` and implement the three methods."""

    __test__ = False

    def answering(self) -> AgentBackend:
        """A backend that answers `prompt()` with some text."""
        raise NotImplementedError

    def hanging(self) -> AgentBackend | None:
        """A backend that never finishes; None where there is no such thing."""
        raise NotImplementedError

    def settle(self) -> None:
        """Lets everything in memory that can happen happen."""

    def _ran(self, backend: AgentBackend, sink: ListSink, prompt: Prompt) -> Completion:
        running = backend.run(prompt, sink)
        self.settle()
        return self.successResultOf(running)

    def test_the_pieces_are_the_text(self) -> None:
        """Deltas are not empty and join to the answer."""
        sink = ListSink()
        completion = self._ran(self.answering(), sink, prompt())
        assert completion.text
        assert "".join(sink.deltas) == completion.text
        assert all(sink.deltas)

    def test_the_model_is_named(self) -> None:
        """A completion always names a model."""
        completion = self._ran(self.answering(), ListSink(), prompt())
        assert completion.model

    def test_the_last_usage_is_the_completions(self) -> None:
        """What the sink was told last is what the completion says."""
        sink = ListSink()
        completion = self._ran(self.answering(), sink, prompt())
        assert sink.usages[-1] == completion.usage

    def test_cancelling_ends_it_at_once(self) -> None:
        """A cancelled run fires with `CancelledError`, without waiting for anybody."""
        backend = self.hanging()
        if backend is None:
            return
        running = backend.run(prompt(), ListSink())
        self.settle()
        self.assertNoResult(running)  # type: ignore[no-untyped-call]  # trial is untyped
        running.cancel()
        self.failureResultOf(running, CancelledError)  # type: ignore[no-untyped-call]  # trial is untyped

    def test_stopping_twice_is_harmless(self) -> None:
        """`stop` is idempotent."""
        backend = self.answering()
        for _ in range(2):
            stopping = backend.stop()
            self.settle()
            self.successResultOf(stopping)
