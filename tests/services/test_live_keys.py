"""Keys that are marked live are followed: after a change nothing in the gateway holds on to what they were (design §6)."""

from __future__ import annotations

import gc
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType

import msgspec
from twisted.internet.testing import MemoryReactorClock

from clawgate.assembly import Assembly
from clawgate.domain.secret import Secret
from clawgate.domain.settings import Settings
from clawgate.domain.settings.model import Section
from clawgate.domain.settings.schema import Kind, Table, tables
from clawgate.edges import Edges
from clawgate.surfaces import build_web

HAVE_PARTS = frozenset({"default_provider", "default_model", "api_key", "api_url", "provider_api_keys", "gateway.paired_tokens"})
"""Taken up by `services.live_parts`, whose tests show it; so are channels and MCP servers, which are not there by default."""
CHOICES = frozenset({"autonomy.level", "cron.missed_runs"})
"""Of a few words each, which stand elsewhere too."""


def told_apart(table: Table, section: Section, values: dict[str, object]) -> Section:
    """The section with a value of its own for every live key; `values` gets them by path. A switch has none: there are only two."""
    changed: dict[str, object] = {child.name: told_apart(child, getattr(section, child.name), values) for child in table.tables if not child.optional}
    for key in table.keys:
        if not key.note.live or key.path in HAVE_PARTS | CHOICES:
            continue
        made: dict[Kind, object] = {
            Kind.COUNT: 91_000_001 + len(values),
            Kind.NUMBER: 0.0625 + len(values),
            Kind.TEXT: f"the old {key.path}",
            Kind.TEXTS: (f"the old {key.path}",),
            Kind.SECRET: Secret(f"the old {key.path}"),
        }
        if key.kind in made:
            values[key.path] = changed[key.name] = made[key.kind]
    return msgspec.structs.replace(section, **changed)


def reached(*roots: object) -> list[object]:
    """Everything that these lead to, but for what belongs to modules and classes."""
    seen, found, waiting = set[int](), list[object](), list[object](roots)
    while waiting:
        value = waiting.pop()
        if id(value) in seen or isinstance(value, (type, ModuleType, CodeType, BuiltinFunctionType)):
            continue
        seen.add(id(value))
        found.append(value)
        if isinstance(value, FunctionType):
            waiting += [*(value.__closure__ or ()), *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        else:
            waiting += gc.get_referents(value)
    return found


def test_nothing_holds_on_to_a_live_setting(tmp_path: Path) -> None:
    values: dict[str, object] = {}
    plain = Settings(config_path=str(tmp_path / "config.toml"), state_dir=str(tmp_path))
    old = told_apart(tables()[0], plain, values)
    assert isinstance(old, Settings)
    assembly = Assembly(old, Edges.real(old, MemoryReactorClock(), variables={}), lambda code: None, 1)  # type: ignore[no-untyped-call]  # untyped upstream
    router, web = build_web(assembly)
    before = reached(assembly, router, web)
    assembly.live.settings = plain
    assembly.live.taken_up(plain)
    after = reached(assembly, router, web)

    def held(everything: list[object]) -> set[str]:
        plain_values = {value for value in everything if isinstance(value, (int, float, str, Secret)) and not isinstance(value, bool)}
        return {path for path, value in values.items() if (value[0] if isinstance(value, tuple) else value) in plain_values}

    assert held(before) == set(values)
    assert held(after) == set()
