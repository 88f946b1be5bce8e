"""Which tool calls are made, asked about or refused. Ring: domain. Source: rantaiclaw.md §6, §10 (status presets), §11 (autonomy), §13; design §4.15.

    level       | tool                                  | verdict
    ------------+---------------------------------------+---------------------------------------------
    readonly    | reads                                 | allow
    readonly    | anything else                         | deny
    full        | in always_ask, or a tool that asks    | as gated below
    full        | anything else                         | allow
    supervised  | in always_ask, or a tool that asks    | as gated below
    supervised  | reads, in auto_approve, or granted    | allow
    supervised  | anything else                         | as gated below

    gated       | an unattended or console turn, with `autonomous_tools`      | allow
                | a channel's owner, with `autonomous_tools`                  | allow
                | somebody is there (console, chat)                           | ask
                | nobody is there                                             | deny

A channel's guest (who is not in `approval_owners`) stands under a ceiling at every level: only reads, `auto_approve` and `guest_allowed_tools` are made
without an owner's word. What was granted beforehand, by an owner, is made.
"""

from __future__ import annotations

from enum import Enum, StrEnum

import msgspec

from clawgate.domain.messages import Attendance, TurnOptions
from clawgate.domain.tools import Risk, Tool
from clawgate.domain.turn import ToolCall


class Level(StrEnum):
    """`[autonomy] level`."""

    READ_ONLY = "readonly"
    SUPERVISED = "supervised"
    FULL = "full"

    @classmethod
    def named(cls, text: str) -> Level | None:
        """The level that somebody wrote (`Read_Only` too), None for anything else."""
        name = text.strip().lower().replace("_", "")
        return cls(name) if name in set(cls) else None


class Verdict(Enum):
    """What becomes of a call."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """One open question: may this call of this item be made?

    Attributes:
        step: of the item, as in the journal.
        principal, session: whose item it is, and in which session it stands ("" = in none).
        asked_ms, expires_ms: wall clock.
    """

    id: str
    item_id: str
    step: int
    principal: str
    session: str
    call: ToolCall
    asked_ms: int
    expires_ms: int

    def seconds_left(self, now_ms: int) -> float:
        """How long it may still be answered; 0 = no longer."""
        return max(0, self.expires_ms - now_ms) / 1000


class ToolPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The live settings that decide about tools."""

    level: Level = Level.SUPERVISED
    auto_approve: frozenset[str] = frozenset()
    always_ask: frozenset[str] = frozenset()
    autonomous_tools: bool = False
    owners: frozenset[str] = frozenset()
    guest_tools: frozenset[str] = frozenset()

    @property
    def preset(self) -> str:
        """The word of `/api/v1/status`: strict, smart, manual or off."""
        if self.level is Level.READ_ONLY:
            return "strict"
        if self.level is Level.FULL:
            return "off"
        return "manual" if self.always_ask else "smart"

    def is_owner(self, sender: str) -> bool:
        """Whether a channel's sender may approve; a leading @ does not count, `*` is everybody, an empty list nobody."""
        return "*" in self.owners or sender.removeprefix("@") in {owner.removeprefix("@") for owner in self.owners}


def verdict(tool: Tool, policy: ToolPolicy, options: TurnOptions, granted: frozenset[str] = frozenset()) -> Verdict:
    """The table's word on one call.

    Args:
        granted: tools that somebody allowed for this session ("always").
    """
    is_granted = tool.name in granted or tool.name in options.allowed_tools
    if policy.level is Level.READ_ONLY:
        return Verdict.ALLOW if tool.risk is Risk.READ else Verdict.DENY
    if is_granted:
        return Verdict.ALLOW
    is_guest = options.attendance is Attendance.CHAT and not policy.is_owner(options.sender)
    is_free = tool.risk is Risk.READ or tool.name in policy.auto_approve
    must_ask = tool.always_asks or tool.name in policy.always_ask
    if is_guest:
        return Verdict.ALLOW if (is_free and not must_ask) or tool.name in policy.guest_tools else Verdict.ASK
    if not must_ask and (is_free or policy.level is Level.FULL):
        return Verdict.ALLOW
    if policy.autonomous_tools:
        return Verdict.ALLOW
    return Verdict.DENY if options.attendance is Attendance.NOBODY else Verdict.ASK
