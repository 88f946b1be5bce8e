"""A pool of threads of our own. Ring: system edge. Implements `ports.threads.InThread`. Source: design §3 (never fill the reactor's, it resolves names)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

T = TypeVar("T")


class Threads:
    """Calls functions in its threads. Whoever uses it bounds how many wait.

    Args:
        reactor: results come back in its thread.
        name: of the threads.
        most: threads at once; they start with the first work.
    """

    def __init__(self, reactor: Any, name: str, most: int) -> None:  # Any: IReactorFromThreads, which the reactor's own stub does not show
        self._reactor = reactor
        self._pool = ThreadPool(0, most, name)
        self._pool.threadFactory = partial(threading.Thread, daemon=True)  # type: ignore[assignment]  # what hangs must not keep the process

    def __call__(self, function: Callable[[], T], /) -> Deferred[T]:
        """`ports.threads.InThread`."""
        return deferToThreadPool(self._reactor, self._pool, function)

    def start(self) -> None:
        """Work is done from now on; what came before has waited."""
        self._pool.start()

    def stop(self) -> None:
        """No more work. Returns at once: a thread that hangs is left behind."""
        threading.Thread(target=self._pool.stop, name="clawgate-threads-end", daemon=True).start()

    def finish(self) -> None:
        """No more work, and waits for what there is: for work that must not be left half done."""
        self._pool.stop()
