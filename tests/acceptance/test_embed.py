"""A gateway in somebody else's Twisted process: docs/howto/embed_example.py as it stands, and mounted deeper."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.daemon import DEADLINE_SECONDS, call, until

pytestmark = pytest.mark.acceptance
EXAMPLE = Path(__file__).parents[2] / "docs" / "howto" / "embed_example.py"
MOUNT = 'root.putChild(b"agents", gateway.resource)'
DEEPER = 'pages = Resource(); root.putChild(b"our", pages); pages.putChild(b"agents", gateway.resource)'


class Program:
    """The example as a process."""

    def __init__(self, home: Path, text: str) -> None:
        (home / "program.py").write_text(text)
        self.out, self.err = home / "out.txt", home / "err.txt"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            arguments = [sys.executable, str(home / "program.py"), str(home / "state"), "0"]
            self.process = subprocess.Popen(arguments, stdout=out, stderr=err, cwd=home, env={"PATH": os.environ["PATH"], "HOME": str(home)})

    def printed(self, pattern: str) -> str:
        def found() -> re.Match[str] | None:
            assert self.process.poll() is None, self.err.read_text()
            return re.search(pattern, self.out.read_text())

        until(found, pattern)
        match = found()
        assert match is not None
        return match[1]


@pytest.fixture(params=["/agents", "/our/agents"])
def mounted(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Program, str, str]]:
    text = EXAMPLE.read_text()
    assert MOUNT in text
    program = Program(tmp_path, text if request.param == "/agents" else text.replace(MOUNT, DEEPER))
    try:
        yield program, program.printed(r"(http://127\.0\.0\.1:\d+)/agents"), request.param
    finally:
        program.process.kill()
        program.process.wait(DEADLINE_SECONDS)


def test_the_embedders_object_answers_below_its_own_pages(mounted: tuple[Program, str, str]) -> None:
    program, base, at = mounted
    token = call(base, "POST", f"{at}/pair", headers={"X-Pairing-Code": program.printed(r"pairing code: (\d{6})")}).json["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    answer = call(base, "POST", f"{at}/webhook", {"message": "hello"}, bearer)
    assert (answer.status, answer.json["response"]) == (200, "You said: hello")
    told = call(base, "POST", f"{at}/webhook", {"message": "hello"}, bearer | {"Prefer": "respond-async"})
    where = told.headers["location"]
    assert where.startswith(f"{at}/api/inbox/")
    until(lambda: call(base, "GET", where, headers=bearer).json["state"] == "done", "it is done")
    assert call(base, "GET", f"{at}/health").json["paired"] is True
    assert (call(base, "GET", "/").status, call(base, "GET", "/webhook").status) == (200, 404)


def test_it_stops_with_its_process(mounted: tuple[Program, str, str]) -> None:
    program, base, at = mounted
    assert call(base, "GET", f"{at}/health").status == 200
    program.process.send_signal(signal.SIGINT)
    assert program.process.wait(DEADLINE_SECONDS) in (0, 130, -signal.SIGINT)
    assert "Traceback" not in program.err.read_text()
    assert "Unhandled" not in program.err.read_text()
