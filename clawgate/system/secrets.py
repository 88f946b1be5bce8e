"""Secrets at rest: `enc2:` and the older `enc:`. Ring: system edge. Source: design §4.13.

    enc2:  hex of  12-byte nonce ‖ ciphertext ‖ 16-byte tag, ChaCha20-Poly1305, no associated data
    enc:   hex of  the UTF-8 text, XORed with the key, repeated; read, never written

The key is 32 bytes, as 64 hexadecimal digits in `.secret_key` beside config.toml, mode 0600.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable

from clawgate.domain.errors import Invalid

KEY_FILE = ".secret_key"
CURRENT, LEGACY = "enc2:", "enc:"
_KEY_BYTES, _NONCE_BYTES, _TAG_BYTES = 32, 12, 16
_MOST_KEY_CHARS = 4096
_Opener = Callable[[bytes, bytes], bytes]


class SecretBox:
    """Encrypts and decrypts with the key of one configuration, which is read when first needed."""

    def __init__(self, key_path: str) -> None:
        self._key_path = key_path
        self._key: bytes | None = None

    def decrypt(self, path: str, text: str) -> str:
        """The clear text of an `enc2:` or `enc:` text; any other text is returned as it is.

        Args:
            path: dotted path of the setting, for the error.

        Raises:
            Invalid: no key file, not a key, another key, or a damaged text; names the setting and the key file.
        """
        if text.startswith(CURRENT):
            return self._decrypt(path, text.removeprefix(CURRENT), self._open)
        if text.startswith(LEGACY):
            return self._decrypt(path, text.removeprefix(LEGACY), self._unmask)
        return text

    def encrypt(self, text: str) -> str:
        """The `enc2:` form of a text; the key file is made when there is none.

        Raises:
            Invalid: the key file holds no key. OSError: it cannot be made or read.
        """
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        key = self._key or self._load() or self._create()
        self._key = key
        nonce = os.urandom(_NONCE_BYTES)
        return CURRENT + (nonce + ChaCha20Poly1305(key).encrypt(nonce, text.encode(), None)).hex()

    def _decrypt(self, path: str, digits: str, how: _Opener) -> str:
        key = self._key_for(path)
        try:
            return how(key, bytes.fromhex(digits)).decode("utf-8")
        except ValueError:  # not hexadecimal, too short, a wrong tag, or no UTF-8
            remedy = f"Restore the {KEY_FILE} that it was written with, or write the secret anew"
            raise Invalid(path, f"cannot be decrypted with the key in {self._key_path}: another key, or a damaged text", remedy) from None

    def _key_for(self, path: str) -> bytes:
        if self._key is None:
            try:
                self._key = self._load()
            except OSError as problem:
                raise Invalid(
                    path, f"is encrypted, and {self._key_path} cannot be read ({problem.strerror})", "Give the daemon's user access to it"
                ) from None
        if self._key is None:
            remedy = f"Copy {KEY_FILE} from where the secret was encrypted, or write the secret anew"
            raise Invalid(path, f"is encrypted, and there is no {self._key_path}", remedy)
        return self._key

    def _load(self) -> bytes | None:
        try:
            with open(self._key_path, encoding="ascii", errors="replace") as file:
                digits = file.read(_MOST_KEY_CHARS).strip()
        except FileNotFoundError:
            return None
        try:
            key = bytes.fromhex(digits)
        except ValueError:
            key = b""
        if len(key) != _KEY_BYTES:
            raise Invalid(self._key_path, "holds no key", f"It must hold {2 * _KEY_BYTES} hexadecimal digits; restore it from a backup")
        return key

    def _create(self) -> bytes:
        """A new key, on disk before anything is encrypted with it; if another process was quicker, its key."""
        key = os.urandom(_KEY_BYTES)
        temporary = f"{self._key_path}.{os.getpid()}.{os.urandom(4).hex()}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(key.hex() + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, self._key_path)  # unlike rename, refuses to replace
        except FileExistsError:
            return self._load() or key
        finally:
            os.unlink(temporary)
        return key

    @staticmethod
    def _open(key: bytes, sealed: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        if len(sealed) < _NONCE_BYTES + _TAG_BYTES:
            raise ValueError("too short")
        try:
            return ChaCha20Poly1305(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
        except InvalidTag:
            raise ValueError("wrong tag") from None

    @staticmethod
    def _unmask(key: bytes, masked: bytes) -> bytes:
        return bytes(byte ^ mask for byte, mask in zip(masked, itertools.cycle(key), strict=False))
