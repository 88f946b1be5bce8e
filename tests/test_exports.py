"""What other people may import from `clawgate` and `clawgate.testing` is what stands here: a name that goes or comes is a decision, not an accident."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

import clawgate
import clawgate.testing

PUBLIC = {
    "clawgate": ["Gateway", "Settings", "__version__"],
    "clawgate.testing": [
        "STORE_CONTRACT",
        "BackendContract",
        "BrokenAgent",
        "ChannelContract",
        "CountingIds",
        "FixedEntropy",
        "GateClient",
        "Hang",
        "InlineStore",
        "ListSink",
        "ManualClock",
        "MemoryGateway",
        "OpenStore",
        "Pending",
        "Pieces",
        "Platform",
        "RecordingChannel",
        "RecordingMirror",
        "Response",
        "ScriptedAgent",
        "Sent",
        "TestCase",
        "name_of",
        "prompt",
    ],
}


@pytest.fixture(params=[clawgate, clawgate.testing], ids=lambda module: module.__name__)
def module(request: pytest.FixtureRequest) -> ModuleType:
    found: ModuleType = request.param
    return found


def order(name: str) -> tuple[int, str]:
    """Constants, classes, functions, dunders: the order that ruff keeps (RUF022)."""
    kind = 3 if name.startswith("__") else 0 if name.isupper() else 1 if name[0].isupper() else 2
    return kind, name


def test_the_public_names_are_these(module: ModuleType) -> None:
    assert module.__all__ == PUBLIC[module.__name__]


def test_every_public_name_is_there(module: ModuleType) -> None:
    assert [name for name in module.__all__ if getattr(module, name, None) is None] == []


def test_the_list_is_sorted_and_names_nothing_twice(module: ModuleType) -> None:
    assert module.__all__ == sorted(set(module.__all__), key=order)


def test_every_public_name_has_a_docstring_of_its_own(module: ModuleType) -> None:
    things = {name: getattr(module, name) for name in module.__all__}
    assert [name for name, thing in things.items() if callable(thing) and not vars(thing).get("__doc__", getattr(thing, "__doc__", ""))] == []


def test_nothing_else_looks_public() -> None:
    own = [name for name, thing in vars(clawgate.testing).items() if not name.startswith("_") and not isinstance(thing, ModuleType)]
    assert sorted(set(own) - set(clawgate.testing.__all__)) == ["annotations"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError):
        clawgate.no_such_name  # noqa: B018 - looking is the test


def test_the_version_can_be_read_without_twisted() -> None:
    code = "import sys, clawgate; assert clawgate.__version__; print([name for name in sys.modules if name.partition('.')[0] == 'twisted'])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert told.stdout.strip() == "[]"


def test_start_imports_nothing_that_few_gateways_need() -> None:
    few = "{'yaml', 'pypdf', 'jwt', 'argon2', 'treq', 'twisted.web.client', 'xllamacpp', 'prometheus_client', 'websockets'}"
    code = f"import sys, clawgate.tap, clawgate.daemon; print({few} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.strip() == "set()"
