"""The agent of a gateway without a provider: deterministic, and it says so. Ring: agents. Source: design §5.

It lets a first run show the whole road without a key: `/help`, `/echo`, `/remember`, `/recall`; anything else gets a fixed sentence. No I/O of its own.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
from twisted.internet.defer import Deferred, succeed

from clawgate.domain.errors import AgentError, AgentUnavailable, GatewayError
from clawgate.domain.turn import Completion, Prompt, Usage
from clawgate.ports.agents import Sink

MARK = "[offline] "
MODEL = "offline"
_HELP = (
    "No provider is configured. I know: /help, /echo TEXT, /remember TEXT, /recall WORDS. "
    "Set default_provider and its key in config.toml to talk to a model."
)
_PIECE = re.compile(r"\S+\s*|\s+")
_SHOWN_MAX = 10


class Notes(Protocol):
    """What the offline agent remembers with."""

    def remember(self, text: str, principal: str) -> Deferred[None]:
        """Stores a text; fires when it is stored."""

    def recall(self, words: str, principal: str) -> Deferred[list[str]]:
        """Texts with every one of the words that `principal` may see, newest first."""


class OfflineBackend(msgspec.Struct):
    """An `AgentBackend` without a model.

    Attributes:
        notes: None = remembering is switched off, and the agent says so.
    """

    notes: Notes | None = None
    name: str = "offline"
    default_model: str = MODEL
    reads_context: bool = False
    takes_tools: bool = False

    def run(self, prompt: Prompt, sink: Sink) -> Deferred[Completion]:
        """Answers, word by word. Errbacks with `AgentUnavailable` when the notes fail."""
        return Deferred.fromCoroutine(self._run(prompt, sink))

    def start(self) -> Deferred[None]:
        """Nothing to do."""
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """Nothing to do."""
        return succeed(None)

    async def _run(self, prompt: Prompt, sink: Sink) -> Completion:
        try:
            text = MARK + await self._answer(prompt)
        except AgentError:
            raise
        except GatewayError as error:
            raise AgentUnavailable("the notes are not available", detail=f"{error} {error.detail}".strip()) from error
        for piece in _PIECE.findall(text):
            sink.delta(piece)
        usage = Usage(_words(prompt.system) + sum(_words(line.text) for line in prompt.lines), _words(text))
        sink.usage(usage)
        return Completion(text=text, model=MODEL, usage=usage)

    async def _answer(self, prompt: Prompt) -> str:
        command, _, rest = prompt.question.strip().partition(" ")
        handlers: dict[str, Callable[[str, str], Awaitable[str]]] = {
            "/help": self._help,
            "/echo": self._echo,
            "/remember": self._remember,
            "/recall": self._recall,
        }
        handler = handlers.get(command.lower())
        if handler is not None:
            return await handler(rest.strip(), prompt.principal)
        if command.startswith("/"):
            return f"I do not know {command}. Try /help."
        return f"No provider is configured, so nobody read this: {prompt.question}"

    async def _help(self, text: str, principal: str) -> str:
        return _HELP

    async def _echo(self, text: str, principal: str) -> str:
        return text or "Nothing to echo. Write /echo TEXT."

    async def _remember(self, text: str, principal: str) -> str:
        if self.notes is None:
            return "Remembering is switched off."
        if not text:
            return "Nothing to remember. Write /remember TEXT."
        await self.notes.remember(text, principal)
        return f"I will remember: {text}"

    async def _recall(self, words: str, principal: str) -> str:
        if self.notes is None:
            return "Remembering is switched off."
        if not words:
            return "Nothing to look for. Write /recall WORDS."
        found = await self.notes.recall(words, principal)
        if not found:
            return f"I remember nothing about: {words}"
        return "I remember:\n" + "\n".join(f"- {text}" for text in found[:_SHOWN_MAX])


def _words(text: str) -> int:
    return len(text.split())
