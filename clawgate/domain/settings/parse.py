"""Settings out of a document and the environment. Ring: domain. Source: design §4.11–4.13, §5; zeroclaw.md A4; rantaiclaw.md §2; construct-rest.md §3.

Everything is read before anything is refused: `build` reports all problems at once. Reading files, decrypting and following `file:` are the caller's, through
`resolve`; nothing here touches the world.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from clawgate.domain.caller import is_loopback
from clawgate.domain.errors import Invalid, InvalidSettings
from clawgate.domain.overlay import at, effective, merged
from clawgate.domain.secret import Secret
from clawgate.domain.settings import environment, hooks, providers, rules, subscriptions
from clawgate.domain.settings.model import ControlSettings, Section, Settings
from clawgate.domain.settings.schema import Key, Kind, Table, join, keys, tree
from clawgate.domain.settings.values import coerce, described, from_text
from clawgate.domain.tokens import is_hash, stored_hash

Resolve = Callable[[str, str], str]
"""From a setting's path and a text beginning with `enc2:`, `enc:` or `file:` to the text it stands for; raises `Invalid`."""

ENCRYPTED = ("enc2:", "enc:")
CONFIG_VERSION = 1
_OWN_TABLES = ("clawgate", "inbox", "store")
_RANTAICLAW_TIMEOUT = 300
_MOST_UNKNOWN = 1000
_SAFE_KEY_BYTES = 32
_SECRET_KINDS = (Kind.SECRET, Kind.SECRETS, Kind.SECRET_LIST)
_MEMBER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}\Z")
_TITLE = re.compile(r"[^\x00-\x1f\x7f]{1,200}\Z")
"""Names of skills are what their authors call them."""


def build(
    document: Mapping[str, object],
    *,
    environ: Mapping[str, str],
    dotenv: Mapping[str, str],
    config_path: str,
    state_dir: str,
    overlay: Mapping[str, object] | None = None,
    resolve: Resolve | None = None,
) -> Settings:
    """The whole configuration: defaults < document < overlay < `.env` < environment.

    Args:
        document: config.toml as a TOML reader gives it.
        environ: the process environment.
        dotenv: what `.env` says (`environment.parse_dotenv`).
        config_path: where the document is, or would be; only carried along.
        state_dir: only carried along.
        overlay: config.runtime.toml (`domain.overlay`).
        resolve: see `Resolve`; without it, stored or filed secrets are a problem.

    Returns:
        Settings in which `default_provider` is never "", hosts are IPs, and `paired_tokens` are hashes.

    Raises:
        InvalidSettings: naming every setting that cannot work.
    """
    reader = _Reader(environ, dotenv, resolve or _unresolved)
    whole = _whole(reader, document, overlay or {})
    reader.override(whole)
    _refuse_unsupported(reader, whole)
    _drop_foreign_timeout(reader, document, overlay or {}, whole)
    _drop_foreign_hooks(reader, whole)
    settings = reader.table(tree(), whole)
    # The root has no required key, so it is always built.
    if not isinstance(settings, Settings):
        raise InvalidSettings(tuple(reader.problems))
    settings = _with_provider(reader, settings, environment.provider_keys(environ, dotenv))
    _check_together(reader, settings)
    if reader.problems:
        raise InvalidSettings(tuple(reader.problems))
    present = _at(whole, "gateway.paired_tokens") is not None
    return msgspec.structs.replace(
        settings,
        config_path=config_path,
        state_dir=state_dir,
        unknown=tuple(reader.unknown[:_MOST_UNKNOWN]),
        warnings=tuple(reader.warnings),
        paired_tokens_present=present,
    )


def clear_text_secrets(document: Mapping[str, object]) -> tuple[str, ...]:
    """Paths of secrets that stand in the document as they are; a plain token in `paired_tokens` counts."""
    found = [key.path for key in keys().values() if key.kind is Kind.SECRET and _is_clear(_at(document, key.path))]
    for family, key in (("hooks", "secrets"), ("subscriptions", "secret")):
        named = document.get(family)
        tables = named.items() if isinstance(named, Mapping) else ()
        found += [f"{family}.{name}.{key}" for name, table in tables if isinstance(table, Mapping) and _has_clear(table.get(key))]
    tokens = _at(document, "gateway.paired_tokens")
    if isinstance(tokens, list | tuple) and any(isinstance(entry, str) and not is_hash(entry) for entry in tokens):
        found.append("gateway.paired_tokens")
    return tuple(found)


class _Reader:
    """Collects what one reading finds: problems, warnings, keys that nobody reads, and which settings came from which variable."""

    def __init__(self, environ: Mapping[str, str], dotenv: Mapping[str, str], resolve: Resolve) -> None:
        self.problems: list[Invalid] = []
        self.warnings: list[str] = []
        self.unknown: list[str] = []
        self._environ, self._dotenv, self._resolve = environ, dotenv, resolve
        self.sources: dict[str, str] = {}

    def override(self, whole: dict[str, object]) -> None:
        """Puts what the variables say into the document, where the usual checks will meet it."""
        file_provider = whole.get("default_provider")
        for found in environment.overrides(self._environ, self._dotenv, file_provider=file_provider if isinstance(file_provider, str) else ""):
            self._override(whole, found)
        self._control(whole)
        self.warnings += [f"{name} names no setting and is ignored" for name in environment.strangers(self._environ, self._dotenv)]

    def _control(self, whole: dict[str, object]) -> None:
        """Switches the control plane on, and then takes up its provider (design §4.18)."""
        control = whole.get("control", {})
        if not isinstance(control, dict):
            return
        said = {**self._dotenv, **self._environ}
        is_on = control.get(
            "enabled", any(name in said and (said[name].strip() or name in environment.BLANK_COUNTS) for name in environment.CONTROL_NAMES)
        )
        if is_on is True:
            whole["control"] = {**control, "enabled": True}
        wanted = said.get(environment.ACTIVE_PROVIDER, "").strip().lower()
        if is_on is not True or not wanted or "default_provider" in self.sources:
            return
        if wanted not in ("gemini", "kimi"):
            self.warnings.append(f"{environment.ACTIVE_PROVIDER} is ignored: write gemini or kimi")
            return
        provider = providers.normalised("default_provider", wanted)
        if whole.get("default_provider") not in (wanted, provider):
            for key in ("api_key", "api_url", "default_model"):  # they belong to the provider of the file
                if key not in self.sources:
                    whole.pop(key, None)
        whole["default_provider"] = provider
        self.sources["default_provider"] = environment.ACTIVE_PROVIDER

    def _override(self, whole: dict[str, object], found: environment.Override) -> None:
        key = keys()[found.path]
        value = from_text(key, found.text)
        if found.lenient and (problem := self._problem_of(key, value)) is not None:
            self.warnings.append(f"{found.name} is ignored: {problem.path} {problem.problem}")
            return
        table = _table_for(whole, found.path, create=not found.needs_table)
        if table is not None:
            table[key.name] = value
            self.sources[found.path] = found.name

    def _problem_of(self, key: Key, value: object) -> Invalid | None:
        try:
            rules.checked(key.path, coerce(key, value), lambda _: None)
        except Invalid as problem:
            return problem
        return None

    def refuse(self, path: str, problem: str, remedy: str) -> None:
        """Notes one problem."""
        source = self.sources.get(path)
        self.problems.append(Invalid(path, problem + (f", from the variable {source}" if source else ""), remedy))

    def table(self, spec: Table, found: object) -> Section | None:
        """The section that a table of the document stands for; None when it is no table or lacks a required key."""
        if not isinstance(found, Mapping):
            self.refuse(
                spec.path, f"is {described(found, hidden=True)} and must be a table", f"Write [{spec.path}] on a line of its own, and its keys below"
            )
            return None
        self._note_unknown(spec, found)
        values: dict[str, Any] = {}  # Any: arguments of differing types for the section's constructor
        for key in spec.keys:
            self._read(key, found.get(key.name), values)
        for child in spec.tables:
            below = found.get(child.name)
            section = self.table(child, below) if below is not None else None
            if section is not None:
                values[child.name] = section
        for family in spec.families:
            values[family.name] = self.family(family, found.get(family.name, {}))
        if any(key.required and key.name not in values for key in spec.keys):
            return None
        return spec.type(**values)

    def family(self, spec: Table, found: object) -> dict[str, Section]:
        """The sections of a family by their names; a name that cannot be used is a problem."""
        parent = spec.path.removesuffix(".*")
        if not isinstance(found, Mapping):
            self.refuse(parent, f"is {described(found, hidden=True)} and must be a table", f"Write [{parent}.NAME] on a line of its own")
            return {}
        sections: dict[str, Section] = {}
        for name, below in found.items():
            if not (_TITLE if parent == "skills.entries" else _MEMBER).match(name):
                self.refuse(f"{parent}.{name[:60]}", "is no name", "Use letters, digits, dash, dot and underscore, 64 at most")
            elif (section := self.table(_renamed(spec, join(parent, name)), below)) is not None:
                sections[name] = section
        return sections

    def _read(self, key: Key, found: object, values: dict[str, Any]) -> None:  # Any: as in `table`
        if found is None:
            if key.required:
                self.refuse(key.path, "is missing", f'Write {key.name} = "…" below [{key.path.rpartition(".")[0]}], or remove the table')
            return
        try:
            if key.kind is Kind.SECRET_LIST and key.name == "secret" and isinstance(found, str):
                found = [found]  # one of possibly many
            value = rules.checked(key.path, coerce(key, self._resolved(key, found)), self.warnings.append)
        except Invalid as problem:
            self.refuse(problem.path, problem.problem, problem.remedy)
            return
        values[key.name] = self._tokens(value) if key.path == "gateway.paired_tokens" else value

    def _resolved(self, key: Key, found: object) -> object:
        if isinstance(found, str):
            return self._resolved_text(key, found)
        if isinstance(found, Mapping) and key.kind is Kind.SECRETS:
            return {name: self._resolved_text(key, entry) if isinstance(entry, str) else entry for name, entry in found.items()}
        if isinstance(found, list | tuple):
            return [self._resolved_text(key, entry) if isinstance(entry, str) else entry for entry in found]
        return found

    def _resolved_text(self, key: Key, text: str) -> str:
        if text.startswith(ENCRYPTED):
            return self._resolve(key.path, text)
        if key.kind in _SECRET_KINDS and text.startswith("file:"):
            return self._resolve(key.path, text)
        if key.kind in _SECRET_KINDS and text.startswith("env:"):
            return self._from_variable(key.path, text.removeprefix("env:").strip())
        return text

    def _from_variable(self, path: str, name: str) -> str:
        text = self._environ.get(name, "").strip() or self._dotenv.get(name, "").strip()
        if not text:
            raise Invalid(path, f'the variable "{name[:60]}" is not set or blank', "Set it in the environment of the daemon, or in .env")
        return text

    def _tokens(self, entries: object) -> tuple[str, ...]:
        """Hashes without repetition; blank entries would be a token that everybody knows."""
        texts = [entry.strip() for entry in entries if entry.strip()] if isinstance(entries, tuple) else []
        if any(not is_hash(entry) for entry in texts):
            self.warnings.append(
                "gateway.paired_tokens: holds a token in clear text; it works, and its hash replaces it at the next change of the list"
            )
        return tuple(dict.fromkeys(stored_hash(entry) for entry in texts))

    def _note_unknown(self, spec: Table, found: Mapping[str, object]) -> None:
        known = spec.names
        self.unknown += [join(spec.path, name) for name in found if name not in known and join(spec.path, name) != "clawgate"]


def _whole(reader: _Reader, document: Mapping[str, object], overlay: Mapping[str, object]) -> dict[str, object]:
    try:
        return effective(document, overlay)
    except Invalid as problem:
        reader.refuse(problem.path, problem.problem, problem.remedy)
        return merged(document, {})


def _unresolved(path: str, text: str) -> str:
    raise Invalid(path, f"begins with {text.partition(':')[0]}: and nothing here can read that", "Write the text itself")


def _at(document: Mapping[str, object], path: str) -> object:
    """What stands at the dotted path of a key; None where there is nothing or no table on the way."""
    return at(document, tuple(path.split(".")))


def _is_clear(found: object) -> bool:
    return isinstance(found, str) and bool(found.strip()) and not found.startswith((*ENCRYPTED, "file:", "env:"))


def _has_clear(found: object) -> bool:
    return _is_clear(found) or (isinstance(found, list | tuple) and any(map(_is_clear, found)))


def _table_for(whole: dict[str, object], path: str, *, create: bool) -> dict[str, object] | None:
    """The innermost table of a path; None when it is missing and not to be made, or something else stands in its place."""
    table = whole
    for name in path.split(".")[:-1]:
        below = table.setdefault(name, {}) if create else table.get(name)
        if not isinstance(below, dict):
            return None
        table = below
    return table


def _refuse_unsupported(reader: _Reader, whole: Mapping[str, object]) -> None:
    """What must not be ignored quietly: a file for a newer clawgate."""
    own = whole.get("clawgate", {})
    version = own.get("version", CONFIG_VERSION) if isinstance(own, Mapping) else None
    if isinstance(version, bool) or version != CONFIG_VERSION:
        reader.refuse(
            "clawgate.version", "is not a version of config.toml that this clawgate knows", f"Write [clawgate] with version = {CONFIG_VERSION}"
        )


def _drop_foreign_timeout(reader: _Reader, document: Mapping[str, object], overlay: Mapping[str, object], whole: dict[str, object]) -> None:
    """Leaves out `gateway.request_timeout_secs` where it was not written for clawgate (design §4.6).

    RantAIClaw writes 300 into its files and never reads it; taken at its word, every caller would wait ten times as long. A file is clawgate's own when it has
    `[clawgate]`, `[inbox]` or `[store]` (not `[agent]`: upstream has such a table too). In any other file the number is taken only if clawgate knows every key
    of that file and it is not that 300. A variable or the overlay always counts.
    """
    path = "gateway.request_timeout_secs"
    found = _at(document, path)
    if found is None or any(name in document for name in _OWN_TABLES) or path in reader.sources or _at(overlay, path) is not None:
        return
    if found != _RANTAICLAW_TIMEOUT and not _has_unknown(tree(), document):
        return
    gateway = whole["gateway"]
    if isinstance(gateway, dict):
        del gateway["request_timeout_secs"]
    reader.warnings.append(
        f"{path}: not taken from a config of another project, 30 is used; write [clawgate] with version = {CONFIG_VERSION} to have it count"
    )


def _drop_foreign_hooks(reader: _Reader, whole: dict[str, object]) -> None:
    """Leaves out what other projects mean by `hooks`: they have switches, lists and commands there. A hook of ours says how it is verified."""
    found = whole.get("hooks", {})
    if not isinstance(found, Mapping):
        reader.unknown.append("hooks")
        found = {}
    own = {name: table for name, table in found.items() if isinstance(table, Mapping) and not table.keys().isdisjoint(("verify", "secrets"))}
    reader.unknown += [join("hooks", name) for name in found if name not in own]
    whole["hooks"] = own


def _renamed(spec: Table, path: str) -> Table:
    """A family's table under the name of one member."""
    keys_ = tuple(msgspec.structs.replace(key, path=join(path, key.name)) for key in spec.keys)
    return msgspec.structs.replace(spec, path=path, keys=keys_)


def _has_unknown(spec: Table, found: object) -> bool:
    if not isinstance(found, Mapping):
        return False
    return not found.keys() <= set(spec.names) or any(_has_unknown(child, found.get(child.name)) for child in spec.tables)


def _with_provider(reader: _Reader, settings: Settings, vendor_keys: tuple[tuple[str, Secret], ...]) -> Settings:
    """Settings with a provider that has a name, and the vendors' keys: those of the environment, then those of `provider_api_keys`.

    Unset: upstream's openrouter where `api_key` is given (zeroclaw.md A4), else the first vendor whose key is in the environment, else offline.
    """
    named = dict(vendor_keys)
    vendor_keys += tuple((name, key) for name, key in settings.provider_api_keys.items() if name not in named)
    unset = "openrouter" if settings.api_key else vendor_keys[0][0] if vendor_keys else providers.OFFLINE
    provider = settings.default_provider or unset
    if providers.needs_key(provider) and not settings.api_key and provider not in dict(vendor_keys):
        names = " or ".join(providers.KEY_NAMES[provider])
        reader.warnings.append(f"default_provider: no key for {provider}, so every turn will fail; set api_key, or {names} in the environment")
    if not providers.has_address(provider, settings.api_url):
        reader.warnings.append(f"default_provider: clawgate knows no address of {provider}, so every turn will fail; {providers.ADDRESS_REMEDY}")
    model = settings.default_model or _model_of_control(settings, provider)
    return msgspec.structs.replace(settings, default_provider=provider, default_model=model, provider_keys=vendor_keys)


def _model_of_control(settings: Settings, provider: str) -> str:
    """The model that OpenClaw Enterprise's variables name for a provider, while its control plane is on (openclaw-enterprise.md §1.1); "" = none."""
    named = {"gemini": settings.control.gemini_model, "moonshot": settings.control.kimi_model} if settings.control.enabled else {}
    return named.get(provider, "")


def _check_together(reader: _Reader, settings: Settings) -> None:
    """Refuses what only several keys together make impossible."""
    tls, tunnel, agent = settings.gateway.tls, settings.tunnel, settings.agent
    for name, text in (("cert_path", tls.cert_path), ("key_path", tls.key_path)):
        if tls.enabled and not text.strip():
            reader.refuse(f"gateway.tls.{name}", "is missing while TLS is enabled", f'Write {name} = "/path/to/file.pem"')
    if tls.client_auth.enabled and not tls.enabled:
        reader.refuse("gateway.tls.client_auth.enabled", "is on while TLS is off, so nobody would be asked", "Set gateway.tls.enabled = true too")
    elif tls.client_auth.enabled and not tls.client_auth.ca_cert_path.strip():
        reader.refuse(
            "gateway.tls.client_auth.ca_cert_path", "is missing while client certificates are checked", 'Write ca_cert_path = "/path/to/ca.pem"'
        )
    control = settings.control
    if control.enabled and not is_loopback(control.host) and control.trusted_ips == ControlSettings().trusted_ips:
        reader.refuse(
            "control.host", f"{control.host} is reached from other machines, and none is trusted", "Write control.trusted_ips, or TRUSTED_CLIENT_IPS"
        )
    if control.enabled and control.jwt_secret and len(control.jwt_secret.reveal().encode()) < _SAFE_KEY_BYTES:
        reader.warnings.append("control.jwt_secret: shorter than 32 bytes, so it may be guessed from a token; leave it out, and a random one is used")
    if agent.retry_max_secs < agent.retry_initial_secs:
        reader.refuse("agent.retry_max_secs", "is less than agent.retry_initial_secs", "Write the larger number there")
    if bool(settings.gateway.login.username) != bool(settings.gateway.login.password_hash):
        reader.refuse("gateway.login", "has a username or a password_hash without the other", "Write both, or neither")
    for name, server in settings.mcp_servers.items():
        if bool(server.command.strip()) == bool(server.url.strip()):
            reader.refuse(f"mcp_servers.{name}", "needs either a command or a url", 'Write command = "program", or url = "https://…"')
    for name, hook in settings.hooks.items():
        for problem in hooks.problems(name, hook):
            reader.refuse(problem.path, problem.problem, problem.remedy)
    for problem in subscriptions.problems(settings.subscriptions):
        reader.refuse(problem.path, problem.problem, problem.remedy)
    # A section that is there and wrong has been reported already.
    already = tuple(problem.path for problem in reader.problems)
    if tunnel.provider in _TUNNEL_NEEDS and not any(path.startswith(f"tunnel.{tunnel.provider}") for path in already):
        _check_tunnel(reader, settings)


_TUNNEL_NEEDS = {"cloudflare": 'token = "…"', "ngrok": 'auth_token = "…"', "custom": 'start_command = "…"'}


def _check_tunnel(reader: _Reader, settings: Settings) -> None:
    """Source: zeroclaw.md A1.1 step 6. An empty `[tunnel.cloudflare]` asks for a quick tunnel, which needs no token."""
    tunnel, name = settings.tunnel, settings.tunnel.provider
    if getattr(tunnel, name) is None:
        reader.refuse(f"tunnel.{name}", f'is missing while tunnel.provider is "{name}"', f"Write [tunnel.{name}] with {_TUNNEL_NEEDS[name]}")
    elif name == "ngrok" and tunnel.ngrok is not None and not tunnel.ngrok.auth_token:
        reader.refuse("tunnel.ngrok.auth_token", "is missing", f"Write {_TUNNEL_NEEDS[name]}")
    elif name == "custom" and tunnel.custom is not None and not tunnel.custom.start_command.strip():
        reader.refuse("tunnel.custom.start_command", "is missing", 'Write start_command = "my-tunnel --port {port}"')
