"""`/bind CODE` and `/claim CODE`: how a person on a channel gets in by a code of the operator's. Ring: domain.

Source: rantaiclaw.md §3 (on-demand store codes), §7 (self-onboarding, replies), §20.1 (a wrong code changes no allowlist), §21.

A code is 8 digits of Crockford's base 32, shown as `XXXX-XXXX`; what is kept is the SHA-256 of its 8 characters. Other than upstream, a code remembers
who used it: the same person presenting it again has used it once. So a delivery that is repeated after a crash spends nothing.
"""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum

import msgspec

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_CHARS = 8
GATEWAY = "gateway"
"""The surface of codes for `POST /pair`."""
MOST_IDENTITIES = 1000
"""Who used a code is remembered; a code without a limit of its own ends here."""
_MOST_TYPED = 64
_COMMAND = re.compile(r"\s*/(bind|claim)(?:\s+(\S*).*)?\Z", re.IGNORECASE | re.DOTALL | re.ASCII)

BOUND = "✅ You're paired — you can now chat with me."
OWNER = "✅ You're now an owner — you can chat with me and approve privileged actions."
NOT_OWNER = "✅ You're paired and can chat with me. (This code didn't grant owner rights.)"
WRONG = "❌ Invalid or expired pairing code. Ask the operator for a fresh one (`clawgate channels pair`)."
NOT_SAVED = "❌ Your code is right, but the configuration could not be saved. Ask the operator to look at the log, then send the same code again."

ALLOWLIST_KEYS = {
    "whatsapp": "allowed_numbers",
    "linq": "allowed_senders",
    "nextcloud_talk": "allowed_users",
    "wati": "allowed_numbers",
}
"""Under which key of `[channels_config.<channel>]` the people stand who are answered."""


class Verb(StrEnum):
    """What is asked for."""

    BIND = "bind"
    """To be answered."""
    CLAIM = "claim"
    """To be answered, and to approve tools where the code grants it."""


class Command(msgspec.Struct, frozen=True):
    """A pairing command; `code` in its normal form, "" when none can be in the text."""

    verb: Verb
    code: str


class StoreCode(msgspec.Struct, frozen=True, kw_only=True):
    """One code, as it is kept under the hash of its normal form.

    Attributes:
        surface: the channel it is for, or `GATEWAY`.
        expires_ms: wall clock; the code is dead from then on.
        max_uses: None = as many as come before it expires.
        uses: how often it was used; the same identity counts once.
        used_by: identities that used it.
        issuer: principal who made it; it dies with the device that this names.
    """

    surface: str
    expires_ms: int
    max_uses: int | None = 1
    uses: int = 0
    grant_owner: bool = True
    used_by: tuple[str, ...] = ()
    issuer: str = ""


def parse(text: str) -> Command | None:
    """The command in a message, or None when it is an ordinary message; the verb stands alone or before a blank, in any case."""
    found = _COMMAND.match(text)
    if found is None:
        return None
    return Command(Verb(found[1].lower()), normal(found[2] or ""))


def normal(typed: str) -> str:
    """The normal form of a typed code: trimmed, upper case, without dashes; "" when it is no code of ours."""
    code = typed.strip().upper().replace("-", "")
    return code if len(code) == CODE_CHARS and all(character in ALPHABET for character in code) and len(typed) <= _MOST_TYPED else ""


def code_from(five_bytes: bytes) -> str:
    """A code in its normal form out of 40 random bits."""
    number = int.from_bytes(five_bytes[:5], "big")
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(35, -1, -5))


def shown(code: str) -> str:
    """`XXXX-XXXX`, as people read it."""
    return f"{code[:4]}-{code[4:]}"


def code_hash(code: str) -> str:
    """Under which name a code in its normal form is kept."""
    return hashlib.sha256(code.encode()).hexdigest()


def use(code: StoreCode, surface: str, identity: str, now_ms: int) -> StoreCode | None:
    """The code after `identity` used it, or None when it does not let them in.

    Args:
        identity: who presents it, in the channel's own form; "" = nobody who could be recognised, every use counts.
    """
    if code.surface != surface or now_ms >= code.expires_ms:
        return None
    if identity and identity in code.used_by:
        return code
    most = MOST_IDENTITIES if code.max_uses is None else code.max_uses
    if code.uses >= most:
        return None
    used_by = (*code.used_by, identity) if identity else code.used_by
    return msgspec.structs.replace(code, uses=code.uses + 1, used_by=used_by)


def welcome(verb: Verb, *, is_owner: bool) -> str:
    """What somebody is told whom a code let in."""
    if verb is Verb.BIND:
        return BOUND
    return OWNER if is_owner else NOT_OWNER
