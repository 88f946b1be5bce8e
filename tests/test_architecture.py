"""The judge of the rings (design §2): what may import what, what nobody may call, how big things may be. Its own verdicts are tested at the end."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_MODULE_LINES = 500
MAX_FUNCTION_LINES = 60
EDGES = frozenset({"web", "stores", "agents", "channels", "system"})
ASSEMBLY = frozenset({"gateway", "assembly", "surfaces", "edges", "lifecycle", "daemon", "banner", "qr"})
MAY_READ_ENVIRONMENT = frozenset({"system", "cli", "tap", "daemon"})
ENTRIES = frozenset({"tap", "cli", "__main__", "__init__"})
RINGS = {"domain": 0, "ports": 1, "services": 2, **dict.fromkeys(EDGES, 3), **dict.fromkeys(ASSEMBLY, 4), **dict.fromkeys(ENTRIES, 5), "testing": 6}
IMPURE = frozenset(
    {
        *(
            "os",
            "time",
            "random",
            "socket",
            "sqlite3",
            "subprocess",
            "threading",
            "multiprocessing",
            "asyncio",
            "select",
            "selectors",
            "ssl",
            "signal",
        ),
        *(
            "pathlib",
            "shutil",
            "tempfile",
            "glob",
            "logging",
            "sys",
            "io",
            "secrets",
            "http",
            "ctypes",
            "fcntl",
            "mmap",
            "pty",
            "resource",
            "concurrent",
        ),
        *("urllib.request", "importlib", "atexit", "gc", "warnings"),
    }
)
# `Failure` is the value that a Deferred carries; Twisted's interfaces are types. `cryptography` below `hazmat.primitives` is functions over
# bytes, as hashlib is: public-key signatures are checked where HMACs are.
ALSO = {
    0: ("msgspec", "cryptography.exceptions", "cryptography.hazmat.primitives"),
    1: ("msgspec", "twisted.internet.defer", "twisted.internet.interfaces", "twisted.python.failure"),
    2: ("msgspec", "twisted.internet.defer", "twisted.internet.interfaces", "twisted.logger", "twisted.python.failure"),
}


class Import(NamedTuple):
    """One imported name; `at_import_time` also under TYPE_CHECKING, but not inside a function."""

    line: int
    target: str
    at_import_time: bool


class Module(NamedTuple):
    name: str
    path: Path
    tree: ast.Module
    lines: int

    @property
    def place(self) -> str:
        """The ring's folder, or the name of a top-level module."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else "__init__"

    @property
    def is_wire(self) -> bool:
        return self.name.endswith("_wire")

    @property
    def rule(self) -> int:
        """The ring whose import rule holds for it."""
        return 0 if self.is_wire else RINGS.get(self.place, 5)


def load(root: Path) -> dict[str, Module]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted((root / "clawgate").rglob("*.py")):
        parts = list(path.relative_to(root).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        source = path.read_text()
        found[".".join(parts)] = Module(".".join(parts), path, ast.parse(source), source.count("\n"))
    return found


def walk(node: ast.AST, inside_function: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Every node below, and whether it stands in a function."""
    for child in ast.iter_child_nodes(node):
        yield child, inside_function
        yield from walk(child, inside_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


def imports(module: Module, known: dict[str, Module]) -> Iterator[Import]:
    """Every import, relative ones resolved, `from package import module` as that module."""
    package = module.name.split(".") if module.path.name == "__init__.py" else module.name.split(".")[:-1]
    for node, inside in walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, not inside)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            source = ".".join(part for part in (base, node.module or "") if part)
            for alias in node.names:
                full = f"{source}.{alias.name}"
                yield Import(node.lineno, full if full in known or not source.startswith("clawgate") else source, not inside)


def stands_below(name: str, prefixes: frozenset[str] | tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def complaint_about_import(module: Module, target: str, known: dict[str, Module]) -> str:
    """Why this import is not allowed; "" when it is."""
    if module.place == "testing":
        return ""
    if not stands_below(target, ("clawgate",)):
        return complaint_about_outsider(module.rule, target)
    place = known[target].place if target in known else [*target.split("."), "__init__"][1]
    if target == "clawgate":
        return ""  # the facade's version; a cycle through it is found as a cycle
    if place == "testing":
        return "imports clawgate.testing"
    if module.is_wire:
        same_edge = place == module.place and target.endswith("_wire")
        return "" if place == "domain" or same_edge else f"is a codec and imports {target}"
    if module.place in EDGES and place in EDGES and place != module.place:
        return f"imports another edge: {target}"
    if RINGS.get(place, 5) > RINGS.get(module.place, 5):
        return f"imports a ring further out: {target}"
    return ""


def complaint_about_outsider(rule: int, target: str) -> str:
    top = target.split(".")[0]
    if rule > 2 or stands_below(target, ALSO[rule]):
        return ""
    if top not in sys.stdlib_module_names:
        return f"may not import {target}"
    return f"may not import {target}" if stands_below(target, IMPURE) else ""


def judge_imports(modules: dict[str, Module]) -> Iterator[str]:
    graph: dict[str, set[str]] = {}
    for module in modules.values():
        graph[module.name] = set()
        for found in imports(module, modules):
            if problem := complaint_about_import(module, found.target, modules):
                yield f"{module.name}:{found.line} {problem}"
            if found.at_import_time and found.target in modules and found.target != module.name:
                graph[module.name].add(found.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as problem:
        yield "import cycle: " + " -> ".join(problem.args[1])


def dotted(node: ast.AST) -> str:
    """`a.b.c` of an attribute chain, "" for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = dotted(node.value)
        return f"{base}.{node.attr}" if base else ""
    return ""


def judge_names(module: Module, modules: dict[str, Module]) -> Iterator[str]:
    """The ban list."""
    is_free = module.place == "testing"
    for found in imports(module, modules):
        if found.at_import_time and found.target == "twisted.internet.reactor":
            yield f"{module.name}:{found.line} imports the reactor at module level"
        if module.place != "system" and not is_free and stands_below(found.target, ("random", "time.time", "time.time_ns")):
            yield f"{module.name}:{found.line} uses {found.target}; take the clock or entropy port"
        if module.place not in MAY_READ_ENVIRONMENT and not is_free and stands_below(found.target, ("os.environ", "os.getenv")):
            yield f"{module.name}:{found.line} reads the environment"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and dotted(node.func) == "print" and module.place != "cli":
            yield f"{module.name}:{node.lineno} prints"
        if isinstance(node, ast.Attribute) and (problem := complaint_about_name(module.place, dotted(node))):
            yield f"{module.name}:{node.lineno} {problem}"
        # Each raise adds its frames to the object's traceback: one that is shared keeps every request that ever met it.
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Name) and node.exc.id.isupper():
            yield f"{module.name}:{node.lineno} raises the shared {node.exc.id}; raise a new one"


def complaint_about_name(place: str, name: str) -> str:
    if place == "testing":
        return ""
    if name in {"time.time", "time.time_ns"} and place != "system":
        return f"uses {name}; take the clock port"
    if name.rpartition(".")[2] in {"now", "utcnow", "today"} and name.split(".")[0] in {"datetime", "date"}:
        return f"uses {name}; take the clock port"
    if name in {"os.environ", "os.getenv"} and place not in MAY_READ_ENVIRONMENT:
        return "reads the environment"
    return ""


def function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    first = node.body[0]
    has_text = ast.get_docstring(node, clean=False) is not None
    documentation = (first.end_lineno or first.lineno) - first.lineno + 1 if has_text else 0
    return (node.end_lineno or node.lineno) - node.lineno + 1 - documentation


def judge_sizes(module: Module) -> Iterator[str]:
    if module.lines > MAX_MODULE_LINES:
        yield f"{module.name} has {module.lines} lines"
    if not ast.get_docstring(module.tree):
        yield f"{module.name} has no docstring"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (size := function_lines(node)) > MAX_FUNCTION_LINES:
            yield f"{module.name}:{node.lineno} {node.name} has {size} lines"


def judge_plugin(root: Path) -> Iterator[str]:
    """`twisted/` and `twisted/plugins/` are no packages (codebases.md, T7)."""
    for folder in ("twisted", "twisted/plugins"):
        if (root / folder / "__init__.py").exists():
            yield f"{folder}/__init__.py hides the real Twisted"


def judge(root: Path) -> list[str]:
    """Every complaint about the tree below `root`; empty = well built."""
    modules = load(root)
    found = [*judge_imports(modules), *judge_plugin(root)]
    for module in modules.values():
        found += [*judge_names(module, modules), *judge_sizes(module)]
    return list(dict.fromkeys(found))


def test_the_house_is_built_to_its_plan() -> None:
    assert judge(ROOT) == []


def test_the_judge_sees_the_whole_house() -> None:
    assert {"clawgate", "clawgate.domain.inbox", "clawgate.ports.stores", "clawgate.system.clock", "clawgate.testing.clock"} <= set(load(ROOT))


def build(root: Path, files: dict[str, str]) -> list[str]:
    """Verdicts on a small tree; each file gets a docstring."""
    for name, source in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'"""Text."""\n{source}\n')
    return judge(root)


GOOD = {
    "clawgate/__init__.py": "__version__ = '1'",
    "clawgate/domain/a.py": "import hashlib\nimport msgspec\nfrom datetime import datetime",
    "clawgate/ports/p.py": "from twisted.internet.defer import Deferred\nfrom clawgate.domain import a",
    "clawgate/services/s.py": "from twisted.logger import Logger\nfrom clawgate.ports import p\nfrom clawgate import __version__",
    "clawgate/web/x_wire.py": "from clawgate.domain import a",
    "clawgate/web/x.py": "import os\nimport klein\nfrom . import x_wire\nfrom clawgate.services.s import Logger",
    "clawgate/system/m.py": "import time\nimport random\nimport os\nNOW = time.time()\nHOME = os.environ",
    "clawgate/gateway.py": "from clawgate.web import x\nfrom clawgate.system import m",
    "clawgate/cli.py": "import os\nfrom clawgate import gateway\nprint(os.environ)\ndef run():\n    from twisted.internet import reactor",
    "clawgate/testing/t.py": "import random\nfrom clawgate import gateway",
    "twisted/plugins/clawgate_plugin.py": "",
}

BAD = [
    ("domain/b.py", "import os", "may not import os"),
    ("domain/b.py", "from os.path import join", "may not import os.path.join"),
    ("domain/b.py", "import time", "may not import time"),
    ("domain/b.py", "def f():\n    import socket", "may not import socket"),
    ("domain/b.py", "from twisted.internet.defer import Deferred", "may not import twisted"),
    ("domain/b.py", "from urllib.request import urlopen", "may not import urllib.request"),
    ("domain/b.py", "import attrs", "may not import attrs"),
    ("domain/b.py", "from cryptography.hazmat.backends import default_backend", "may not import cryptography.hazmat.backends"),
    ("domain/b.py", "from ..ports import p", "further out: clawgate.ports.p"),
    ("domain/b.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from clawgate.web import x", "further out: clawgate.web.x"),
    ("ports/q.py", "from clawgate.services.s import Logger", "further out: clawgate.services.s"),
    ("ports/q.py", "from twisted.web import server", "may not import twisted.web"),
    ("services/r.py", "from twisted.internet import reactor", "may not import twisted.internet.reactor"),
    ("services/r.py", "import treq", "may not import treq"),
    ("services/r.py", "from clawgate.web import x", "further out: clawgate.web.x"),
    ("web/y.py", "from clawgate.system import m", "another edge: clawgate.system.m"),
    ("web/y.py", "def f():\n    from clawgate.system.m import NOW", "another edge: clawgate.system.m"),
    ("web/y.py", "import clawgate.gateway", "further out: clawgate.gateway"),
    ("web/y.py", "from clawgate.testing import t", "imports clawgate.testing"),
    ("web/y_wire.py", "from clawgate.ports import p", "is a codec and imports clawgate.ports.p"),
    ("web/y_wire.py", "from clawgate.web import x", "is a codec and imports clawgate.web.x"),
    ("web/y_wire.py", "import os", "may not import os"),
    ("lifecycle.py", "from clawgate import cli", "further out: clawgate.cli"),
    ("web/y.py", "from twisted.internet import reactor", "reactor at module level"),
    ("tap.py", "import twisted.internet.reactor", "reactor at module level"),
    ("web/y.py", "import time\nt = time.time()", "uses time.time"),
    ("web/y.py", "from time import time", "uses time.time"),
    ("web/y.py", "import random", "uses random"),
    ("web/y.py", "import os\nv = os.environ['A']", "reads the environment"),
    ("web/y.py", "from os import getenv", "reads the environment"),
    ("web/y.py", "import datetime\nt = datetime.datetime.now()", "uses datetime.datetime.now"),
    ("system/n.py", "from datetime import date\nt = date.today()", "uses date.today"),
    ("web/y.py", "print('x')", "prints"),
    ("web/y.py", "_GONE = ValueError('gone')\ndef f():\n    raise _GONE", "raises the shared _GONE"),
    ("web/y.py", "\n" * 500, "lines"),
    ("web/y.py", "def f():\n" + "    x = 1\n" * 60, "f has 61 lines"),
]


def test_a_well_built_tree_has_no_complaints(tmp_path: Path) -> None:
    assert build(tmp_path, GOOD) == []


@pytest.mark.parametrize(("name", "source", "complaint"), BAD)
def test_a_bad_module_is_found(tmp_path: Path, name: str, source: str, complaint: str) -> None:
    verdicts = build(tmp_path, {**GOOD, f"clawgate/{name}": source})
    assert [verdict for verdict in verdicts if complaint in verdict], verdicts


@pytest.mark.parametrize("guard", ["", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    "])
def test_an_import_cycle_is_found(tmp_path: Path, guard: str) -> None:
    files = {"clawgate/domain/b.py": "from clawgate.domain import c", "clawgate/domain/c.py": guard + "from clawgate.domain.b import x"}
    verdicts = build(tmp_path, {**GOOD, **files})
    assert len(verdicts) == 1
    assert verdicts[0].startswith("import cycle: ")


def test_a_docstring_does_not_count_as_length(tmp_path: Path) -> None:
    source = 'def f():\n    """' + "line\n" * 80 + '"""\n' + "    x = 1\n" * 20
    assert build(tmp_path, {**GOOD, "clawgate/web/y.py": source}) == []


def test_a_module_without_docstring_is_found(tmp_path: Path) -> None:
    build(tmp_path, GOOD)
    (tmp_path / "clawgate/web/y.py").write_text("x = 1\n")
    assert judge(tmp_path) == ["clawgate.web.y has no docstring"]


@pytest.mark.parametrize("folder", ["twisted", "twisted/plugins"])
def test_a_package_file_that_hides_twisted_is_found(tmp_path: Path, folder: str) -> None:
    build(tmp_path, GOOD)
    (tmp_path / folder / "__init__.py").write_text("")
    assert judge(tmp_path) == [f"{folder}/__init__.py hides the real Twisted"]
