"""Daemons that start quickly: a process that has imported everything forks them. Most of a start is imports, and these tests start hundreds.

The daemon's process is as real as any: it has its own pid, is killed by the kernel, and finds on its disk what the one before left there.

    stdin     {"argv", "env", "cwd", "out", "err"}: one JSON object a line, a daemon to start; {"reap": pid}: one that has ended
    stdout    its pid; its exit code, negative for a signal
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import random
import select
import signal
import subprocess
import sys
import threading
from typing import Any

from tests.acceptance.crash import child

_SKIPPED = ("clawgate.__main__",)


class Nursery:
    """The process that forks."""

    def __init__(self, env: dict[str, str]) -> None:
        command = [sys.executable, "-m", "tests.acceptance.crash.nursery"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def start(self, argv: list[str], env: dict[str, str], cwd: str, out: str, err: str) -> Forked:
        return Forked(int(self.ask({"argv": argv, "env": env, "cwd": cwd, "out": out, "err": err})), self)

    def ask(self, request: dict[str, Any]) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()

    def close(self) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()


class Forked:
    """One of its children, as `subprocess.Popen` shows one."""

    def __init__(self, pid: int, nursery: Nursery) -> None:
        self.pid = pid
        self._nursery, self._end = nursery, os.pidfd_open(pid)
        self.returncode: int | None = None
        self._reaping = threading.Lock()

    def poll(self) -> int | None:
        return self.returncode if self.returncode is not None else self._ended(0)

    def wait(self, timeout: float) -> int:
        code = self.returncode if self.returncode is not None else self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("daemon", timeout)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            signal.pidfd_send_signal(self._end, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, seconds: float) -> int | None:
        if not select.select([self._end], [], [], seconds)[0]:
            return None
        with self._reaping:
            if self.returncode is None:
                self.returncode = int(self._nursery.ask({"reap": self.pid}))
        return self.returncode

    def __del__(self) -> None:
        os.close(self._end)


def _grow(argv: list[str], env: dict[str, str], cwd: str, out: str, err: str) -> None:
    """In the new process: becomes the daemon."""
    for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, out, os.O_WRONLY), (2, err, os.O_WRONLY)):
        opened = os.open(path, flags | (os.O_CREAT | os.O_TRUNC if number else 0), 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    random.seed()
    reactor: Any = sys.modules["twisted.internet.reactor"]  # Any: whichever this machine has
    vars(reactor).clear()  # its epoll and its waker are the nursery's, and shared by all that it forks
    reactor.__init__()
    sys.argv = ["child", *argv]
    child.main()


def main() -> None:
    """Imports the gateway and forks what it is asked for."""
    import clawgate

    for module in pkgutil.walk_packages(clawgate.__path__, "clawgate."):
        if module.name not in _SKIPPED:
            importlib.import_module(module.name)
    importlib.import_module("twisted.scripts.twistd")
    while line := sys.stdin.readline():
        request = json.loads(line)
        if "reap" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["reap"], 0)[1])
        elif (answer := os.fork()) == 0:
            _grow(**request)
            os._exit(0)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
