"""The child that runs llama.cpp's OpenAI server: `python -m clawgate.agents.local_child`. Ring: agents. Source: design §5.

Reads one JSON line `{"model","name","key","output_tokens"}` from standard input, loads the model, listens on a free port of 127.0.0.1 and writes one JSON line
`{"address"}` to standard output. The key keeps other programs, and pages in a browser, from using the server. It lives as long as its parent: the kernel
ends it with the parent where it can, and the end of its standard input does everywhere.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
from typing import Any

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serves until the parent goes away."""
    _die_with_parent()
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_watch_parent, daemon=True).start()
    server = _serve(order)
    sys.stdout.write(json.dumps({"address": server.listening_address}) + "\n")
    sys.stdout.flush()
    threading.Event().wait()


def _serve(order: dict[str, object]) -> Any:  # Any: xllamacpp.Server, an extension without types
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = order["model"]
    params.model_alias = {order["name"]}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [order["key"]]
    params.n_predict = order["output_tokens"]
    return xllamacpp.Server(params)


def _watch_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
