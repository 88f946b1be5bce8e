"""What the daemon prints on its operator's real stdout: addresses, pairing code, what to try next. Ring: assembly; pure text.

Source: zeroclaw.md A1.3 (the banner), design §7 (the code reaches scripts and container logs).

Texts are made with box characters; `fit` makes one fit for a stream that cannot show them. `url` is where the gateway answers, with `gateway.path_prefix`.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from clawgate.domain.control import Token
from clawgate.domain.settings.findings import is_public
from clawgate.domain.settings.model import Settings
from clawgate.domain.times import rfc3339
from clawgate.qr import BLOCKS, qr_text

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_DRAWN = re.compile(rf"^[ {BLOCKS}]*[{BLOCKS}][ {BLOCKS}]*\n?", re.MULTILINE)
_SUBSTITUTES = str.maketrans(
    {
        "┌": "+",
        "┐": "+",
        "└": "+",
        "┘": "+",
        "─": "-",
        "│": "|",
        "—": "-",
        "…": "...",
        "🌐": "*",
        "🔐": "*",
        "🔒": "*",
        "⚠": "!",
        "\ufe0f": "",
        "🚪": "*",
        "🔑": "*",
        "━": "-",
    }
)


def listening(url: str, public_url: str | None, settings: Settings, *, is_paired: bool = True) -> str:
    """The banner of a gateway that has begun to listen: where, what is served, and whether it asks for pairing.

    Args:
        is_paired: False = the code follows, so nothing is said of pairing here.
    """
    own = settings.gateway
    base = _with_prefix(local_url(url), own.path_prefix)
    lines = [f"🚪 clawgate listening on {url}"]
    if public_url:
        lines.append(f"  🌐 Public URL: {public_url}")
    elif is_public(urlsplit(url).hostname or ""):
        lines.append("  ⚠️  Reachable from other machines")
    lines += [f"     {line}" for line in _routes(settings)]
    lines.append(f"  Answers come from {_who(settings)}")
    if own.require_pairing and is_paired:
        lines += ["  🔒 Pairing: ACTIVE (bearer token required)", "     A code for another device:  clawgate pair"]
    elif not own.require_pairing:
        lines += ["  ⚠️  Pairing: DISABLED (all requests accepted)", "  Try:", f"     {ask_line(base)}", f"     {health_line(base)}"]
    return "\n".join([*lines, "  Press Ctrl+C to stop.", ""])


def code_block(url: str, code: str, reachable: bool) -> str:
    """The pairing code in a box, three lines to try, and a QR where another machine can use it.

    Args:
        url: the public URL when there is one, else where the gateway listens.
        code: six digits.
        reachable: whether `url` can be reached from another machine.
    """
    base = local_url(url)
    inner = f"  {code}  "
    lines = [
        "  🔐 PAIRING REQUIRED — use this one-time code:",
        f"     ┌{'─' * len(inner)}┐",
        f"     │{inner}│",
        f"     └{'─' * len(inner)}┘",
        f"     Send: POST /pair with header X-Pairing-Code: {code}",
        "  Try:",
        f"     {pair_line(base, code)}",
        f"     {ask_line(base)}",
        f"     {health_line(base)}",
        f"  In a browser, a phone's too: {page_url(base)}",
    ]
    if reachable and base == url.rstrip("/"):
        lines.append(qr_text(page_url(base, code)))
    elif reachable:
        lines.append(f"  From another machine: the same, with this machine's address in place of {urlsplit(base).hostname}")
    return "\n".join([*lines, ""])


def control_token(token: Token) -> str:
    """The control plane's token, as scripts of OpenClaw Enterprise look for it (openclaw-enterprise.md §2)."""
    rule = "━" * 58
    lines = [f"   Token ID : {token.id}", f"   Expires  : {rfc3339(token.expires_ms).replace('+00:00', 'Z')}", f"   Token    : {token.text.reveal()}"]
    return "\n".join(["", rule, "🔑  OPENCLAW GATEWAY — SESSION TOKEN", rule, *lines, rule, ""])


def pair_line(base: str, code: str) -> str:
    """A shell line that keeps the token in `$TOKEN`."""
    return f"TOKEN=$(curl -s -X POST {base}/pair -H 'X-Pairing-Code: {code}' | sed 's/.*\"token\":\"\\([^\"]*\\).*/\\1/'); echo $TOKEN"


def ask_line(base: str) -> str:
    """A shell line that asks the agent."""
    data = """-d '{"message":"hello"}'; echo"""
    return f"curl -s {base}/webhook -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' {data}"


def health_line(base: str) -> str:
    """A shell line that asks how the gateway is."""
    return f"curl -s {base}/health"


def page_url(base: str, code: str = "") -> str:
    """The page where a person pairs; a code travels in the fragment, which browsers do not send."""
    return f"{base.rstrip('/')}/pair/page" + (f"#{code}" if code else "")


def local_url(url: str) -> str:
    """`url` without a final slash, as it is dialled on this machine: 0.0.0.0 and [::] are no addresses to connect to."""
    host = urlsplit(url).hostname or ""
    return with_host(url, _WILDCARDS[host]) if host in _WILDCARDS else url.rstrip("/")


def outside_url(url: str, outward_address: str | None) -> str | None:
    """`url` as another machine would dial it; None when it cannot.

    Args:
        outward_address: this machine's address (`system.lan`), which stands in for 0.0.0.0 and [::].
    """
    host = urlsplit(url).hostname or ""
    if host in _WILDCARDS:
        return with_host(url, outward_address) if outward_address else None
    return url.rstrip("/") if is_public(host) else None


def with_host(url: str, host: str) -> str:
    """`url` with another host, without a final slash."""
    parts = urlsplit(url)
    port = "" if parts.port is None else f":{parts.port}"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{parts.path}".rstrip("/")


def fit(text: str, encoding: str | None) -> str:
    """`text` as a stream of that encoding can show it: unchanged, or in plain characters and without drawings."""
    encoding = encoding or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        plain = _DRAWN.sub("", text).translate(_SUBSTITUTES)
        return plain.encode(encoding, "replace").decode(encoding)
    except LookupError:
        return fit(text, "ascii")
    return text


def _who(settings: Settings) -> str:
    if settings.default_provider in ("", "offline"):
        return "the offline agent: set a provider's key in the environment, or default_provider"
    kind, _, rest = settings.default_provider.partition(":")
    return f"{kind}{f' ({settings.default_model})' if settings.default_model else ''}{f', {rest}' if kind == 'local' else ''}"


def _with_prefix(base: str, prefix: str) -> str:
    return base if base.endswith(prefix) else base + prefix


def _routes(settings: Settings) -> list[str]:
    channels, prefix = settings.channels_config, settings.gateway.path_prefix
    routes = [
        ("POST", "/pair", "pair a new client (X-Pairing-Code header)"),
        ("POST", "/webhook", 'ask the agent: {"message": "..."}'),
        *([("POST", "/whatsapp", "deliveries of WhatsApp (GET: its subscription check)")] if channels.whatsapp is not None else []),
        *([("POST", "/linq", "deliveries of Linq")] if channels.linq is not None else []),
        *([("POST", "/nextcloud-talk", "deliveries of Nextcloud Talk")] if channels.nextcloud_talk is not None else []),
        *([("POST", "/wati", "deliveries of WATI")] if channels.wati is not None else []),
        ("GET", "/health", "how the gateway is"),
        ("GET", "/metrics", "Prometheus metrics"),
    ]
    width = max(len(prefix + path) for _, path, _ in routes)
    return [f"{method:<4} {prefix + path:<{width}}  {text}" for method, path, text in routes]
