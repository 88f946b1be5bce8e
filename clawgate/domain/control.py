"""The control plane's messages, its words and the rules of its tokens. Ring: domain. Source: openclaw-enterprise.md §3, §4, §5.

    text → message → token → command → reply

Upstream's sentences stand here, byte for byte; those that only this gateway says stand where they are said. A token is checked in upstream's order: shape,
signature, times, issuer, and last whether it is the one of this process.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping

import msgspec

from clawgate.domain.secret import Secret

ISSUER = "openclaw-gateway"
SCOPES = ("provider:read", "provider:write", "gateway:admin")
PLACEHOLDER_SECRET = "your-jwt-secret-key-here"  # what upstream's .env.example says, and nobody's secret
COMMANDS = ("ping", "status", "switch_provider", "health_check", "rotate_token")
HEALTH_CHECKED = "Health check complete — see server logs for details."
PARSE_ERROR = "(parse error)"
AUTH_ERROR = "(auth)"
INVALID_JSON = "Invalid JSON"
NOT_PERMITTED = "IP not permitted"
OTHER_TOKEN = "Unauthorised: Token JTI does not match active session — please use the current startup token"
_REFUSED = "Unauthorised: Token validation failed: "
_JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)?\Z")


class Vendor(msgspec.Struct, frozen=True):
    """A provider that the control plane knows by name.

    Attributes:
        key: its name on this wire. provider: its name in the settings.
    """

    key: str
    provider: str
    shown: str
    no_key: str


VENDORS = (
    Vendor("gemini", "gemini", "Gemini", "GeminiProvider: GEMINI_API_KEY is not set"),
    Vendor("kimi", "moonshot", "Kimi (Moonshot AI)", "KimiProvider: MOONSHOT_API_KEY is not set"),
)


class Token(msgspec.Struct, frozen=True):
    """The one token that counts."""

    id: str
    expires_ms: int
    text: Secret


class Message(msgspec.Struct, frozen=True):
    """One request as it came; every part may be anything that JSON can say.

    Attributes:
        has_command: whether `cmd` was there at all.
    """

    token: object = None
    command: object = None
    has_command: bool = False
    data: object = None


def read(text: str) -> Message | None:
    """A request; None for what is no JSON. What is no object has neither token nor command."""
    try:
        found = msgspec.json.decode(text.encode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
    if not isinstance(found, dict):
        return Message()
    return Message(found.get("token"), found.get("cmd"), "cmd" in found, found.get("data"))


def fulfilled(message: Message, result: Mapping[str, object]) -> str:
    """The reply to a command that was carried out."""
    return _text({"ok": True, "cmd": message.command, "result": result})


def failed(message: Message, error: str) -> str:
    """The reply to a command that was not; without `cmd` if the request had none."""
    return _text({"ok": False, **({"cmd": message.command} if message.has_command else {}), "error": error})


def unauthorised(message: Message, error: str) -> str:
    """The reply to a request whose token does not count."""
    return _text({"ok": False, "cmd": AUTH_ERROR if message.command is None else message.command, "error": error})


def unreadable() -> str:
    """The reply to what is no JSON."""
    return _text({"ok": False, "cmd": PARSE_ERROR, "error": INVALID_JSON})


def unknown_command(message: Message) -> str:
    """The sentence on a command that does not exist."""
    return f'Unknown command: "{_as_script(message.command) if message.has_command else "undefined"}". Valid commands: {", ".join(COMMANDS)}'


def command_failed(problem: str) -> str:
    """The sentence on a command that broke."""
    return f"Command failed: {problem}"


def vendor_of(data: object) -> Vendor | str:
    """The provider that `switch_provider` names, or the sentence that refuses it."""
    named = data.get("provider") if isinstance(data, dict) else None
    vendor = next((vendor for vendor in VENDORS if vendor.key == named), None)
    return vendor or f'Invalid provider "{_as_script(named) if named else "(none)"}". Valid options: gemini | kimi'


def claims(token_id: str, now_s: int, ttl_hours: int) -> dict[str, object]:
    """What a token says."""
    return {"iss": ISSUER, "iat": now_s, "exp": now_s + ttl_hours * 3600, "jti": token_id, "scope": list(SCOPES)}


def refusal(token: object, *, now_s: int, active_id: str, is_signed: Callable[[str], bool]) -> str | None:
    """Why a token does not count; None when it does.

    Args:
        is_signed: whether the key of this process has signed a text that is a JWT by its shape.
    """
    if token is None or token == "" or token is False or token == 0:
        return _REFUSED + "jwt must be provided"
    if not isinstance(token, str):
        return _REFUSED + "jwt must be a string"
    problem = _shape(token) or (None if is_signed(token) else "invalid signature")
    if problem is not None:
        return _REFUSED + problem
    said = _part(token, 1) or {}
    problem = _times(said, now_s)
    if problem is None and said.get("iss") != ISSUER:
        problem = f"jwt issuer invalid. expected: {ISSUER}"
    if problem is not None:
        return _REFUSED + problem
    return None if said.get("jti") == active_id else OTHER_TOKEN


def _shape(token: str) -> str | None:
    if token.count(".") != 2:
        return "jwt malformed"
    header = _part(token, 0) if _JWT.match(token) else None
    if header is None or _part(token, 1) is None:
        return "invalid token"
    if token.endswith("."):
        return "jwt signature is required"
    return None if header.get("alg") == "HS256" else "invalid algorithm"


def _times(said: Mapping[str, object], now_s: int) -> str | None:
    for name in ("nbf", "exp"):
        at = said.get(name)
        if at is None:
            continue
        if isinstance(at, bool) or not isinstance(at, int | float):
            return f"invalid {name} value"
        if name == "nbf" and at > now_s:
            return "jwt not active"
        if name == "exp" and at <= now_s:
            return "jwt expired"
    return None


def _part(token: str, index: int) -> dict[str, object] | None:
    """The header (0) or the claims (1); None for what cannot be decoded to an object."""
    part = token.split(".")[index]
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _as_script(value: object) -> str:
    """A JSON value as upstream's language puts it into a sentence."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return ",".join("" if part is None else _as_script(part) for part in _leaves(value))
    if isinstance(value, dict):
        return "[object Object]"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _leaves(value: list[object]) -> list[object]:
    """What a list holds, lists in it likewise, in order; an empty one holds nothing once. Not recursive: a client says how deep it is."""
    found: list[object] = []
    ahead: list[object] = [value]
    while ahead:
        part = ahead.pop()
        if isinstance(part, list) and part:
            ahead += reversed(part)
        else:
            found.append(None if part == [] else part)
    return found


def _text(reply: Mapping[str, object]) -> str:
    return msgspec.json.encode(reply).decode()
