"""Whether a device's token opens anything."""

from __future__ import annotations

import pytest

from clawgate.domain.caller import ALL_SCOPES
from clawgate.domain.devices import Device

NOW = 1_800_000_000_000


@pytest.mark.parametrize(
    ("expires_ms", "revoked_ms", "alive"),
    [(0, 0, True), (NOW + 1, 0, True), (NOW, 0, False), (NOW - 1, 0, False), (0, NOW - 1, False), (0, NOW + 1, False), (NOW + 1, 1, False)],
)
def test_life(expires_ms: int, revoked_ms: int, alive: bool) -> None:
    assert Device(id="d", token_hash="h", expires_ms=expires_ms, revoked_ms=revoked_ms).is_alive(NOW) is alive


def test_a_device_holds_every_scope_unless_narrowed() -> None:
    assert Device(id="d", token_hash="h").scopes == ALL_SCOPES
