"""The tool by which an agent reads a skill. Ring: services; implements `ports.tools.ToolSource`. Source: rantaiclaw.md §10 (Skills)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain.skills import find
from clawgate.domain.tools import Risk, Tool, ToolContext, ToolResult, bounded
from clawgate.services.skills import Skills

READ_TOOL = Tool(
    name="skill_read",
    description="Read the instructions of a skill before doing what it is for",
    parameters='{"type":"object","properties":{"slug":{"type":"string","description":"slug or name of the skill"}},"required":["slug"]}',
    risk=Risk.READ,
    is_idempotent=True,
)


class SkillTools(msgspec.Struct):
    """`skill_read`; skills that are not active do not exist for an agent."""

    skills: Skills

    def tools(self) -> Sequence[Tool]:
        """The one."""
        return (READ_TOOL,)

    def call(self, name: str, arguments: Mapping[str, object], context: ToolContext) -> Deferred[ToolResult]:
        """See `ToolSource.call`."""
        return Deferred.fromCoroutine(self._read(arguments.get("slug")))

    async def _read(self, wanted: object) -> ToolResult:
        if not isinstance(wanted, str) or not wanted.strip():
            return ToolResult("slug: name a skill", ok=False)
        skill = find((skill for skill in await self.skills.recent() if skill.is_active), wanted.strip())
        if skill is None:
            return ToolResult(f"there is no skill `{wanted.strip()[:100]}`", ok=False)
        return ToolResult(bounded(skill.content))
