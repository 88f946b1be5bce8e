"""How each tunnel program is called and what its output means. Ring: system (wire). Source: zeroclaw.md A1.2, rantaiclaw.md §2 (tunnel), each program's help.

    program       how its public URL is known
    -----------   --------------------------------------------------------------------------------------------------
    cloudflared   quick tunnel: a line with https://….trycloudflare.com; named tunnel: the host name in the ingress rules that it prints
    tailscale     a line that is a URL on …ts.net, or `tailscale.hostname`
    ngrok         logfmt line msg="started tunnel" with url=…
    custom        the first URL printed, or the first one on a line that contains `url_pattern`

Secrets go into the child's environment, never into its arguments, which everybody on the machine can read.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from clawgate.domain.errors import Invalid
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import CustomTunnel, TunnelSettings

MAX_LINE_BYTES = 8192
MAX_URL_CHARS = 512
_Section = TypeVar("_Section")
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.\-]{0,251}[A-Za-z0-9])?"
_QUICK = re.compile(r"https://(?!api\.)[a-z0-9\-]{1,63}\.trycloudflare\.com(?![\w.\-])")
_INGRESS = re.compile(rf'\\?"hostname\\?":\s*\\?"({_HOST})\\?"')
_TAILNET = re.compile(r"https://[A-Za-z0-9.\-]{1,253}\.ts\.net(?::\d{1,5})?(?=/?$)")
_LOGFMT = re.compile(r'(?<![\w.])([A-Za-z_][\w.]*)=("(?:[^"\\]|\\.)*"|[^\s"]*)')
_ANY_URL = re.compile(rf"https?://(?:{_HOST}|\[[0-9A-Fa-f:.]{{2,45}}\])(?::\d{{1,5}})?(?:/[A-Za-z0-9._~%\-/]*)?")
_LOCAL_URL = re.compile(r"https?://(?:127\.|localhost\b|0\.0\.0\.0|\[::1?\])")
_WILDCARDS = frozenset({"", "0.0.0.0", "::", "[::]", "localhost"})
_INHERITED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|TERM|XDG_\w+|SSH_AUTH_SOCK|SSL_CERT_(?:FILE|DIR)|(?:HTTPS?|NO|ALL)_PROXY"
    r"|(?:https?|no|all)_proxy|(?:TUNNEL|NGROK|TS|TAILSCALE|CLOUDFLARED)_\w+",
    re.ASCII,
)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One program to run.

    Attributes:
        argv: its name first, which is looked for on the PATH unless it has a slash.
        environment: added to what the child inherits.
        install: what to do when the program is missing.
    """

    provider: str
    argv: tuple[str, ...]
    environment: tuple[tuple[str, Secret], ...] = ()
    install: str = ""
    known_url: str = ""
    url_pattern: str = ""
    health_url: str = ""


class Report(msgspec.Struct, frozen=True):
    """What a line of output says.

    Attributes:
        is_up: the program says that the tunnel stands.
        url: the public URL, without a slash at its end, or "".
    """

    is_up: bool = False
    url: str = ""


def plan(settings: TunnelSettings, host: str, port: int) -> Plan | None:
    """What is to be run for these settings; None when no tunnel is asked for.

    Args:
        settings: `[tunnel]`.
        host: where the gateway listens; a wildcard means it is reached over 127.0.0.1.
        port: its real port.

    Raises:
        Invalid: an unknown provider, a missing section, or a command that cannot be read.
    """
    match settings.provider:
        case "" | "none":
            return None
        case "cloudflare" | "cloudflared":
            return _cloudflare(settings, host, port)
        case "tailscale":
            return _tailscale(settings, host, port)
        case "ngrok":
            return _ngrok(settings, host, port)
        case "custom":
            return _custom(settings, host, port)
    raise Invalid("tunnel.provider", f'Unknown tunnel provider: "{settings.provider}"', "Valid: none, cloudflare, tailscale, ngrok, custom")


def _cloudflare(settings: TunnelSettings, host: str, port: int) -> Plan:
    own = _required(settings.cloudflare, "cloudflare")
    base = ("cloudflared", "tunnel", "--no-autoupdate")
    install = "Install cloudflared: https://developers.cloudflare.com/cloudflare-one/connections/connect-networks/downloads/"
    if own.token:
        secret = ("TUNNEL_TOKEN", Secret(own.token.reveal().strip()))
        return Plan(provider="cloudflare", argv=(*base, "run"), environment=(secret,), install=install)
    return Plan(provider="cloudflare", argv=(*base, "--url", f"http://{_local(host)}:{port}"), install=install)


def _tailscale(settings: TunnelSettings, host: str, port: int) -> Plan:
    own = settings.tailscale
    command = "funnel" if own is not None and own.funnel else "serve"
    name = own.hostname.strip().removeprefix("https://").rstrip("/") if own is not None else ""
    target = str(port) if _local(host) == "127.0.0.1" else f"http://{_local(host)}:{port}"
    return Plan(
        provider="tailscale",
        argv=("tailscale", command, target),
        install="Install tailscale: https://tailscale.com/download",
        known_url=f"https://{name}" if name else "",
    )


def _ngrok(settings: TunnelSettings, host: str, port: int) -> Plan:
    own = _required(settings.ngrok, "ngrok")
    domain = ("--domain", own.domain.strip()) if own.domain.strip() else ()
    secret = (("NGROK_AUTHTOKEN", Secret(own.auth_token.reveal().strip())),) if own.auth_token else ()
    return Plan(
        provider="ngrok",
        argv=("ngrok", "http", f"{_local(host)}:{port}", "--log", "stdout", "--log-format", "logfmt", *domain),
        environment=secret,
        install="Install ngrok: https://ngrok.com/download",
    )


def _custom(settings: TunnelSettings, host: str, port: int) -> Plan:
    own: CustomTunnel = _required(settings.custom, "custom")
    try:
        words = shlex.split(own.start_command)
    except ValueError as problem:
        raise Invalid("tunnel.custom.start_command", f"cannot be split into words: {problem}", "Close its quotes") from None
    if not words:
        raise Invalid("tunnel.custom.start_command", "is missing", 'Write start_command = "my-tunnel --port {port}"')
    argv = tuple(word.replace("{port}", str(port)).replace("{host}", _local(host)) for word in words)
    return Plan(
        provider="custom",
        argv=argv,
        install="Install it, or write its full path into tunnel.custom.start_command",
        url_pattern=own.url_pattern,
        health_url=own.health_url,
    )


def _required(section: _Section | None, name: str) -> _Section:
    if section is None:
        raise Invalid(f"tunnel.{name}", "section is missing", f"Write [tunnel.{name}]")
    return section


def _local(host: str) -> str:
    host = host.strip()
    if host in _WILDCARDS:
        return "127.0.0.1"
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """What a tunnel's child gets to see of our environment: paths, locale, proxies, its own settings; none of our keys."""
    return {name: value for name, value in environment.items() if _INHERITED.fullmatch(name)}


def report(plan: Plan, line: str) -> Report:
    """What a line of the program's output says; garbage says nothing."""
    line = _ANSI.sub("", line).strip()
    match plan.provider:
        case "cloudflare":
            return _cloudflared_line(plan, line)
        case "tailscale":
            return _found(_TAILNET.match(line), plan.known_url)
        case "ngrok":
            return _ngrok_line(line)
    return _custom_line(plan, line)


def _cloudflared_line(plan: Plan, line: str) -> Report:
    if not plan.environment:
        return _found(_QUICK.search(line))
    if "Registered tunnel connection" in line:
        return Report(True)
    host = _INGRESS.search(line) if "configuration" in line else None
    return Report(True, f"https://{host[1]}") if host else Report()


def _ngrok_line(line: str) -> Report:
    fields = {name: value.strip('"') for name, value in _LOGFMT.findall(line)}
    if fields.get("msg") != "started tunnel":
        return Report()
    return _found(_ANY_URL.fullmatch(fields.get("url", "")))


def _custom_line(plan: Plan, line: str) -> Report:
    """Many programs print where they forward to as well; that is not the public side."""
    urls = _ANY_URL.finditer(line) if plan.url_pattern in line else ()
    return _found(next((url for url in urls if not _LOCAL_URL.match(url[0])), None))


def _found(match: re.Match[str] | None, known_url: str = "") -> Report:
    if match is None or len(match[0]) > MAX_URL_CHARS:
        return Report()
    return Report(True, known_url or match[0].rstrip("/."))


class Lines:
    """Cuts a stream into lines of at most 8 KiB; the rest of a longer one is dropped."""

    def __init__(self) -> None:
        self._partial = bytearray()

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes, without their ends; broken UTF-8 is replaced."""
        *complete, rest = data.split(b"\n")
        lines = []
        for piece in complete:
            self._keep(piece)
            lines.append(self._take())
        self._keep(rest)
        return lines

    def rest(self) -> str:
        """The line that was never ended, "" when there is none."""
        return self._take()

    def _keep(self, piece: bytes) -> None:
        self._partial += piece[: MAX_LINE_BYTES - len(self._partial)]

    def _take(self) -> str:
        line = self._partial.decode("utf-8", "replace").rstrip("\r")
        self._partial.clear()
        return line
