"""The settings reference page, made from the model. Ring: domain. `docs/reference/settings.md` is its output; a test keeps them equal."""

from __future__ import annotations

from collections.abc import Iterator

from clawgate.domain.settings import environment, rules
from clawgate.domain.settings.providers import KEY_NAMES
from clawgate.domain.settings.schema import Key, Kind, Table, tables

_HEAD = """# Settings

Made from `clawgate/domain/settings/model.py` by `reference.py` beside it; do not edit.

`config.toml` is found at `--config`, else `CLAWGATE_CONFIG`, else in `CLAWGATE_CONFIG_DIR`, else where an existing ZeroClaw or RantAIClaw installation points
(`ZEROCLAW_CONFIG_DIR`, `ZEROCLAW_WORKSPACE`, `RANTAICLAW_CONFIG_DIR`, `RANTAICLAW_WORKSPACE`), else `~/.clawgate/config.toml`. The state directory is `state/`
beside it, or `CLAWGATE_STATE_DIR`.

Defaults < `config.toml` < `config.runtime.toml` < `.env` in the working directory < environment. For each key the variables are tried from left to right; a
variable that holds nothing is skipped. Lists in variables are separated by commas. Keys that clawgate does not know are kept and listed by `clawgate check`.

Any secret may be written as the text itself, as `file:PATH` (relative to `config.toml`), as `env:NAME`, or encrypted (`enc2:…`, and `enc:…` of older
installations, with the key in `.secret_key` beside `config.toml`).

A config written for another project starts clawgate as it is, with one exception: `gateway.request_timeout_secs` counts only in a file with `[clawgate]`,
`[inbox]` or `[store]`, or in one where every key is known and the number is not RantAIClaw's unused 300.

"Live" keys are taken up while running; the others at the next start.
"""

_TAIL = """
## Keys of vendors

Used for the provider of that name when `api_key` is not set. Where `default_provider` is not set, the first of them decides.

| provider | variables |
|---|---|
"""


def markdown() -> str:
    """The whole page."""
    sections = "".join(_section(table) for table in tables() if table.keys)
    vendors = "".join(f"| `{provider}` | {_code(names)} |\n" for provider, names in KEY_NAMES.items())
    return _HEAD + sections + _TAIL + vendors


def _section(table: Table) -> str:
    title = f"`[{table.path}]`" if table.path else "Top of the file"
    absent = "\nAbsent = not configured.\n" if table.optional else ""
    rows = "".join(_row(key) for key in table.keys)
    return f"\n## {title}\n{absent}\n| key | type | default | change | what it does | variables |\n|---|---|---|---|---|---|\n{rows}"


def _row(key: Key) -> str:
    change = "live" if key.note.live else "restart"
    return f"| `{key.name}` | {_type(key)} | {_default(key)} | {change} | {_cell(key.note.text)} | {_code(environment.names_of(key.path))} |\n"


def _type(key: Key) -> str:
    if key.kind not in (Kind.COUNT, Kind.NUMBER):
        return str(key.kind.value)
    low, high = rules.limits(key.path)
    return f"{key.kind.value}, {low} to {high}" if high < rules.MOST_SECONDS else f"{key.kind.value}, at least {low}"


def _default(key: Key) -> str:
    if key.required:
        return "required"
    return "none" if key.default is None else f"`{_toml(key.default)}`"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    return f'"{value}"' if isinstance(value, str) else f"{value}"


def _code(names: tuple[str, ...]) -> str:
    return ", ".join(_ticked(names))


def _ticked(names: tuple[str, ...]) -> Iterator[str]:
    return (f"`{name}`" for name in names)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
