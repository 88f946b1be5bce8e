"""An agent that lives in the same process, handed in by an embedder. Ring: agents. Source: design §5."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol, cast

import msgspec
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.logger import Logger

from clawgate.domain.errors import AgentError, AgentProtocol, AgentUnavailable, Invalid
from clawgate.domain.turn import Completion, Prompt
from clawgate.ports.agents import Sink

_log = Logger()

Answer = str | Completion


class Answerer(Protocol):
    """The embedder's object. It may also have `start()` and `stop()`; they are its own business, not called here."""

    def answer(self, prompt: Prompt) -> Answer | Awaitable[Answer]:
        """The answer, at once or as a Deferred or coroutine."""


class ServiceBackend(msgspec.Struct):
    """An `AgentBackend` over an embedder's object. Its answer is one delta; its exceptions become `AgentUnavailable`, logged with their traceback."""

    service: Answerer
    name: str = "service"
    default_model: str = "service"
    reads_context: bool = True
    takes_tools: bool = True

    def run(self, prompt: Prompt, sink: Sink) -> Deferred[Completion]:
        """Answers. Cancelling cancels the object's own Deferred or coroutine."""
        return Deferred.fromCoroutine(self._run(prompt, sink))

    def start(self) -> Deferred[None]:
        """Nothing to do."""
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """Nothing to do."""
        return succeed(None)

    async def _run(self, prompt: Prompt, sink: Sink) -> Completion:
        completion = self._completion(await self._asked(prompt), prompt)
        if completion.text:
            sink.delta(completion.text)
        for call in completion.tool_calls:
            sink.tool_call(call)
        sink.usage(completion.usage)
        return completion

    async def _asked(self, prompt: Prompt) -> object:
        try:
            answer = self.service.answer(prompt)
            return await answer if isinstance(answer, Awaitable) else answer
        except (CancelledError, AgentError):
            raise
        except Exception as error:
            _log.failure("the embedded agent failed")
            raise AgentUnavailable("the embedded agent failed", detail=repr(error)[:500]) from error

    def _completion(self, answer: object, prompt: Prompt) -> Completion:
        model = prompt.model or self.default_model
        if isinstance(answer, str):
            return Completion(text=answer, model=model)
        if not isinstance(answer, Completion):
            raise AgentProtocol("the embedded agent answered something that is not text", detail=type(answer).__name__)
        return answer if answer.model else msgspec.structs.replace(answer, model=model)


def checked_service(service: object) -> Answerer:
    """The object, when it can answer. Raises Invalid."""
    if not callable(getattr(service, "answer", None)):
        raise Invalid("service", f"{type(service).__name__} has no method answer(prompt)", "Hand in an object with one")
    return cast("Answerer", service)
