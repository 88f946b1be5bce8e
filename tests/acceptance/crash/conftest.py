"""What the crash tests share: one process that forks all their daemons."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.crash.house import House, nursery_environment
from tests.acceptance.crash.nursery import Nursery


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    made = Nursery(dict(os.environ) | nursery_environment())
    yield made
    made.close()


@pytest.fixture
def house(tmp_path: Path, nursery: Nursery) -> Iterator[House]:
    made = House(tmp_path, nursery)
    yield made
    made.close()
