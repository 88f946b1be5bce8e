"""A meter for stores: what was counted, by name."""

from __future__ import annotations


class Counting:
    """A meter that only counts."""

    def __init__(self) -> None:
        self.counted: dict[str, float] = {}

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        self.counted[name] = self.counted.get(name, 0) + by

    def gauge(self, name: str, value: float, *labels: str) -> None:
        raise AssertionError(name)

    def observe(self, name: str, value: float, *labels: str) -> None:
        raise AssertionError(name)

    def exposition(self) -> bytes:
        raise AssertionError
