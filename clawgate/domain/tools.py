"""Tools an agent may call. Ring: domain. Source: design §1 (tool steps); rantaiclaw.md §10, §13."""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum

import msgspec

from clawgate.domain.turn import ToolCall, ToolSpec

RESULT_CHARS = 64_000
"""Longest result that goes back to a model; the rest is cut with a note."""
CUT = "\n… (cut)"
ANY_OBJECT = '{"type":"object","properties":{}}'
"""The schema of a tool that says nothing about its arguments."""
MAX_NAME_CHARS = 64
"""Of a tool's name; letters, digits, `_` and `-` are what every vendor takes."""
_STRANGE = re.compile(r"[^A-Za-z0-9_-]")
_HASH_CHARS = 8


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
    parameters: str = ANY_OBJECT
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


def bounded(text: str, most_chars: int = RESULT_CHARS) -> str:
    """A result as it is stored and shown to the model: cut to `most_chars` with a note, NULs and lone surrogates out."""
    text = text.replace("\0", "").encode("utf-8", "replace").decode()
    return text if len(text) <= most_chars else text[: most_chars - len(CUT)] + CUT


def is_name(text: str) -> bool:
    """Whether every vendor takes it as the name of a tool."""
    return 0 < len(text) <= MAX_NAME_CHARS and not _STRANGE.search(text)


def hashed_name(shown: str, *true_names: str) -> str:
    """`shown` as every vendor takes it, with a hash of the true names at the end.

    So what looks the same is kept apart, and an approval that names a tool means the same one tomorrow.
    """
    mark = hashlib.sha256("\0".join(true_names).encode("utf-8", "replace")).hexdigest()[:_HASH_CHARS]
    return f"{_STRANGE.sub('_', shown)[: MAX_NAME_CHARS - _HASH_CHARS - 1]}_{mark}"


def arguments_digest(call: ToolCall) -> str:
    """The arguments of a call as the audit log shows them: the SHA-256 of their text, in hexadecimal."""
    return hashlib.sha256(call.arguments.encode("utf-8", "surrogatepass")).hexdigest()
