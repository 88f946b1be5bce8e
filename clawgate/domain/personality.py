"""Personality: who the agent says it is. Ring: domain. Source: rantaiclaw.md §10 (Personality)."""

from __future__ import annotations

import re

import msgspec

from clawgate.domain.errors import BadRequest

PRESETS: dict[str, str] = {
    "default": "Help with whatever comes up. Answer the question that was asked, say what you are unsure of, and ask back only when the answer depends on it.",
    "concise_pro": (
        "Be brief. Put the result first and the reason after it. No preamble, no repetition of the question, no closing phrases. "
        "Prefer lists and figures."
    ),
    "friendly_companion": "Be warm and personal. Take an interest in how things went, encourage, and keep it light. Do not flatter, and do not hide bad news.",
    "research_analyst": (
        "Work like an analyst. Separate what is known from what is assumed, name the source of each claim, give the other side its strongest case, "
        "and end with how sure you are and what would change your mind."
    ),
    "executive_assistant": (
        "Keep somebody's day in order. Turn talk into tasks with an owner and a date, point out clashes and open decisions, draft messages ready to send, "
        "and never promise anything in their name unasked."
    ),
}
"""What each preset adds to name, role and tone."""

_NAME_CHARS, _TEXT_CHARS, _MOST_BASES = 200, 4_000, 64
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class Personality(msgspec.Struct, frozen=True, kw_only=True):
    """Who the agent says it is.

    Attributes:
        timezone: an IANA name; told to the agent, not settable from outside.
        avoid: what it should leave alone; None = nothing.
        always_on_kbs: knowledge bases that are looked at in every turn.
    """

    preset: str = "default"
    name: str = "RantaiClawAgent"
    timezone: str = "UTC"
    role: str = "general productivity and helpful assistance"
    tone: str = "neutral"
    avoid: str | None = None
    always_on_kbs: tuple[str, ...] = ()


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be different; None = stays. An empty `avoid` clears it."""

    preset: str | None = None
    name: str | None = None
    role: str | None = None
    tone: str | None = None
    avoid: str | None = None
    always_on_kbs: tuple[str, ...] | None = None


def changed(current: Personality | None, change: Change) -> Personality:
    """The personality after a change; without one before, the change is one of the default.

    Raises:
        BadRequest: the preset is unknown, a text is blank or too long.
    """
    values: dict[str, object] = {}
    for name, most in (("name", _NAME_CHARS), ("role", _TEXT_CHARS), ("tone", _TEXT_CHARS)):
        text = getattr(change, name)
        if text is not None:
            values[name] = _required(name, text, most)
    if change.preset is not None:
        values["preset"] = _known(change.preset)
    if change.avoid is not None:
        values["avoid"] = _bounded("avoid", change.avoid, _TEXT_CHARS) or None
    if change.always_on_kbs is not None:
        values["always_on_kbs"] = _bases(change.always_on_kbs)
    return msgspec.structs.replace(current or Personality(), **values)


def system_text(personality: Personality) -> str:
    """What the agent is told about itself; also the content of SYSTEM.md."""
    lines = [
        f"You are {personality.name}.",
        f"Your role: {personality.role}.",
        f"Your tone: {personality.tone}.",
        PRESETS.get(personality.preset, PRESETS["default"]),
    ]
    if personality.avoid:
        lines.append(f"Avoid: {personality.avoid}")
    if personality.timezone != "UTC":
        lines.append(f"Times are in {personality.timezone} unless said otherwise.")
    return "\n".join(lines)


def profile_of(config_path: str) -> str:
    """The profile that a config file belongs to: the directory below `profiles`, else "default" (rantaiclaw.md §2)."""
    parts = config_path.split("/")
    return parts[-2] if len(parts) > 2 and parts[-3] == "profiles" and parts[-2] else "default"


def _known(preset: str) -> str:
    if preset not in PRESETS:
        raise BadRequest(f"unknown preset `{_plain(preset)[:_NAME_CHARS]}`")
    return preset


def _required(field: str, text: str, most: int) -> str:
    text = _bounded(field, text, most)
    if not text:
        raise BadRequest(f"{field} must not be empty")
    return text


def _bounded(field: str, text: str, most: int) -> str:
    text = _plain(text).strip()
    if len(text) > most:
        raise BadRequest(f"{field} is longer than {most} characters")
    return text


def _bases(names: tuple[str, ...]) -> tuple[str, ...]:
    kept = tuple(dict.fromkeys(_required("always_on_kbs", name, _NAME_CHARS) for name in names))
    if len(kept) > _MOST_BASES:
        raise BadRequest(f"always_on_kbs names more than {_MOST_BASES}")
    return kept


def _plain(text: str) -> str:
    """Text that can be written down: without control characters and lone surrogates."""
    return _CONTROL.sub("", text).encode("utf-8", "replace").decode()
