"""A Twisted web server with a gateway below /agents, and an agent that lives in the same process.

    python docs/howto/embed_example.py [DIRECTORY] [PORT]

DIRECTORY holds the gateway's state (default: embed-state); PORT 0 picks one. Stop it with Ctrl+C.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from twisted.internet import endpoints, reactor
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from clawgate import Gateway, Settings
from clawgate.domain.turn import Completion, Prompt


class Parrot:
    """The agent: anything with a method `answer`, which may also be a coroutine or return a Deferred."""

    async def answer(self, prompt: Prompt) -> Completion:
        return Completion(text=f"You said: {prompt.question}", model="parrot-1")


class Home(Resource):
    """What this server was there for before it had a gateway."""

    def render_GET(self, request: Request) -> bytes:
        request.setHeader("Content-Type", "text/plain")
        return b"This page is ours; the gateway is at /agents.\n"


def show_code(code: str) -> None:
    """For the operator's eyes: a code is worth a token."""
    print(f"pairing code: {code}", flush=True)


def main(directory: str = "embed-state", port: str = "3000") -> None:
    own: Any = reactor
    own.seconds = time.monotonic  # deadlines do not jump with the wall clock

    state = Path(directory).absolute()
    settings = Settings(state_dir=str(state), config_path=str(state / "config.toml"))
    gateway = Gateway.build(settings, own, answers=Parrot(), announce=show_code)

    root = Resource()
    root.putChild(b"", Home())
    root.putChild(b"agents", gateway.resource)

    def listen(_: object) -> Any:
        listening = endpoints.TCP4ServerEndpoint(own, int(port), interface="127.0.0.1").listen(Site(root))
        return listening.addCallback(lambda found: print(f"http://127.0.0.1:{found.getHost().port}/agents", flush=True))

    def failed(failure: Failure) -> None:
        print(f"cannot start: {failure.getErrorMessage()}", file=sys.stderr)
        own.callWhenRunning(own.stop)

    service: Any = gateway.service
    service.started.addCallback(listen).addErrback(failed)  # before the start: it may fail at once
    service.startService()
    own.addSystemEventTrigger("before", "shutdown", service.stopService)
    own.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
