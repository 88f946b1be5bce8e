"""Keeping secrets, and lines that lie, out of logs. Ring: domain. Source: design §6 ("secrets stay secret"), libraries.md §8.

Three nets, one behind the other, because each has holes:

    by name     the value of a key that is called token, secret, authorization, password, api key, cookie, signature, pairing code, …
    by value    texts registered as secrets, wherever they turn up, also percent-encoded
    by shape    bearer headers, gateway tokens, vendors' keys, JWTs, private keys, credentials in URLs and query strings

A number is never taken for a secret by its shape alone: six digits are a pairing code only to somebody who registered it.
What an outsider wrote is escaped (a line break or a terminal sequence in it would forge log lines) and cut; it is redacted before it is cut, so
that no half of a secret is left.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import islice, pairwise
from typing import NamedTuple
from urllib.parse import quote

from clawgate.domain.secret import Secret

MASK = "***"
MAX_VALUE_CHARS = 256
MAX_SCAN_CHARS = 65_536
MAX_KNOWN = 4096
MIN_KNOWN_CHARS = 6
_MAX_ITEMS = 32
_MAX_DEPTH = 4

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SENSITIVE_WORDS = frozenset(
    {
        *("token", "tokens", "secret", "secrets", "authorization", "password", "passwd", "passphrase", "cookie", "cookies"),
        *("signature", "credential", "credentials", "apikey", "jwt"),
    }
)
_SENSITIVE_PAIRS = frozenset({("api", "key"), ("api", "keys"), ("private", "key"), ("access", "key"), ("pairing", "code"), ("auth", "code")})
_PARAMETERS = r"[\w.\-]*(?:token|secret|passw(?:or)?d|passphrase|api[_\-]?key|signature|credential|authorization|cookie|pairing[_\-]code)"


class _Shape(NamedTuple):
    """What secrets look like; `marks` are lower-case texts of which one is always there: looking for them is much cheaper than matching.

    Most logs never have any of it: patterns are texts, which `re` compiles when they are first used.
    """

    marks: tuple[str, ...]
    pattern: str
    replacement: str


_NAMES = ("token", "secret", "passw", "passphrase", "api", "signature", "credential", "authorization", "cookie", "pairing")
_SHAPES: tuple[_Shape, ...] = (
    _Shape(("private key",), r"(?s)-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,32}PRIVATE KEY-----|\Z)", MASK),
    _Shape(("authorization", "cookie"), r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)(['\"]?\s*:\s*)[^\r\n]+", rf"\1\2{MASK}"),
    _Shape(("x-",), r"(?i)(?<![\w\-])(x-[\w\-]*(?:secret|token|signature|key|code))(['\"]?\s*:\s*['\"]?)[^\s'\",;]+", rf"\1\2{MASK}"),
    _Shape(_NAMES, rf"(?i)(['\"]{_PARAMETERS}['\"]\s*:\s*)(?:'[^']*'?|\"(?:[^\"\\]|\\.)*\"?)", rf"\1'{MASK}'"),
    _Shape(("bearer", "basic"), r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=\-]{4,}", rf"\1 {MASK}"),
    _Shape(("?", "&"), r"(?i)([?&](?:key|code|ticket|sig|state)=)[^&\s\"'#<>]+", rf"\1{MASK}"),
    _Shape(_NAMES, rf"(?i)(?<![\w.\-])({_PARAMETERS})=(?:\"[^\"]*\"?|'[^']*'?|[^&\s\"'#<>;,]+)", rf"\1={MASK}"),
    _Shape(("://",), r"(?<=://)[^/\s:@]{1,256}:[^/\s@]{1,1024}@", f"{MASK}@"),
    _Shape(
        ("sk-", "gsk_", "xox", "gh", "github_pat_", "aiza"),
        r"(?<![A-Za-z0-9])(sk-|gsk_|xox[a-z]-|gh[opusr]_|github_pat_|AIza)[A-Za-z0-9_\-]{8,}",
        rf"\1{MASK}",
    ),
    _Shape(("eyj",), r"(?<![A-Za-z0-9_\-])eyJ[A-Za-z0-9_\-]{4,}\.[A-Za-z0-9_\-]{2,}(?:\.[A-Za-z0-9_\-]*)?", MASK),
)


@lru_cache(maxsize=1024)
def is_sensitive(key: str) -> bool:
    """Whether a key's value must not be shown, judged by the words of its name (`apiKey`, `x-webhook-secret`, `bot_token`)."""
    words = [word.lower() for word in _WORDS.findall(key[:MAX_VALUE_CHARS])]
    return not _SENSITIVE_WORDS.isdisjoint(words) or any(pair in _SENSITIVE_PAIRS for pair in pairwise(words))


def escaped(text: str) -> str:
    """`text` on one line and encodable as UTF-8: whatever is not printable, lone surrogates included, as `\\x1b` or `\\u202e`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    number = ord(char)
    if char in "\r\n\t":
        return {"\r": "\\r", "\n": "\\n", "\t": "\\t"}[char]
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def cut(text: str, limit: int) -> str:
    """At most `limit` characters, the last one an ellipsis when something is missing."""
    return text if len(text) <= limit else text[: max(limit - 1, 0)] + "…"


def _plain_or_percent(prefix: str) -> str:
    """A pattern for a prefix, each character as it is or as a path may write it."""
    return "".join(f"(?:{re.escape(char)}|(?i:{_percent(char)}))" for char in prefix)


def _percent(char: str) -> str:
    return "".join(f"%{byte:02x}" for byte in char.encode())


class Redactor:
    """Knows this daemon's secrets and takes them out of texts and values."""

    def __init__(self, token_prefixes: tuple[str, ...] = ("zc_",)) -> None:
        """
        Args:
            token_prefixes: what bearer tokens of this gateway begin with (`gateway.token_prefix`); 16 or more hexadecimal digits follow.
        """
        self._known: dict[str, None] = {}
        self._pattern: re.Pattern[str] | None = None
        alternatives = "|".join(map(_plain_or_percent, sorted({"zc_", *token_prefixes} - {""}, key=len, reverse=True)))
        self._tokens = re.compile(rf"({alternatives})(?:[0-9a-fA-F]|%[346][0-9a-fA-F]){{16,}}")

    def register(self, secret: Secret) -> None:
        """Hides this text from now on. Shorter than 6 characters it is ignored: it would black out half of every line.

        At 4,096 known texts the oldest makes room.
        """
        text = secret.reveal().strip()
        if len(text) < MIN_KNOWN_CHARS:
            return
        for form in (text, quote(text, safe="", errors="replace"), escaped(text)):
            self._known.pop(form, None)
            self._known[form] = None
        while len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._pattern = None

    def text(self, text: str) -> str:
        """`text` without secrets; what is longer than 65,536 characters is cut there first."""
        text = text[:MAX_SCAN_CHARS]
        if self._known:
            text = self._compiled().sub(MASK, text)
        text = self._tokens.sub(rf"\1{MASK}", text)
        lower = text.lower()
        for marks, pattern, replacement in _SHAPES:
            if any(mark in lower for mark in marks):
                text = re.sub(pattern, replacement, text)
        return text

    def untrusted(self, text: str, limit: int = MAX_VALUE_CHARS) -> str:
        """`text` as it may stand in a log line: redacted, escaped, at most `limit` characters."""
        return cut(escaped(self.text(text)), limit)

    def value(self, key: str, value: object, depth: int = 0) -> object:
        """The value of a field: text, number, bool, None, or a list or mapping of such, all bounded and without secrets.

        Numbers under a sensitive name stay (`token_count`), but for a pairing code.
        """
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            return MASK if is_sensitive(key) and "code" in key.lower() else _bounded_int(value)
        if is_sensitive(key):
            return MASK
        if isinstance(value, str):
            return self.untrusted(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return self.untrusted(bytes(value[:MAX_SCAN_CHARS]).decode("utf-8", "backslashreplace"))
        if depth < _MAX_DEPTH and isinstance(value, Mapping):
            return {self.untrusted(str(name)): self.value(str(name), item, depth + 1) for name, item in islice(value.items(), _MAX_ITEMS)}
        if depth < _MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
            return [self.value(key, item, depth + 1) for item in islice(value, _MAX_ITEMS)]
        return self.untrusted(_shown(value))

    def _compiled(self) -> re.Pattern[str]:
        if self._pattern is None:
            self._pattern = re.compile("|".join(re.escape(text) for text in sorted(self._known, key=len, reverse=True)))
        return self._pattern


def _bounded_int(value: int) -> int | str:
    return value if -(1 << 63) <= value < 1 << 64 else "a very large number"


def _shown(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__} that cannot be shown>"
