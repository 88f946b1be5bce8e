"""Hooks: what a signed delivery asks of the agent. Ring: domain. Source: webhook-signatures.md §1; design §4.2 (placeholders), §4.5; RFC 6901 (JSON pointers).

    body       JSON of any shape, or a form; a form's `payload` that holds JSON is read, as GitHub and Slack send it
    fields     name → JSON pointer into the body; a text as it is, anything else as compact JSON with sorted keys
    {name}     a field, else the body's top-level text, number, true or false of that name; what is nowhere stays as it is

Only the body is used: query and headers are not signed. What was filled in is not looked at again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec

from clawgate.domain.errors import BadRequest, TooLarge, UnsupportedMedia
from clawgate.domain.messages import conversation_key
from clawgate.domain.triggers import MOST_PROMPT_CHARS, fill, parsed, unfilled

MOST_POINTER_CHARS = 512
_MOST_FORM_FIELDS = 1000
_MOST_CONVERSATION_CHARS = 200
_INDEX = re.compile(r"(?:0|[1-9][0-9]{0,8})\Z")
_FORM = "application/x-www-form-urlencoded"
_BAD_ESCAPE = re.compile(r"~(?![01])")


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """What a delivery's message and conversation are made of.

    Attributes:
        message: with placeholders; "" = every field that is there, a line each.
        conversation: with placeholders; "" = each delivery is a conversation of its own.
        fields: JSON pointers by name.
    """

    message: str = ""
    conversation: str = ""
    fields: Mapping[str, str] = {}


def read(raw: bytes, content_type: str) -> object:
    """The value that a verified body holds.

    Args:
        content_type: the header's value; parameters and case do not matter.

    Raises:
        UnsupportedMedia: it is neither JSON nor a form. BadRequest: it is not what it says it is.
    """
    media = content_type.partition(";")[0].strip().lower()
    try:
        if media == _FORM:
            return _form(raw)
        if media == "application/json" or (media.startswith("application/") and media.endswith("+json")):
            return parsed(raw)
    except ValueError:
        raise BadRequest("The body cannot be read") from None
    raise UnsupportedMedia(f"Expected application/json or {_FORM}")


def _form(raw: bytes) -> dict[str, object]:
    """Its fields, of a name that is there twice the first. Raises ValueError."""
    pairs = parse_qsl(raw.decode(), keep_blank_values=True, strict_parsing=bool(raw), errors="strict", max_num_fields=_MOST_FORM_FIELDS)
    fields: dict[str, object] = dict(reversed(pairs))
    payload = fields.get("payload")
    if isinstance(payload, str):
        fields["payload"] = _json_or_text(payload)
    return fields


def _json_or_text(text: str) -> object:
    try:
        return parsed(text.encode())
    except ValueError:
        return text


def is_pointer(text: str) -> bool:
    """Whether a text is a JSON pointer that we follow."""
    return len(text) <= MOST_POINTER_CHARS and (not text or text.startswith("/")) and not _BAD_ESCAPE.search(text)


def at(body: object, pointer: str) -> object:
    """What a JSON pointer leads to; None where that is nothing."""
    found = body
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping):
            found = found.get(name)
        elif isinstance(found, list) and _INDEX.match(name) and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def prompt(hook: str, template: Template, body: object) -> str:
    """What the agent is asked, after the hook's name.

    Raises:
        BadRequest: nothing of what the template names is there. TooLarge: it would be longer than a prompt may be.
    """
    fields, scalars = _values(template, body)
    text = fill(template.message, fields, scalars) if template.message else "\n".join(f"{name}: {value}" for name, value in fields.items())
    if not text.strip():
        raise BadRequest("The body has nothing that this hook asks about")
    whole = f"[Hook: {hook}] {text}"
    if len(whole) > MOST_PROMPT_CHARS:
        raise TooLarge(f"The prompt would be longer than {MOST_PROMPT_CHARS} characters")
    return whole


def conversation(hook: str, template: Template, body: object) -> str | None:
    """The conversation that a delivery belongs to; None = its own, also when a name in the template is nowhere: strangers share no history by a gap.

    Raises:
        TooLarge: as `prompt`.
    """
    if not template.conversation.strip():
        return None
    fields, scalars = _values(template, body)
    if unfilled(template.conversation, fields, scalars):
        return None
    name = fill(template.conversation, fields, scalars)
    if len(name) > _MOST_CONVERSATION_CHARS:
        name = "sha256-" + hashlib.sha256(name.encode()).hexdigest()
    return conversation_key(f"hook:{hook}", name) if name.strip() else None


def _values(template: Template, body: object) -> tuple[dict[str, str], dict[str, object]]:
    found = {name: at(body, pointer) for name, pointer in template.fields.items()}
    fields = {name: _text(value) for name, value in found.items() if value is not None}
    return fields, body if isinstance(body, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
