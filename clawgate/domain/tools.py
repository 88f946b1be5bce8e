"""Tools an agent may call. Ring: domain. Source: design §1 (tool steps); rantaiclaw.md §10, §13."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from clawgate.domain.turn import ToolSpec

RESULT_CHARS = 64_000
"""Longest result that goes back to a model; the rest is cut with a note."""
CUT = "\n… (cut)"


class Risk(StrEnum):
    """What calling a tool can do."""

    READ = "read"
    """Looks at what the gateway itself keeps."""
    WRITE = "write"
    """Changes what the gateway itself keeps."""
    OUTSIDE = "outside"
    """Reaches beyond the gateway: other programs, other people's servers."""


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """One tool.

    Attributes:
        parameters: a JSON Schema of type "object", as JSON text.
        is_idempotent: a call that was begun before a crash may be made again.
        always_asks: as if the operator had written it into `[autonomy] always_ask`.
    """

    name: str
    description: str
    parameters: str = '{"type":"object","properties":{}}'
    risk: Risk = Risk.OUTSIDE
    is_idempotent: bool = False
    always_asks: bool = False

    @property
    def spec(self) -> ToolSpec:
        """What a model is told."""
        return ToolSpec(self.name, self.description, self.parameters)


class ToolContext(msgspec.Struct, frozen=True, kw_only=True):
    """For whom a tool is called.

    Attributes:
        idempotency_key: "item_id:step", the same when the call is repeated.
    """

    principal: str
    source: str
    conversation: str | None
    idempotency_key: str


class ToolResult(msgspec.Struct, frozen=True):
    """What a tool answered; a failure the model should read is `ok=False`, not an exception."""

    text: str
    ok: bool = True


def bounded(text: str) -> str:
    """A result as it is stored and shown to the model: at most `RESULT_CHARS` characters, NULs and lone surrogates out."""
    text = text.replace("\0", "").encode("utf-8", "replace").decode()
    return text if len(text) <= RESULT_CHARS else text[: RESULT_CHARS - len(CUT)] + CUT
