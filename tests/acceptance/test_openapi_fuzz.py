"""schemathesis against a real daemon: requests that the OpenAPI document allows and requests that it does not, on every route.

Source: issue "Nothing lost, nobody in". The long run is `make fuzz`; see docs/contributing/testing.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.daemon import Daemon
from tests.acceptance.fuzzing import SECONDS, SEED, Watch, fuzzed

pytestmark = pytest.mark.acceptance
LEFT_OUT = {
    r"^/api/events$": "an event stream never ends",
    r"^/api/daemon/logs$": "an event stream never ends",
    r"^/ws/": "a WebSocket, which tests/acceptance/test_socket_fuzz.py is for",
    r"mcp.servers": "would start whatever program is made up",
    r"^/api/v1/skills/install$": "would ask the marketplace",
    r"^/admin/paircode/new$": "`?rotate=all` would revoke the token that this is done with",
}
"""Paths that are not fuzzed, and why. Everything else is, with a token that may do everything."""
UNFIT = {
    "positive_data_acceptance": "rules that no schema can say: a title that is not blank, a cron expression, an id that exists",
    "missing_required_header": "the pairing code and the signatures of platforms are no security schemes",
    "use_after_free": "DELETE empties a canvas and hides a document, which are still there; comments on no task are an empty list",
}
"""Checks that are not made, and why."""


def seeded(daemon: Daemon) -> dict[str, str]:
    """Ids of one thing of each kind, by the name of the path's parameter."""

    def made(path: str, body: object, name: str = "id") -> str:
        answer = daemon.call("POST", path, body)
        assert answer.status in (200, 201), (path, answer)
        return str(answer.json[name])

    daemon.call("POST", "/api/canvas/board", {"content": "<p>hi</p>", "content_type": "html"})
    daemon.call("POST", "/api/v1/memory", {"key": "tea", "content": "green"})
    item = daemon.tell("hello").json["id"]
    return {
        "task_id": made("/tasks", {"title": "a task"}),
        "job_id": made("/api/v1/cron", {"schedule": {"kind": "cron", "expr": "0 0 1 1 *"}, "prompt": "hello", "job_type": "agent"}),
        "group_id": made("/api/v1/kb/groups", {"name": "a group"}),
        "slug": made("/api/v1/skills", {"content": "---\nname: greet\ndescription: greets\n---\nSay hello."}, "slug"),
        "session_id": made("/api/v1/agent/chat", {"message": "hello"}, "session_id"),
        "canvas_id": "board",
        "key": "tea",
        "item_id": str(item),
        "name": "ci",
        "provider": "openai",
    }


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with closing(fuzzed(tmp_path_factory.mktemp("openapi"))) as daemon:
        yield daemon


def schemathesis(daemon: Daemon, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        str(Path(sys.executable).with_name("st")),
        "run",
        f"{daemon.url}/api/openapi.json",
        *("--header", f"Authorization: Bearer {daemon.token}"),
        *("--checks", "all", "--exclude-checks", ",".join(UNFIT)),
        *("--exclude-path-regex", "|".join(LEFT_OUT)),
        *("--continue-on-failure", "--request-timeout", "40", "--no-color", "--warnings", "off"),
        *options,
    ]
    env = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "tests.acceptance.openapi_hooks",
        "CLAWGATE_FUZZ_KNOWN": json.dumps(seeded(daemon)),
        "PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")]),
    }
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=SECONDS + 240, cwd=daemon.home)


def test_every_route_keeps_to_its_document_whatever_it_is_sent(daemon: Daemon) -> None:
    watch = Watch(daemon)
    if SECONDS:
        ran = schemathesis(
            daemon,
            "--phases",
            "coverage,fuzzing,stateful",
            "--max-time",
            str(int(SECONDS)),
            "--max-examples",
            "10000",
            "--seed",
            str(SEED),
            "--generation-database",
            "none",
        )
    else:
        ran = schemathesis(daemon, "--phases", "fuzzing", "--max-examples", "2", "--generation-deterministic")
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr[-2_000:]
    watch.check()
