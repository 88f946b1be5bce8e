"""The journal of tool calls and small lasting facts. Ring: ports. The errors are those of `ports.stores`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from clawgate.domain.journal import ToolStep


class Journal(Protocol):
    """What the tools of a turn did."""

    def plan(self, owner: str, steps: Sequence[ToolStep], now_ms: int) -> Deferred[None]:
        """Writes down one round before any of it is called, and marks the item journalled, in one commit.

        Raises (errback):
            Conflict: the item is no longer run by `owner`.
        """

    def begin(self, owner: str, step: ToolStep, now_ms: int) -> Deferred[None]:
        """The call is about to be made. Raises Conflict as `plan`."""

    def finish(self, owner: str, step: ToolStep, now_ms: int) -> Deferred[None]:
        """`step` with its result. Raises Conflict as `plan`."""

    def steps(self, item_id: str) -> Deferred[tuple[ToolStep, ...]]:
        """The item's steps in order."""


class Facts(Protocol):
    """Small values by kind and key, as JSON text: pairing codes, grants, caches. At most some thousands of a kind."""

    def put(self, kind: str, key: str, value: str, expires_ms: int = 0) -> Deferred[None]:
        """Stores or replaces; `expires_ms` 0 = never."""

    def get(self, kind: str, key: str, now_ms: int) -> Deferred[str | None]:
        """The value, or None when there is none or it has expired."""

    def all(self, kind: str, now_ms: int, limit: int) -> Deferred[dict[str, str]]:
        """Values by key, in order of the keys."""

    def remove(self, kind: str, key: str) -> Deferred[bool]:
        """Whether there was one."""

    def purge(self, now_ms: int) -> Deferred[int]:
        """Forgets what has expired."""
