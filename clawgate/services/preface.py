"""What goes before every turn: who the agent is, and which skills it has. Ring: services. Source: design §1 (turn), §4.15; rantaiclaw.md §10.

A broken persona.toml or an unreadable skill spoils no turn: it is logged, and the turn goes without it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import msgspec
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from clawgate.domain.errors import GatewayError
from clawgate.domain.messages import TurnOptions
from clawgate.domain.personality import system_text
from clawgate.domain.skills import Skill, find
from clawgate.services.personality import Personalities
from clawgate.services.skills import Skills

_log = Logger()
_T = TypeVar("_T")
MOST_LISTED = 40
MOST_LIST_CHARS = 8_000
MOST_WHOLE_CHARS = 32_000
_DESCRIPTION_CHARS = 200
_NONE: tuple[Skill, ...] = ()
_HINT = "Skills you have. Before you do what one of them is for, read it with the tool `skill_read`:"


class Preface(msgspec.Struct):
    """Writes the text; costs no I/O most of the time."""

    personalities: Personalities
    skills: Skills

    async def text(self, options: TurnOptions | None) -> str:
        """The text before a turn; "" when there is nothing to say.

        Args:
            options: `skill` names a skill that is put into the text whole, when it exists and is active.
        """
        personality = await _or(None, self.personalities.recent, "persona.toml")
        skills = tuple(skill for skill in await _or(_NONE, self.skills.recent, "skills") if skill.is_active)
        named = find(skills, options.skill) if options is not None and options.skill else None
        parts = [
            system_text(personality) if personality is not None else "",
            _listed(skill for skill in skills if skill is not named),
            _whole(named) if named is not None else "",
        ]
        return "\n\n".join(part for part in parts if part)


async def _or(otherwise: _T, look: Callable[[], Awaitable[_T]], what: str) -> _T:
    try:
        return await look()
    except CancelledError:
        raise
    except (GatewayError, OSError) as problem:
        _log.warn("{what} cannot be used in this turn: {problem}", what=what, problem=str(problem))
    except Exception:
        _log.failure("{what} cannot be used in this turn", what=what)
    return otherwise


def _listed(skills: Iterable[Skill]) -> str:
    lines, left = list[str](), MOST_LIST_CHARS
    for skill in skills:
        line = f"- {skill.name} ({skill.slug}): {skill.manifest.description[:_DESCRIPTION_CHARS]}".rstrip(": ")
        left -= len(line) + 1
        if left < 0 or len(lines) == MOST_LISTED:
            lines.append("- and more")
            break
        lines.append(line)
    return "\n".join([_HINT, *lines]) if lines else ""


def _whole(skill: Skill) -> str:
    content = skill.content if len(skill.content) <= MOST_WHOLE_CHARS else skill.content[:MOST_WHOLE_CHARS] + "\n… (cut; `skill_read` has the rest)"
    return f"Use the skill {skill.name} in this turn:\n\n{content}"
