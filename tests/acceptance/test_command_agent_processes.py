"""The command backend with real processes: groups, environments, pipes."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError

from clawgate.agents.choose import build_backend
from clawgate.domain.errors import AgentUnavailable
from clawgate.domain.settings.model import Settings
from clawgate.domain.turn import Completion
from clawgate.ports.agents import AgentBackend
from clawgate.system.clock import SystemClock
from clawgate.testing.agents import ListSink, prompt
from tests.acceptance.waits import is_alive, until, within

pytestmark = pytest.mark.acceptance

ANSWERS = """
import json, os, sys
asked = json.loads(sys.stdin.read())
def say(**line): print(json.dumps(line), flush=True)
for word in ("pid", "leads" if os.getpid() == os.getpgrp() == os.getsid(0) else "follows"): say(type="delta", text=word + " ")
say(type="delta", text=asked["messages"][-1]["content"] + " " + " ".join(sorted(os.environ)))
say(type="usage", input_tokens=1, output_tokens=2)
say(type="done", model="script")
"""

LEAVES_A_GRANDCHILD = """
import json, subprocess, sys, time
child = subprocess.Popen(["sleep", "300"])
print(json.dumps({"type": "delta", "text": str(child.pid)}), flush=True)
time.sleep(300)
"""


def build(tmp_path: Path, script: str) -> AgentBackend:
    file = tmp_path / "agent.py"
    file.write_text(script)
    settings = Settings(default_provider=f"command:{shlex.join([sys.executable, '-I', str(file)])}")
    return build_backend(settings, reactor=reactor, clock=SystemClock(reactor), notes=None)


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("has_setsid", [True, False])
async def test_a_program_answers_as_the_leader_of_its_own_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_setsid: bool) -> None:
    if not has_setsid:
        monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    completion: Completion = await within(build(tmp_path, ANSWERS).run(prompt("hello"), ListSink()))
    words = completion.text.split()
    assert words[:3] == ["pid", "leads", "hello"]
    assert set(words[3:]) <= {"HOME", "LANG", "LC_CTYPE", "PATH"}
    assert completion.model == "script"


@pytest_twisted.ensureDeferred
async def test_cancelling_ends_the_program_and_its_children(tmp_path: Path) -> None:
    sink = ListSink()
    backend = build(tmp_path, LEAVES_A_GRANDCHILD)
    running = backend.run(prompt(), sink)
    await until(lambda: bool(sink.deltas))
    grandchild = int(sink.text)
    assert is_alive(grandchild)
    running.cancel()
    with pytest.raises(CancelledError):
        await running
    await until(lambda: not is_alive(grandchild))
    await within(backend.stop())


@pytest_twisted.ensureDeferred
async def test_a_program_that_leaves_a_child_with_its_pipes_is_done_soon(tmp_path: Path) -> None:
    sink = ListSink()
    script = LEAVES_A_GRANDCHILD.replace("time.sleep(300)", "sys.exit(4)")
    with pytest.raises(AgentUnavailable):
        await within(build(tmp_path, script).run(prompt(), sink), 10)
    await until(lambda: not is_alive(int(sink.text)))


@pytest_twisted.ensureDeferred
async def test_a_program_that_does_not_exist_is_unavailable(tmp_path: Path) -> None:
    settings = Settings(default_provider="command:/nowhere/agent")
    backend = build_backend(settings, reactor=reactor, clock=SystemClock(reactor), notes=None)
    with pytest.raises(AgentUnavailable) as caught:
        await within(backend.run(prompt(), ListSink()))
    assert "/nowhere/agent" in caught.value.detail
