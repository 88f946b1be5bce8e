"""Signing the control plane's tokens. Ring: ports. Source: openclaw-enterprise.md §3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Signer(Protocol):
    """HS256 with one key."""

    def sign(self, claims: Mapping[str, object]) -> str:
        """A JWT that says `claims`."""

    def is_signed(self, token: str) -> bool:
        """Whether this key has signed it, with HS256; what it says is not looked at."""
