"""HS256 by PyJWT. Ring: system (edge). Implements `ports.control.Signer`. Source: openclaw-enterprise.md §3.

Only signatures: what a token says is judged in `domain.control`, with the clock of the gateway.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec

from clawgate.domain.errors import Invalid
from clawgate.domain.secret import Secret

ALGORITHM = "HS256"


class Hs256(msgspec.Struct, frozen=True):
    """One key."""

    key: Secret

    def sign(self, claims: Mapping[str, object]) -> str:
        """See `Signer.sign`. Raises Invalid for a key that PyJWT takes for a public one."""
        import jwt

        try:
            with _short_keys_allowed():
                return jwt.PyJWS().encode(msgspec.json.encode(claims), self.key.reveal(), algorithm=ALGORITHM, headers={"typ": "JWT"})
        except jwt.InvalidKeyError:
            raise Invalid("control.jwt_secret", "looks like a public key or a JWK", "Write 32 random characters or more") from None

    def is_signed(self, token: str) -> bool:
        """See `Signer.is_signed`."""
        import jwt

        try:
            with _short_keys_allowed():
                jwt.PyJWS().decode(token, self.key.reveal(), algorithms=[ALGORITHM])
        except (jwt.PyJWTError, ValueError, RecursionError):
            return False
        return True


@contextmanager
def _short_keys_allowed() -> Iterator[None]:
    """The operator is warned of a short key once, by `domain.settings.parse`, and not with every token."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
