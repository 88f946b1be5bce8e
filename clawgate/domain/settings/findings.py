"""What `clawgate check` says of a configuration that works. Ring: domain. Source: zeroclaw.md A1.2, design §4.3, §4.7–4.9; advisories.md themes 5, 6, 22, 30.

A finding's id is stable: scripts and documentation refer to it. A configuration that cannot work is not here, it is an `InvalidSettings`.

    CG001–009  files and process      CG010–019  listening, pairing, limits, proxies     CG020–029  channels and their secrets
    CG030–039  secrets at rest        CG040–049  keys                                    CG050–059  agents and outgoing URLs
    CG060–069  nodes, terminals, the control plane                               CG070–079  signed hooks
    CG080–089  subscriptions
"""

from __future__ import annotations

import enum
import ipaddress
import urllib.parse
from collections.abc import Callable, Iterator

import msgspec

from clawgate.domain.secret import Secret
from clawgate.domain.settings import hooks, providers, subscriptions
from clawgate.domain.settings.model import Settings
from clawgate.domain.signing.outgoing import complaint
from clawgate.domain.subscriptions import strangers


class Severity(enum.Enum):
    """How much a finding matters; `clawgate check` fails on errors."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to know about a configuration.

    Attributes:
        path: the setting's dotted path, or a file's name.
        is_security: whether `clawgate check --security` shows it.
    """

    id: str
    severity: Severity
    path: str
    text: str
    remedy: str
    is_security: bool = True


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What only I/O can find out. Modes are permission bits; None where the file does not exist.

    Attributes:
        clear_text_secrets: paths of secrets that stand in config.toml as they are (`parse.clear_text_secrets`).
        has_mdns: whether the extra `mdns` is installed.
    """

    config_mode: int | None = None
    state_dir_mode: int | None = None
    key_file_mode: int | None = None
    key_path: str = ".secret_key"
    is_root: bool = False
    clear_text_secrets: tuple[str, ...] = ()
    has_mdns: bool = True


LEAST_SECRET_CHARS = 16
_WEAK_PARTS = ("change-me", "changeme", "change_me", "your-", "your_", "placeholder", "example", "<", "…", "...", "xxxx")
_WEAK_WORDS = ("secret", "password", "token", "test", "12345678")
_NARROWEST_WIDE_V4, _NARROWEST_WIDE_V6 = 8, 16
"""Prefix lengths below these are no list of proxies; 10.0.0.0/8 and the published ranges of large CDNs are."""


def bind_refusal(settings: Settings) -> str | None:
    """Why the gateway must not listen where it is told to; None when it may.

    Public is every host that is no loopback address. Upstream compares five exact strings and so calls 127.0.0.2 public; all of 127.0.0.0/8 never leaves the
    machine and is loopback here. Upstream's hole, an empty `tunnel.provider`, is closed: it is "none" once parsed.

    Returns:
        Upstream's three lines (zeroclaw.md A1.2).
    """
    gateway = settings.gateway
    if not is_public(gateway.host) or _has_tunnel(settings) or gateway.allow_public_bind or gateway.tls.enabled:
        return None
    return (
        f"🛑 Refusing to bind to {gateway.host} — gateway would be exposed to the internet.\n"
        "Fix: use --host 127.0.0.1 (default), configure a tunnel, or set\n"
        "[gateway] allow_public_bind = true in config.toml (NOT recommended)."
    )


def is_public(host: str) -> bool:
    """Whether listening on `host` can be reached from other machines; a name that is not `localhost` counts as public."""
    bare = host.strip().strip("[]").lower()
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return bare != "localhost"
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return not (mapped or address).is_loopback


def is_announced(settings: Settings) -> bool:
    """Whether the gateway is to be announced to nodes, if others reach it at all."""
    return settings.nodes.enabled and settings.nodes.announce


def is_weak(text: str) -> bool:
    """Whether a secret is a published default, a placeholder, one character repeated, or a plain word."""
    folded = text.strip().lower()
    is_word = any(folded.strip("0123456789-_!") == word for word in _WEAK_WORDS) or folded in _WEAK_WORDS
    return is_word or len(set(folded)) < 4 or any(part in folded for part in _WEAK_PARTS)


def findings(settings: Settings, facts: Facts) -> tuple[Finding, ...]:
    """Everything worth saying, errors first, then by id; empty when there is nothing."""
    found = [finding for part in _PARTS for finding in part(settings, facts)]
    order = list(Severity)
    return tuple(sorted(found, key=lambda finding: (order.index(finding.severity), finding.id, finding.path)))


def _files(settings: Settings, facts: Facts) -> Iterator[Finding]:
    for id_, path, mode, wanted in (
        ("CG001", settings.config_path, facts.config_mode, 0o600),
        ("CG002", settings.state_dir, facts.state_dir_mode, 0o700),
        ("CG003", facts.key_path, facts.key_file_mode, 0o600),
    ):
        if mode is not None and mode & 0o077:
            yield _error(id_, path, f"other users of this machine may open it (mode {mode & 0o777:o})", f"chmod {wanted:o} {path}")
    if facts.is_root:
        yield _warning("CG004", "process", "runs as root", "Run it as a user of its own; a port below 1024 needs no root behind a proxy")


def _listening(settings: Settings, facts: Facts) -> Iterator[Finding]:
    gateway = settings.gateway
    is_covered = gateway.tls.enabled or _has_tunnel(settings)
    if (refusal := bind_refusal(settings)) is not None:
        yield _error("CG010", "gateway.host", refusal.splitlines()[0], 'Write host = "127.0.0.1", configure a tunnel, or enable [gateway.tls]')
    elif is_public(gateway.host) and not is_covered:
        yield _warning(
            "CG010",
            "gateway.host",
            f"{gateway.host} is served without TLS or a tunnel",
            "Enable [gateway.tls], or listen on 127.0.0.1 behind a proxy",
        )
    elif is_public(gateway.host) and not gateway.tls.enabled:
        yield _warning(
            "CG018",
            "gateway.host",
            f"{gateway.host} is also reachable past the tunnel, without TLS",
            'Write host = "127.0.0.1": the tunnel needs no more',
        )
    if gateway.allow_public_bind:
        yield _warning("CG011", "gateway.allow_public_bind", "is on: nothing stops an exposed start", "Set it to false and use TLS or a tunnel")
    if not gateway.require_pairing:
        make = _error if is_public(gateway.host) or _has_tunnel(settings) else _warning
        yield make("CG012", "gateway.require_pairing", "is off: everybody who reaches the port is let in", "Set it to true")


def _limits(settings: Settings, facts: Facts) -> Iterator[Finding]:
    gateway = settings.gateway
    for name in ("pair_rate_limit_per_minute", "webhook_rate_limit_per_minute", "api_rate_limit_per_minute"):
        if getattr(gateway, name) == 0:
            yield _warning("CG013", f"gateway.{name}", "is 0: there is no limit", "Write a number above 0, or remove the key for the default")


def _proxies(settings: Settings, facts: Facts) -> Iterator[Finding]:
    gateway, path = settings.gateway, "gateway.trusted_proxies"
    if not gateway.trust_forwarded_headers:
        return
    if not gateway.trusted_proxies:
        yield _info("CG015", path, "is empty: no forwarding header is believed", "List your proxies, or set trust_forwarded_headers to false")
    for entry in gateway.trusted_proxies:
        if _is_wide(entry):
            yield _error(
                "CG014", path, f"{entry} lets almost anybody choose the address they are counted under", "List only the proxies' own addresses"
            )


def _is_wide(entry: str) -> bool:
    network = ipaddress.ip_network(entry, strict=False)
    return network.prefixlen < (_NARROWEST_WIDE_V4 if network.version == 4 else _NARROWEST_WIDE_V6)


def _channels(settings: Settings, facts: Facts) -> Iterator[Finding]:
    channels = settings.channels_config
    if channels.webhook is None or not channels.webhook.secret:
        path = "channels_config.webhook.secret"
        make = _info if settings.gateway.require_pairing else _warning
        yield make(
            "CG024",
            path,
            "is not set: POST /webhook asks for nothing beyond the paired token",
            "Write a long random text to ask for X-Webhook-Secret too",
        )
    if (whatsapp := channels.whatsapp) is not None:
        base = "channels_config.whatsapp"
        if not whatsapp.app_secret:
            yield _error(
                "CG021", f"{base}.app_secret", "is not set: every delivery is refused with 401", "Copy the app secret from Meta's developer console"
            )
        if whatsapp.verify_token is not None and not whatsapp.verify_token:
            yield _error(
                "CG023",
                f"{base}.verify_token",
                "is blank: anybody could pass the subscription check",
                "Write a long random text, the same as at Meta",
            )
        yield from _allowlist(f"{base}.allowed_numbers", whatsapp.allowed_numbers)
    if (linq := channels.linq) is not None:
        base = "channels_config.linq"
        if not linq.signing_secret:
            yield _error("CG022", f"{base}.signing_secret", "is not set: every delivery is refused with 401", "Copy the signing secret from Linq")
        if not linq.api_token:
            yield _error("CG027", f"{base}.api_token", "is blank: no answer can be sent", "Copy the partner token from Linq")
        yield from _allowlist(f"{base}.allowed_senders", linq.allowed_senders)


def _allowlist(path: str, entries: tuple[str, ...]) -> Iterator[Finding]:
    if "*" in (entry.strip() for entry in entries):
        yield _warning("CG025", path, "* answers everybody who knows the number", 'List the numbers that may write, such as ["+15551234567"]')
    elif not entries:
        yield _info("CG026", path, "is empty: nobody is answered", 'List the numbers that may write, such as ["+15551234567"]', is_security=False)


def _strength(settings: Settings, facts: Facts) -> Iterator[Finding]:
    remedy = "Make a new one, for example with: openssl rand -hex 32"
    for path, secret, is_shared in _secrets(settings):
        if not secret:
            continue
        text = secret.reveal().strip()
        if is_weak(text):
            yield _error("CG020", path, "is a placeholder or a word that anybody would try", remedy if is_shared else "Write the real one")
        elif is_shared and len(text) < LEAST_SECRET_CHARS:
            yield _warning("CG020", path, f"is shorter than {LEAST_SECRET_CHARS} characters", remedy)


def _secrets(settings: Settings) -> Iterator[tuple[str, Secret | None, bool]]:
    """Path, secret, and whether it guards a door of ours (so that its length is ours to judge)."""
    channels, tunnel = settings.channels_config, settings.tunnel
    yield "api_key", settings.api_key, False
    yield "nodes.auth_token", settings.nodes.auth_token, True
    if channels.webhook is not None:
        yield "channels_config.webhook.secret", channels.webhook.secret, True
    if channels.whatsapp is not None:
        yield "channels_config.whatsapp.access_token", channels.whatsapp.access_token, False
        yield "channels_config.whatsapp.verify_token", channels.whatsapp.verify_token, True
        yield "channels_config.whatsapp.app_secret", channels.whatsapp.app_secret, True
    if channels.linq is not None:
        yield "channels_config.linq.api_token", channels.linq.api_token, False
        yield "channels_config.linq.signing_secret", channels.linq.signing_secret, True
    for name, hook in settings.hooks.items():
        for secret in hook.secrets:
            yield f"hooks.{name}.secrets", secret, True
        yield f"hooks.{name}.verify_token", hook.verify_token, True
    if tunnel.cloudflare is not None:
        yield "tunnel.cloudflare.token", tunnel.cloudflare.token, False
    if tunnel.ngrok is not None:
        yield "tunnel.ngrok.auth_token", tunnel.ngrok.auth_token, False


def _at_rest(settings: Settings, facts: Facts) -> Iterator[Finding]:
    for path in facts.clear_text_secrets:
        if path == "gateway.paired_tokens":
            yield _warning("CG032", path, "holds a token in clear text", "Replace it by its SHA-256, or pair once: the daemon then writes the hash")
        elif settings.secrets.encrypt:
            yield _warning("CG030", path, "is in clear text in the file", 'Write "file:PATH" or "env:NAME" there, or an enc2: text')
    if not settings.secrets.encrypt:
        yield _info("CG031", "secrets.encrypt", "is off: secrets are written to the file as they are", "Set it to true")


def _keys(settings: Settings, facts: Facts) -> Iterator[Finding]:
    for path in settings.unknown:
        yield _info("CG040", path, "is read by nothing in clawgate; it is kept", "Check its spelling, or remove it", is_security=False)
    for warning in settings.warnings:
        path, colon, text = warning.partition(": ")
        yield _warning("CG041", path if colon else "config", text if colon else warning, "See docs/reference/settings.md", is_security=False)


def _agents(settings: Settings, facts: Facts) -> Iterator[Finding]:
    provider = settings.default_provider
    if providers.needs_key(provider) and not settings.api_key and provider not in dict(settings.provider_keys):
        names = " or ".join(providers.KEY_NAMES[provider])
        yield _warning("CG051", "default_provider", f"no key for {provider}: every turn will fail", f"Set api_key, or {names}", is_security=False)
    if not providers.has_address(provider, settings.api_url):
        text = f"clawgate knows no address of {provider}: every turn will fail"
        yield _warning("CG054", "default_provider", text, providers.ADDRESS_REMEDY, is_security=False)
    if provider == providers.OFFLINE:
        text, remedy = "offline: answers are made up by clawgate itself, no model is asked", "Set default_provider and its key"
        yield _info("CG052", "default_provider", text, remedy, is_security=False)
    for path, url in (("default_provider", providers.base_url(provider) or ""), ("api_url", settings.api_url)):
        if _is_plain_far(url):
            yield _warning("CG050", path, "messages and the key travel over plain http", "Use https")
        if "@" in urllib.parse.urlsplit(url).netloc:
            yield _warning("CG053", path, "the URL carries a user or password, which logs may show", "Put the key in api_key")
    for path, base in _outgoing(settings):
        if _is_plain_far(base):
            yield _error("CG050", path, "replies and the token travel over plain http", "Use https")


def _real_time(settings: Settings, facts: Facts) -> Iterator[Finding]:
    is_paired, nodes = settings.gateway.require_pairing, settings.nodes
    if settings.terminal.enabled and not is_paired:
        text = "is on, and without pairing nobody gets a terminal"
        yield _warning("CG060", "terminal.enabled", text, "Set gateway.require_pairing = true, or terminal.enabled = false")
    if nodes.enabled and not nodes.auth_token and (nodes.auth_token is not None or not is_paired):
        text = "is blank: no node is let in" if nodes.auth_token is not None else "is not set, and without pairing no node is let in"
        yield _warning("CG061", "nodes.auth_token", text, "Write a long random text")
    if nodes.announce:
        yield from _announcing(settings, facts)
    if settings.control.enabled:
        yield from _control_plane(settings)


def _announcing(settings: Settings, facts: Facts) -> Iterator[Finding]:
    path = "nodes.announce"
    if not settings.nodes.enabled:
        yield _info("CG062", path, "is on while nodes are off: nothing is announced", "Set nodes.enabled = true", is_security=False)
    elif not is_public(settings.gateway.host):
        remedy = "Listen on an address that nodes reach, or set nodes.announce = false"
        yield _info("CG062", path, "is on, but only this machine reaches the gateway: nothing is announced", remedy, is_security=False)
    if settings.nodes.enabled and not facts.has_mdns:
        remedy = "Run `pip install clawgate[mdns]`, or set nodes.announce = false"
        yield _error("CG063", path, "needs the package zeroconf: the daemon will not start", remedy, is_security=False)


def _control_plane(settings: Settings) -> Iterator[Finding]:
    control = settings.control
    if is_public(control.host):
        text = f"{control.host} is served without TLS: who listens on the way reads the token"
        yield _warning("CG064", "control.host", text, 'Write host = "127.0.0.1", and put a tunnel or a TLS proxy in front')
    for entry in control.trusted_ips:
        if is_public(control.host) and _is_wide(entry):
            yield _error("CG065", "control.trusted_ips", f"{entry} lets almost anybody speak", "List only the operators' own addresses")


def _hooks(settings: Settings, facts: Facts) -> Iterator[Finding]:
    for name, hook in settings.hooks.items():
        if complaint := hooks.complaint(hook):
            remedy = "Write the secret that the sender signs with, as env:NAME or file:PATH"
            yield _error("CG070", f"hooks.{name}.secrets", f"{complaint}: every delivery is refused with 401", remedy)
        if not hook.message.strip() and not hook.fields:
            remedy = 'Write message = "…", or fields = { name = "/pointer" }'
            yield _error("CG071", f"hooks.{name}.message", "is not set: every delivery is refused with 400", remedy, is_security=False)
        if hook.rate_limit_per_minute == 0:
            remedy = "Write a number above 0, or remove the key for the default"
            yield _warning("CG072", f"hooks.{name}.rate_limit_per_minute", "is 0: there is no limit", remedy)
        if hook.verify in _URL_SCHEMES and not hook.url:
            text = "is not set: the URL that is signed is taken from the request, which a proxy or tunnel may have changed"
            yield _info("CG073", f"hooks.{name}.url", text, "Write the URL that the sender calls", is_security=False)


def _subscriptions(settings: Settings, facts: Facts) -> Iterator[Finding]:
    for name, own in settings.subscriptions.items():
        path, url = f"subscriptions.{name}", own.url.reveal()
        is_near = subscriptions.is_near(url)
        if text := complaint(own.secret):
            remedy = 'Write secret = "env:NAME" or ["env:NEW", "env:OLD"]; a new one: echo "whsec_$(openssl rand -base64 32)"'
            yield _error("CG084", f"{path}.secret", f"{text}: nothing is sent, its events wait", remedy)
        if url.startswith("http:") and not is_near:
            yield _error("CG080", f"{path}.url", "events travel over plain http: who listens on the way reads them", "Use https")
        if is_near and not own.allow_private:
            remedy = "Set allow_private = true if this receiver is yours"
            yield _error("CG081", f"{path}.url", "is not on the public internet: nothing is sent there", remedy, is_security=False)
        for pattern in strangers(own.events):
            remedy = "Write a kind of docs/howto/subscriptions.md, PREFIX* or *"
            yield _warning("CG082", f"{path}.events", f'"{pattern[:60]}" fits no kind of event', remedy, is_security=False)
        if not own.enabled:
            yield _info("CG083", f"{path}.enabled", "is false: what happens meanwhile is not put into its line", "Set it to true", is_security=False)


_URL_SCHEMES = ("twilio", "rfc9421")
"""Sign the URL too."""


def _outgoing(settings: Settings) -> Iterator[tuple[str, str]]:
    channels = settings.channels_config
    if channels.whatsapp is not None:
        yield "channels_config.whatsapp.api_base", channels.whatsapp.api_base
    if channels.linq is not None:
        yield "channels_config.linq.api_base", channels.linq.api_base


def _is_plain_far(url: str) -> bool:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme == "http" and is_public(parts.hostname or "")


def _has_tunnel(settings: Settings) -> bool:
    return settings.tunnel.provider not in ("", "none")


_PARTS: tuple[Callable[[Settings, Facts], Iterator[Finding]], ...] = (
    _files,
    _listening,
    _limits,
    _proxies,
    _channels,
    _strength,
    _at_rest,
    _keys,
    _agents,
    _real_time,
    _hooks,
    _subscriptions,
)


def _error(id_: str, path: str, text: str, remedy: str, *, is_security: bool = True) -> Finding:
    return Finding(id=id_, severity=Severity.ERROR, path=path, text=text, remedy=remedy, is_security=is_security)


def _warning(id_: str, path: str, text: str, remedy: str, *, is_security: bool = True) -> Finding:
    return Finding(id=id_, severity=Severity.WARNING, path=path, text=text, remedy=remedy, is_security=is_security)


def _info(id_: str, path: str, text: str, remedy: str, *, is_security: bool = True) -> Finding:
    return Finding(id=id_, severity=Severity.INFO, path=path, text=text, remedy=remedy, is_security=is_security)
