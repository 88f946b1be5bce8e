"""Programs that run and end. Ring: ports. Source: rantaiclaw.md §12 (shell jobs)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec
from twisted.internet.defer import Deferred


class Finished(msgspec.Struct, frozen=True):
    """How a program ended.

    Attributes:
        exit_code: None = by a signal.
        output: standard output and standard error in the order they came, without what is beyond the bound.
        timed_out: it was ended because its time was over.
        is_cut: there was more output.
    """

    exit_code: int | None
    output: str
    timed_out: bool = False
    is_cut: bool = False


class Processes(Protocol):
    """Runs programs without a shell, in the workspace, each with its own process group and a small environment; its paths are absolute."""

    @property
    def workspace(self) -> str:
        """Where programs start."""

    @property
    def home(self) -> str:
        """Their HOME."""

    def run(self, argv: Sequence[str], *, timeout_seconds: float, output_bytes: int) -> Deferred[Finished]:
        """Runs a program to its end. Its whole process group is ended with it, when its time is over, and when the Deferred is cancelled.

        A program that cannot be started ends with an exit code of 126 or 127 and says why.
        """

    def stop(self) -> Deferred[None]:
        """Ends everything that runs; fires when it is gone."""
