"""Which values of a key can work, key by key. Ring: domain. Source: zeroclaw.md A4, construct-realtime.md §0.1, rantaiclaw.md §2, design §4.6.

`checked` takes a value of the right kind and gives the one to use: names are folded, upstream's "0 means the default" is applied. What upstream accepts and
clawgate does not have (a memory backend, an exporter) is replaced, with a warning, so that an existing config starts.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping

from clawgate.domain.approvals import Level
from clawgate.domain.errors import Invalid
from clawgate.domain.settings import providers
from clawgate.domain.signing.registry import SCHEMES
from clawgate.domain.signing.scheme import Algorithm, Encoding, KeyType

Warn = Callable[[str], None]
Rule = Callable[[str, str, Warn], str]

MOST_SECONDS = 1_000_000_000
MOST = 2**53 - 1
"""Beyond it, JSON clients and SQLite start to disagree about integers."""

TUNNELS = ("none", "cloudflare", "tailscale", "ngrok", "custom")

_RANGES: Mapping[str, tuple[float, float]] = {
    "gateway.port": (0, 65_535),
    "channels_config.webhook.port": (0, 65_535),
    "control.port": (0, 65_535),
    "control.token_ttl_hours": (1, 87_600),
    "default_temperature": (0.0, 2.0),
    "gateway.listen_backlog": (1, 65_535),
    "heartbeat.interval_minutes": (5, 525_600),
    "agent.recalled_memories": (0, 50),
    "cron.runs_kept": (1, 10_000),
    "nodes.max_nodes": (1, 1_000),
    "hooks.*.max_body_bytes": (1, 1024 * 1024),
    "hooks.*.tolerance_secs": (0, 86_400),
    "subscriptions.*.timeout_secs": (1, 30),
    "subscriptions.*.max_queued": (1, 1_000_000),
}
_AT_LEAST_ONE = frozenset(
    {
        "gateway.pairing_code_ttl_secs",
        "gateway.request_timeout_secs",
        "gateway.max_body_bytes",
        "gateway.header_timeout_secs",
        "gateway.body_timeout_secs",
        "gateway.idle_timeout_secs",
        "agent.max_concurrent_turns",
        "agent.turn_timeout_secs",
        "agent.max_attempts",
        "agent.idle_timeout_secs",
        "agent.max_answer_bytes",
        "agent.max_output_tokens",
        "agent.local_output_tokens",
        "agent.service_max_inflight",
        "agent.max_tool_iterations",
        "agent.tool_timeout_secs",
        "agent.approval_timeout_secs",
        "cron.job_timeout_secs",
        "skills.max_bytes",
        "knowledge.max_document_bytes",
        "reliability.channel_initial_backoff_secs",
        "reliability.channel_max_backoff_secs",
        "reliability.channel_max_attempts",
        "reliability.channel_retry_max_secs",
        "inbox.high_water",
        "inbox.max_waiters",
        "store.queue_max",
        "tunnel.start_timeout_secs",
    }
)
_ZERO_MEANS: Mapping[str, int] = {"gateway.idempotency_ttl_secs": 1, "gateway.idempotency_max_keys": 10_000, "gateway.rate_limit_max_keys": 10_000}

_PREFIX_CHARS = frozenset("/-_.~ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!$&'()*+,;=:@")
_TOKEN_PREFIX = re.compile(r"[A-Za-z0-9_-]{0,32}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_HEADER = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,64}\Z")
_NAMESPACE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")


def checked(path: str, value: object, warn: Warn) -> object:
    """The value to use.

    Args:
        path: dotted path of the key.
        value: of the key's kind (`values.coerce`).
        warn: takes a sentence for the operator when something else is used than was written.

    Raises:
        Invalid: the value cannot work.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _number(path, value)
    if isinstance(value, str):
        return _TEXT_RULES.get(_general(path), _as_is)(path, value, warn)
    if isinstance(value, tuple) and path in ("gateway.trusted_proxies", "control.trusted_ips"):
        return tuple(_network(path, str(entry)) for entry in value)
    if isinstance(value, tuple) and path == "gateway.tls.client_auth.pinned_certs":
        return tuple(_pin(path, str(entry)) for entry in value)
    return value


def _number(path: str, value: float) -> float:
    low, high = limits(path)
    if not low <= value <= high:
        # `is` keeps the three figures apart in one sentence.
        raise Invalid(path, f"is {_figure(value)}", f"Write a number from {_figure(low)} to {_figure(high)}")
    return _ZERO_MEANS.get(path, value) if value == 0 else value


def limits(path: str) -> tuple[float, float]:
    """The least and the greatest number that a key takes."""
    path = _general(path)
    if path in _RANGES:
        return _RANGES[path]
    return (1 if path in _AT_LEAST_ONE else 0), (MOST_SECONDS if path.endswith("_secs") else MOST)


def _general(path: str) -> str:
    """The path under which the rules of a family's key stand."""
    family, _, rest = path.partition(".")
    return f"{family}.*.{rest.rpartition('.')[2]}" if family in ("hooks", "subscriptions") and rest else path


def _figure(value: float) -> str:
    return str(value) if abs(value) <= MOST else "far out of range"


def _as_is(path: str, text: str, warn: Warn) -> str:
    return text


def host_of(path: str, text: str) -> str:
    """The address to bind: `localhost` and bracketed or mapped addresses become the plain IP (`localhost` is 127.0.0.1).

    Raises:
        Invalid: it is no IP and not `localhost`; names are not resolved, for an answer could change what the gateway is exposed to.
    """
    stripped = text.strip().lower()
    if stripped == "localhost":
        return "127.0.0.1"
    bare = stripped[1:-1] if stripped.startswith("[") and stripped.endswith("]") else stripped
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        remedy = 'Write an IP address such as "127.0.0.1", "0.0.0.0" or "::1", or "localhost"'
        raise Invalid(path, f'"{text[:60]}" is no address to listen on' if stripped else "is blank", remedy) from None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _host(path: str, text: str, warn: Warn) -> str:
    return host_of(path, text)


def _path_prefix(path: str, text: str, warn: Warn) -> str:
    """Source: construct-realtime.md §0.1, with its three sentences; empty and dot segments are ours, since no request can match them."""
    if not text:
        return ""
    if not text.startswith("/"):
        raise Invalid(path, "gateway.path_prefix must start with '/'", f'Write path_prefix = "/{text[:60].strip("/")}", or leave it out')
    if text.endswith("/"):
        raise Invalid(path, "gateway.path_prefix must not end with '/' (including bare '/')", "Write it without the last '/', or leave it out")
    for char in text:
        if char not in _PREFIX_CHARS:
            problem = f"gateway.path_prefix contains invalid character '{char}'; only unreserved and sub-delim URI characters are allowed"
            raise Invalid(path, problem, 'Write something like path_prefix = "/agents"')
    if any(segment in ("", ".", "..") for segment in text[1:].split("/")):
        raise Invalid(path, "gateway.path_prefix contains an empty or dot segment", 'Write something like path_prefix = "/agents"')
    return text


def _tunnel(path: str, text: str, warn: Warn) -> str:
    """Source: rantaiclaw.md §2; the published page's `cloudflared`, and "" for none."""
    name = {"": "none", "cloudflared": "cloudflare"}.get(text.strip().lower(), text.strip().lower())
    if name not in TUNNELS:
        raise Invalid(path, f'Unknown tunnel provider: "{text[:60]}"', "Valid: " + ", ".join(TUNNELS))
    return name


def _observability(path: str, text: str, warn: Warn) -> str:
    name = text.strip().lower()
    if name in ("otel", "opentelemetry", "otlp"):
        warn(f'{path}: "{text[:60]}" needs the extra: pip install "clawgate[otel]"')
        return "otel"
    if name not in ("none", "noop", "", "log", "prometheus"):
        warn(f'{path}: unknown backend "{text[:60]}" is taken as "none"; write prometheus, log or none')
    return name if name in ("log", "prometheus") else "none"


def _memory(path: str, text: str, warn: Warn) -> str:
    name = text.strip().lower()
    if name not in ("sqlite", "none"):
        warn(f'{path}: "{text[:60]}" is not available, "sqlite" is used; write sqlite or none')
        return "sqlite"
    return name


def _store_url(path: str, text: str, warn: Warn) -> str:
    if text and not (text.startswith("sqlite:") and text.removeprefix("sqlite:").strip()):
        # The text may hold a password: it is not repeated.
        raise Invalid(path, "is not a store that clawgate can open", 'Write url = "sqlite:/path/to/clawgate.db", or leave it out')
    return text


def _one_of(*names: str) -> Rule:
    def rule(path: str, text: str, warn: Warn) -> str:
        name = text.strip().lower()
        if name not in names:
            raise Invalid(path, f'is "{text[:60]}"', "Write one of: " + ", ".join(names))
        return name

    return rule


def _level(path: str, text: str, warn: Warn) -> str:
    level = Level.named(text)
    if level is None:
        raise Invalid(path, f'is "{text[:60]}"', f"Write one of: {', '.join(Level)}")
    return level.value


def _matching(pattern: re.Pattern[str], remedy: str) -> Rule:
    def rule(path: str, text: str, warn: Warn) -> str:
        if not pattern.match(text):
            raise Invalid(path, "has characters that cannot stand there, or too many", remedy)
        return text

    return rule


def _url(path: str, text: str, warn: Warn) -> str:
    providers.check_url(path, text)
    return text.rstrip("/")


def _url_or_empty(path: str, text: str, warn: Warn) -> str:
    return _url(path, text, warn) if text else ""


def _scheme(path: str, text: str, warn: Warn) -> str:
    name = text.strip().lower()
    if name not in SCHEMES:
        raise Invalid(path, f'no scheme of signatures is called "{text[:60]}"', "Write one of: " + ", ".join(SCHEMES))
    return name


def _public_url(path: str, text: str, warn: Warn) -> str:
    """Signed byte by byte: nothing of it is changed."""
    if text:
        providers.check_url(path, text)
    return text


def _header(path: str, text: str, warn: Warn) -> str:
    name = text.strip().lower()
    if not _HEADER.match(name):
        raise Invalid(path, "is no name of a header", 'Write a name such as "x-signature"')
    return name


def _provider(path: str, text: str, warn: Warn) -> str:
    return providers.normalised(path, text)


def _network(path: str, text: str) -> str:
    bare = text.strip().strip("[]")
    try:
        network = ipaddress.ip_network(bare, strict=False)
    except ValueError:
        raise Invalid(path, f'"{text[:60]}" is neither an address nor a network', 'Write entries such as "10.0.0.7" or "10.0.0.0/8"') from None
    return str(network if "/" in bare else network.network_address)


def _pin(path: str, text: str) -> str:
    """Source: construct-realtime.md §9: colons and case do not count."""
    pin = text.strip().replace(":", "").lower()
    if not _SHA256.match(pin):
        raise Invalid(path, f'"{text[:60]}" is no SHA-256', "Write 64 hexadecimal digits, as `openssl x509 -noout -fingerprint -sha256` prints them")
    return pin


_TEXT_RULES: Mapping[str, Rule] = {
    "default_provider": _provider,
    "gateway.host": _host,
    "control.host": _host,
    "gateway.path_prefix": _path_prefix,
    "gateway.token_prefix": _matching(_TOKEN_PREFIX, "Write at most 32 letters, digits, '_' or '-'"),
    "tunnel.provider": _tunnel,
    "tunnel.custom.health_url": _url_or_empty,
    "observability.backend": _observability,
    "observability.metrics_namespace": _matching(_NAMESPACE, "Write letters, digits and '_', not beginning with a digit, at most 64"),
    "observability.log_level": _one_of("debug", "info", "warn", "error"),
    "observability.log_format": _one_of("text", "json"),
    "memory.backend": _memory,
    "store.url": _store_url,
    "channels_config.whatsapp.api_base": _url,
    "channels_config.linq.api_base": _url,
    "channels_config.nextcloud_talk.base_url": _url,
    "channels_config.wati.api_url": _url,
    "api_url": _url_or_empty,
    "skills.marketplace_url": _url_or_empty,
    "autonomy.level": _level,
    "cron.missed_runs": _one_of("once", "skip"),
    "hooks.*.verify": _scheme,
    "hooks.*.respond": _one_of("async", "ok", "sync"),
    "hooks.*.url": _public_url,
    "hooks.*.header": _header,
    "hooks.*.timestamp_header": _header,
    "hooks.*.id_header": _header,
    "hooks.*.encoding": _one_of("hex", "base64"),
    "hooks.*.algorithm": _one_of(*(algorithm.value for algorithm in Algorithm)),
    "hooks.*.key_encoding": _one_of(*(encoding.value for encoding in Encoding)),
    "hooks.*.key_type": _one_of(*(key_type.value for key_type in KeyType)),
}
