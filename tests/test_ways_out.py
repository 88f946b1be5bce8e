"""Whatever opens a connection to somewhere stands in the threat model, with who says where to."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import clawgate

ROOT = Path(clawgate.__file__).parent
PAGE = (ROOT.parent / "docs/explanation/threat-model.md").read_text()
SECTION = PAGE[PAGE.index("## Ways out") :].split("\n## ")[0]
WAYS = frozenset(
    {
        "Agent",
        "ProxyAgent",
        "treq",
        "guarded_agent",
        "HostnameEndpoint",
        "TCP4ClientEndpoint",
        "TCP6ClientEndpoint",
        "UNIXClientEndpoint",
        "clientFromString",
        "connectTCP",
        "connectSSL",
        "connectUNIX",
        "create_connection",
        "HTTPConnection",
        "HTTPSConnection",
        "urlopen",
    }
)


def ways(source: str) -> Iterator[str]:
    """The ways out that are named in a module."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name) if name.rpartition(".")[2] in WAYS:
                yield name
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in WAYS:
                yield module


def opening() -> list[str]:
    """Modules that open connections, below the package; what is for tests left out."""
    names = (path.relative_to(ROOT).as_posix() for path in sorted(ROOT.rglob("*.py")))
    return [name for name in names if not name.startswith("testing/") and any(ways((ROOT / name).read_text()))]


@pytest.mark.parametrize("name", opening())
def test_a_module_that_opens_connections_is_in_the_threat_model(name: str) -> None:
    assert f"`{name}`" in SECTION


@pytest.mark.parametrize(
    "source",
    [
        "import treq",
        "from treq.client import HTTPClient",
        "from twisted.web.client import Agent",
        "reactor.connectTCP('h', 1, f)",
        "urllib.request.urlopen(u)",
    ],
)
def test_a_way_out_is_seen(source: str) -> None:
    assert any(ways(source))
