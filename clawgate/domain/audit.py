"""The audit log: who did what to the gateway, in a chain that shows tampering. Ring: domain. Source: docs/howto/audit.md.

    digest(n) = SHA-256( digest(n-1) as hexadecimal text ‖ canonical JSON of entry n without its digests )

An entry that is changed, taken out, put in or moved breaks the chain at its place. The chain has no key: whoever may write the database can compute the
whole of it anew, or cut off its end. Against that stands a *head* that was noted elsewhere (`SEQ:DIGEST`; the gateway logs it): what comes up to it can
no longer be rewritten unnoticed.

Old entries go from the front. What is left begins at the *anchor*, the link to the last entry that went, and an entry of its own says so.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

import msgspec

from clawgate.domain.errors import BadRequest

GENESIS = "0" * 64
"""The digest before the first entry."""
MOST_DETAIL_BYTES = 2048
MOST_NAME_CHARS = 256
CUT = "…(cut)"
GATEWAY, FILES, NOBODY = "gateway", "files", "nobody"
"""Actors that are no caller: the daemon itself, whoever edits its files, whoever let a deadline pass."""
_HEAD = re.compile(r"(0|[1-9][0-9]{0,17}):([0-9a-f]{64})")
_encoder = msgspec.json.Encoder(order="sorted")


class Action(StrEnum):
    """What is recorded."""

    GATEWAY_STARTED = "gateway_started"
    GATEWAY_STOPPED = "gateway_stopped"
    DEVICE_PAIRED = "device_paired"
    DEVICE_IMPORTED = "device_imported"
    DEVICE_REVOKED = "device_revoked"
    CODE_ISSUED = "code_issued"
    CODE_BURNED = "code_burned"
    LOCKED_OUT = "locked_out"
    LOGIN = "login"
    CONFIG_CHANGED = "config_changed"
    APPROVAL_ASKED = "approval_asked"
    APPROVAL_ANSWERED = "approval_answered"
    TOOLS_GRANTED = "tools_granted"
    TOOL_REFUSED = "tool_refused"
    TOOL_BEGUN = "tool_begun"
    TOOL_ENDED = "tool_ended"
    COMMAND = "command"
    CONTROL_COMMAND = "control_command"
    TERMINAL_OPENED = "terminal_opened"
    TERMINAL_CLOSED = "terminal_closed"
    CHANNEL_ADMITTED = "channel_admitted"
    AUDIT_PRUNED = "audit_pruned"


class Outcome(StrEnum):
    """How it went; `ASKED` is written before a command is carried out, and its end follows as an entry of its own."""

    OK = "ok"
    ASKED = "asked"
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be written down; `deed` makes one within the bounds.

    Attributes:
        actor: the principal who did it, or `GATEWAY`, `FILES`, `NOBODY`.
        subject: what it was done to: a device, a step of an item, a route.
        detail: a JSON object as text, at most `MOST_DETAIL_BYTES`; no secrets, no bodies.
    """

    at_ms: int
    action: str
    actor: str
    subject: str = ""
    outcome: str = Outcome.OK
    detail: str = "{}"


class Link(msgspec.Struct, frozen=True):
    """A place in the chain: an entry's number and digest; the default stands before the first entry."""

    seq: int = 0
    digest: str = GENESIS

    def __str__(self) -> str:
        return f"{self.seq}:{self.digest}"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A deed in its place; `prev` is the digest of the entry before. Actions and outcomes are texts: a newer clawgate may have written others."""

    seq: int
    at_ms: int
    action: str
    actor: str
    subject: str
    outcome: str
    detail: str
    prev: str
    digest: str

    @property
    def link(self) -> Link:
        """Its place in the chain."""
        return Link(self.seq, self.digest)


class Break(msgspec.Struct, frozen=True):
    """The first place where the chain does not hold, and why."""

    seq: int
    why: str


class Verdict(msgspec.Struct, frozen=True):
    """What looking at a chain came to.

    Attributes:
        anchor: where it begins. head: the last entry up to which it holds.
        entries: how many hold.
        broken: None = all of them.
    """

    anchor: Link
    head: Link
    entries: int
    broken: Break | None = None


def deed(
    at_ms: int, action: Action, actor: str, subject: str = "", *, outcome: Outcome = Outcome.OK, detail: Mapping[str, object] | None = None
) -> Deed:
    """A deed within the bounds; what is too long is cut, with a mark."""
    text = _detail_text(detail or {})
    return Deed(at_ms=at_ms, action=action.value, actor=_cut(actor), subject=_cut(subject), outcome=outcome.value, detail=text)


def chained(deed: Deed, before: Link) -> Entry:
    """The entry that follows on `before`."""
    entry = Entry(**msgspec.structs.asdict(deed), seq=before.seq + 1, prev=before.digest, digest="")
    return msgspec.structs.replace(entry, digest=digest_of(entry))


def digest_of(entry: Entry) -> str:
    """The digest that an entry with this content must have, in hexadecimal."""
    return hashlib.sha256(entry.prev.encode("utf-8", "surrogatepass") + canonical(entry)).hexdigest()


def canonical(entry: Entry) -> bytes:
    """The content of an entry as JSON: keys sorted, no spaces, `prev` and `digest` left out."""
    content = {name: getattr(entry, name) for name in ("seq", "at_ms", "action", "actor", "subject", "outcome", "detail")}
    return _encoder.encode(content)


def pruned(at_ms: int, anchor: Link, entries: int) -> Deed:
    """What is written down when old entries go: the chain begins at `anchor` from now on."""
    return deed(at_ms, Action.AUDIT_PRUNED, GATEWAY, str(anchor), detail={"entries": entries})


def follow(entries: Iterable[Entry], before: Link, noted: Link | None = None) -> Verdict:
    """Whether entries follow on `before` and on each other.

    Args:
        entries: in the order in which they are kept.
        noted: a head that somebody wrote down earlier: it must be on the way, or be `before`.
    """
    head, count, broken = before, 0, _contradicts(before, noted)
    for entry in entries:
        broken = broken or _flaw(entry, head) or _contradicts(entry.link, noted)
        if broken is not None:
            return Verdict(before, head, count, broken)
        head, count = entry.link, count + 1
    if broken is None and noted is not None and noted.seq > head.seq:
        broken = Break(head.seq + 1, f"removed: the log ends before entry {noted.seq}, which was noted")
    return Verdict(before, head, count, broken)


def verify(entries: Iterable[Entry], anchor: Link, noted: Link | None = None) -> Verdict:
    """Whether a whole log is as it was written, from its anchor on.

    Args:
        entries: in the order in which they are kept.
        noted: a head that somebody wrote down earlier.

    Raises:
        BadRequest: the noted head has been pruned; nobody can say any more.
    """
    if noted is not None and noted.seq < anchor.seq:
        raise BadRequest(f"head: entries up to {anchor.seq} have been pruned; note a newer head")
    attested = _Attested(entries, str(anchor))
    verdict = follow(attested, anchor, noted)
    if verdict.broken is None and anchor.seq and not attested.is_so:
        return msgspec.structs.replace(verdict, broken=Break(anchor.seq, "removed: the beginning is gone, and no entry says that it was pruned"))
    return verdict


def parse_head(text: str) -> Link:
    """A noted head, `SEQ:DIGEST`. Raises BadRequest."""
    match = _HEAD.fullmatch(text.strip().lower())
    if match is None:
        raise BadRequest("head: use SEQ:DIGEST, as `clawgate audit head` prints it")
    return Link(int(match[1]), match[2])


class _Attested:
    """Entries as they pass, and whether one of them says that the log was pruned up to the anchor."""

    def __init__(self, entries: Iterable[Entry], anchor: str) -> None:
        self._entries, self._anchor, self.is_so = entries, anchor, False

    def __iter__(self) -> Iterator[Entry]:
        for entry in self._entries:
            if entry.action == Action.AUDIT_PRUNED and entry.subject == self._anchor:
                self.is_so = True
            yield entry


def _flaw(entry: Entry, before: Link) -> Break | None:
    expected = before.seq + 1
    if entry.seq > expected:
        return Break(expected, f"removed: entry {entry.seq} follows on {before.seq}")
    if entry.seq < expected:
        return Break(entry.seq, f"inserted or moved: it stands after entry {before.seq}")
    if digest_of(entry) != entry.digest:
        return Break(entry.seq, "edited: its content is not what its digest was made of")
    if entry.prev != before.digest:
        return Break(entry.seq, "does not follow on the entry before it: that one was rewritten, or this one put in its place")
    return None


def _contradicts(link: Link, noted: Link | None) -> Break | None:
    if noted is None or link.seq != noted.seq or link.digest == noted.digest:
        return None
    return Break(link.seq, "rewritten: it is not the entry whose digest was noted")


def _cut(text: str) -> str:
    clean = text.encode("utf-8", "replace").decode()
    return clean if len(clean) <= MOST_NAME_CHARS else clean[: MOST_NAME_CHARS - len(CUT)] + CUT


def _detail_text(detail: Mapping[str, object]) -> str:
    try:
        text = _encoder.encode(detail)
    except UnicodeEncodeError:  # half a surrogate pair
        text = _encoder.encode({"text": ascii(dict(detail))})
    if len(text) <= MOST_DETAIL_BYTES:
        return text.decode()
    room = MOST_DETAIL_BYTES // 2  # every character of what is cut may need a backslash
    return _encoder.encode({"cut": text[: room - 32].decode("utf-8", "ignore") + CUT}).decode()
