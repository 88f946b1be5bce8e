"""Settings from environment variables and `.env`. Ring: domain. Source: design §4.12, zeroclaw.md A4, rantaiclaw.md §2, construct-rest.md §3.4.

For each setting the names are tried in order: `CLAWGATE_<SECTION>__<KEY>`, clawgate's short name, the three projects' names, the bare name. The environment
is asked for all of them before `.env` is. The first name that holds something decides: `PORT` is not tried when `ZEROCLAW_GATEWAY_PORT` holds nonsense.

Nonsense in a name of ours is an error. Upstream ignores it in some of its own names; those are `lenient` here, ignored with a warning. So is a bare `HOST`
that is no address, because shells set it to the machine's name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from clawgate.domain.secret import Secret
from clawgate.domain.settings import providers
from clawgate.domain.settings.schema import Key, is_family, keys

PREFIX = "CLAWGATE_"
_ESCAPE = re.compile(r'\\([n"\\])')


class Variable(msgspec.Struct, frozen=True):
    """The short names of one setting.

    Attributes:
        path: dotted path of the setting.
        names: in the order in which they are tried.
        lenient: those of `names` whose nonsense is ignored with a warning.
        needs_table: do not call a channel into being that the file does not configure.
    """

    path: str
    names: tuple[str, ...]
    lenient: tuple[str, ...] = ()
    needs_table: bool = False


class Override(msgspec.Struct, frozen=True):
    """One setting as a variable gives it."""

    path: str
    name: str
    text: str
    lenient: bool = False
    needs_table: bool = False


def _named(name: str, *projects: str, bare: str = "") -> tuple[str, ...]:
    return (PREFIX + name, *(f"{project}_{name}" for project in projects), *((bare,) if bare else ()))


_ALL = ("RANTAICLAW", "ZEROCLAW", "CONSTRUCT")
_HOSTS = _named("GATEWAY_HOST", *_ALL, bare="HOST")
_PORTS = _named("GATEWAY_PORT", *_ALL, bare="PORT")
_TEMPERATURES = ("CLAWGATE_DEFAULT_TEMPERATURE", *_named("TEMPERATURE", *_ALL))
_TIMEOUTS = _named("GATEWAY_TIMEOUT_SECS", "CONSTRUCT")

VARIABLES = (
    Variable("gateway.host", _HOSTS, lenient=("HOST",)),
    Variable("gateway.port", _PORTS, lenient=_PORTS[1:]),
    Variable("gateway.allow_public_bind", _named("ALLOW_PUBLIC_BIND", *_ALL)),
    Variable("gateway.request_timeout_secs", _TIMEOUTS, lenient=_TIMEOUTS[1:]),
    Variable("default_provider", ("CLAWGATE_DEFAULT_PROVIDER", *_named("PROVIDER", *_ALL, bare="PROVIDER"))),
    Variable("default_model", ("CLAWGATE_DEFAULT_MODEL", *_named("MODEL", *_ALL, bare="MODEL"))),
    Variable("default_temperature", _TEMPERATURES, lenient=_TEMPERATURES[2:]),
    Variable("api_key", _named("API_KEY", *_ALL, bare="API_KEY")),
    Variable("channels_config.whatsapp.app_secret", _named("WHATSAPP_APP_SECRET", *_ALL), needs_table=True),
    Variable("channels_config.linq.signing_secret", _named("LINQ_SIGNING_SECRET", *_ALL), needs_table=True),
    Variable("channels_config.nextcloud_talk.webhook_secret", _named("NEXTCLOUD_TALK_WEBHOOK_SECRET", *_ALL), needs_table=True),
    Variable("control.host", ("WS_CONTROL_HOST",)),
    Variable("control.port", ("WS_CONTROL_PORT",)),
    Variable("control.trusted_ips", ("TRUSTED_CLIENT_IPS",)),
    Variable("control.jwt_secret", ("JWT_SECRET",)),
    Variable("control.token_ttl_hours", ("SESSION_TTL_HOURS",)),
    Variable("control.node_env", ("NODE_ENV",)),
    Variable("control.gemini_model", ("GEMINI_MODEL",)),
    Variable("control.kimi_model", ("MOONSHOT_MODEL",)),
)
CONTROL_NAMES = ("WS_CONTROL_PORT", "JWT_SECRET", "TRUSTED_CLIENT_IPS")
"""Any of them switches the control plane on where `control.enabled` is not written (openclaw-enterprise.md §1)."""
ACTIVE_PROVIDER = "ACTIVE_AI_PROVIDER"
_FILE_ONLY = frozenset({"gateway.paired_tokens"})
_PATHS = {variable.path: variable for variable in VARIABLES}


def long_name(path: str) -> str:
    """`CLAWGATE_GATEWAY__PORT` for `gateway.port`; "" for a key outside any table, which has no such name."""
    return PREFIX + path.upper().replace(".", "__") if "." in path else ""


def names_of(path: str) -> tuple[str, ...]:
    """Every variable that sets a key, in the order in which they are tried.

    `gateway.paired_tokens` has none: the daemon writes that list to the file, and a variable standing above it would revoke what was paired since.
    """
    if path in _FILE_ONLY or is_family(path):
        return ()
    short = _PATHS[path].names if path in _PATHS else ()
    return ((long_name(path),) if "." in path else ()) + short


def overrides(environ: Mapping[str, str], dotenv: Mapping[str, str], *, file_provider: str) -> tuple[Override, ...]:
    """What the variables say, at most one for each setting.

    Args:
        environ: the process environment.
        dotenv: what `.env` says; asked where the environment has none of a setting's names.
        file_provider: `default_provider` in the file; the bare `PROVIDER` counts only where that is "" or `openrouter` (zeroclaw.md A4).
    """
    return tuple(found for key in keys().values() if (found := _first(key, (environ, dotenv), file_provider)) is not None)


def strangers(environ: Mapping[str, str], dotenv: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the form `CLAWGATE_…__…` that set nothing: most likely misspelt; sorted."""
    known = {name for path in keys() for name in names_of(path)}
    return tuple(sorted({name for name in (*environ, *dotenv) if name.startswith(PREFIX) and "__" in name and name not in known}))


def provider_keys(environ: Mapping[str, str], dotenv: Mapping[str, str]) -> tuple[tuple[str, Secret], ...]:
    """The vendors whose own variable holds a key, in the order of `providers.KEY_NAMES`."""
    return tuple(_provider_keys(environ, dotenv))


def parse_dotenv(text: str) -> dict[str, str]:
    """The variables of a `.env` file.

    `KEY=VALUE` lines, `export ` in front, `#` comments on their own or after a blank; a value in single quotes is literal, one in double quotes knows
    backslash escapes of n, quote and backslash. Other lines are skipped; the last of two equal names wins.
    """
    found: dict[str, str] = {}
    for line in text.lstrip("\ufeff").splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        name = name.strip()
        if equals and name and not name.startswith("#") and not any(char.isspace() for char in name):
            found[name] = _unquoted(value.strip())
    return found


def _first(key: Key, places: tuple[Mapping[str, str], ...], file_provider: str) -> Override | None:
    variable = _PATHS.get(key.path, Variable(key.path, ()))
    for place in places:
        for name in names_of(key.path):
            if name == "PROVIDER" and file_provider.strip().lower() not in ("", "openrouter"):
                continue
            text = place.get(name)
            if text is None or (not text.strip() and name not in BLANK_COUNTS):
                continue
            said = _as_said(variable, name, text)
            return Override(key.path, name, said, lenient=name in variable.lenient, needs_table=variable.needs_table and name in variable.names)
    return None


_PUBLIC_BIND = frozenset(_PATHS["gateway.allow_public_bind"].names)
BLANK_COUNTS = _PUBLIC_BIND | {"TRUSTED_CLIENT_IPS"}
"""Blank, they say something: no public bind, nobody is trusted."""


def _as_said(variable: Variable, name: str, text: str) -> str:
    """`ALLOW_PUBLIC_BIND`: 1 and true are true, anything else at all is false (zeroclaw.md A4)."""
    if name in _PUBLIC_BIND:
        return "true" if text.strip().lower() in ("1", "true") else "false"
    return text


def _provider_keys(environ: Mapping[str, str], dotenv: Mapping[str, str]) -> Iterator[tuple[str, Secret]]:
    for provider, names in providers.KEY_NAMES.items():
        texts = (place.get(name, "").strip() for place in (environ, dotenv) for name in names)
        text = next((text for text in texts if text), "")
        if text:
            yield provider, Secret(text)


def _unquoted(value: str) -> str:
    quote = value[:1]
    if quote in ("'", '"'):
        body = _until(value[1:], quote)
        return body if quote == "'" else _ESCAPE.sub(lambda match: "\n" if match[1] == "n" else match[1], body)
    return "" if quote == "#" else value.split(" #", 1)[0].split("\t#", 1)[0].rstrip()


def _until(text: str, quote: str) -> str:
    """Up to the closing quote; to the end where there is none."""
    for index, char in enumerate(text):
        if char == quote and not (quote == '"' and _is_escaped(text, index)):
            return text[:index]
    return text


def _is_escaped(text: str, index: int) -> bool:
    backslashes = index - len(text[:index].rstrip("\\"))
    return backslashes % 2 == 1
