"""A question about tools asked in a chat, and what the next message means. Ring: domain. Source: rantaiclaw.md §13 (chat channels), §21.

pending | next message            | from     | what happens
--------+-------------------------+----------+------------------------------------------------------
no      | any                     | any      | an ordinary message
yes     | no, deny, cancel, …     | anyone   | the question is over; a fixed sentence
yes     | yes, always, …          | owner    | the original message runs again with the tools allowed
yes     | yes, always, …          | others   | a fixed sentence; the question stays
yes     | anything else           | any      | the question is over; an ordinary message
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import msgspec

PENDING_SECONDS = 600
"""How long a question can be answered."""
DENIED = "Okay — I won't do that. Anything else?"
NOT_AN_OWNER = "You're not authorized to approve tool actions here. Ask an owner to reply Y or A."


class Word(Enum):
    """What a reply to the question says."""

    ONCE = "once"
    ALWAYS = "always"
    DENY = "deny"
    OTHER = "other"


_WORDS: dict[str, Word] = {
    **dict.fromkeys(("y", "yes", "ok", "okay", "allow", "approve", "go", "do it"), Word.ONCE),
    **dict.fromkeys(("a", "always", "yes always", "allow always"), Word.ALWAYS),
    **dict.fromkeys(("n", "no", "deny", "cancel", "stop", "skip", "nope"), Word.DENY),
}


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A question that waits for its answer.

    Attributes:
        item_id: the turn that asked.
        text: the message that the turn was about; it runs again when the tools are allowed.
        sender: who wrote that message.
        tools: what the turn wanted to call, each once.
    """

    item_id: str
    text: str
    sender: str
    tools: tuple[str, ...]


def classify(text: str) -> Word:
    """What a reply says: blanks around it and `.` or `!` at its end do not count, nor does its case."""
    return _WORDS.get(text.strip().rstrip(".!").rstrip().lower(), Word.OTHER)


def distinct(tools: Sequence[str]) -> tuple[str, ...]:
    """Each tool once, in the order in which they were wanted."""
    return tuple(dict.fromkeys(tools))


def question_text(tools: Sequence[str]) -> str:
    """The reply that asks; backticks in a tool's name would break its marking."""
    names = ", ".join("`" + tool.replace("`", "'") + "`" for tool in distinct(tools))
    return f"🔧 To do that I need to run {names}.\nReply *Y* to allow once, *A* to always allow, or *N* to skip."
