"""The journal of tool calls and small lasting facts. Ring: ports. The errors are those of `ports.stores`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from clawgate.domain.approvals import Pending
from clawgate.domain.audit import Deed
from clawgate.domain.journal import ToolStep


class Journal(Protocol):
    """What the tools of a turn did. `deed` is written into the audit log in the same commit."""

    def plan(self, owner: str, steps: Sequence[ToolStep], now_ms: int) -> Deferred[None]:
        """Writes down one round before anybody is asked about it and before any of it is called.

        A round in which nobody has to be asked marks the item journalled in the same commit.

        Raises (errback):
            Conflict: the item is no longer run by `owner`.
        """

    def ask(self, owner: str, step: ToolStep, now_ms: int, deed: Deed | None = None) -> Deferred[None]:
        """Somebody is about to be asked about `step`, under its `approval_id` and until its `expires_ms`. Raises Conflict as `plan`."""

    def answer(self, item_id: str, step: int, now_ms: int, *, approve: bool, deed: Deed | None = None) -> Deferred[bool]:
        """Gives the word on a step that somebody has to allow: asked → planned, or refused.

        Of several words the first one counts, and only that one is told.

        With the yes that allows the whole of the round the item is journalled, and promised: whoever gave the
        word relies on it, whether its caller stays or not.

        Returns (the Deferred's value):
            Whether this word counted: the step was asked about, and its item is open.
        """

    def question(self, approval_id: str) -> Deferred[Pending | None]:
        """The question with this id, if it is open."""

    def questions(self, limit: int) -> Deferred[tuple[Pending, ...]]:
        """Open questions of open items, in the order in which they were asked; also those whose turn has yet to begin again."""

    def begin(self, owner: str, step: ToolStep, now_ms: int, deed: Deed | None = None) -> Deferred[None]:
        """The call is about to be made. Raises Conflict as `plan`."""

    def finish(self, owner: str, step: ToolStep, now_ms: int, deed: Deed | None = None) -> Deferred[None]:
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
