"""Secrets at rest: both published forms, and what is said when the key is not the one."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clawgate.domain.errors import Invalid
from clawgate.system.secrets import SecretBox

KEY = bytes(range(32))


@pytest.fixture
def key_path(tmp_path: Path) -> str:
    path = tmp_path / ".secret_key"
    path.write_text(KEY.hex())
    path.chmod(0o600)
    return str(path)


def test_the_published_form_is_read(key_path: str) -> None:
    nonce = b"\x07" * 12
    text = "enc2:" + (nonce + ChaCha20Poly1305(KEY).encrypt(nonce, "schlüssel".encode(), None)).hex()

    assert SecretBox(key_path).decrypt("api_key", text) == "schlüssel"


def test_the_legacy_form_is_the_text_xored_with_the_key_repeated(key_path: str) -> None:
    clear = "sk-0123456789abcdef0123456789abcdef-longer-than-the-key"
    masked = bytes(byte ^ KEY[index % 32] for index, byte in enumerate(clear.encode()))

    assert SecretBox(key_path).decrypt("api_key", "enc:" + masked.hex()) == clear


def test_other_texts_pass_through_without_a_key(tmp_path: Path) -> None:
    assert SecretBox(str(tmp_path / "none")).decrypt("api_key", "sk-plain") == "sk-plain"


@given(st.text(max_size=50))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_what_is_encrypted_comes_back(key_path: str, text: str) -> None:
    sealed = SecretBox(key_path).encrypt(text)

    assert sealed.startswith("enc2:")
    assert len(sealed) == 5 + 2 * (12 + len(text.encode()) + 16)
    assert SecretBox(key_path).decrypt("p", sealed) == text


def test_the_key_is_made_when_first_needed_and_only_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / ".secret_key"
    sealed = SecretBox(str(path)).encrypt("x")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(bytes.fromhex(path.read_text())) == 32
    assert os.listdir(tmp_path) == [".secret_key"]
    assert SecretBox(str(path)).decrypt("p", sealed) == "x"


def test_equal_texts_are_sealed_differently(key_path: str) -> None:
    box = SecretBox(key_path)

    assert box.encrypt("x") != box.encrypt("x")


def test_a_missing_key_file_is_named_with_the_setting(tmp_path: Path) -> None:
    path = str(tmp_path / ".secret_key")

    with pytest.raises(Invalid) as caught:
        SecretBox(path).decrypt("channels_config.linq.api_token", "enc2:00")

    assert caught.value.path == "channels_config.linq.api_token"
    assert path in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize("content", ["", "abc", "00" * 31, "zz" * 32, "\xff"])
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / ".secret_key"
    path.write_text(content)

    with pytest.raises(Invalid, match="holds no key"):
        SecretBox(str(path)).encrypt("x")
    with pytest.raises(Invalid, match="holds no key"):
        SecretBox(str(path)).decrypt("p", "enc:00")


def test_another_key_is_refused_and_named(key_path: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("ab" * 32)
    sealed = SecretBox(key_path).encrypt("x")

    with pytest.raises(Invalid) as caught:
        SecretBox(str(other)).decrypt("api_key", sealed)

    assert (caught.value.path, str(other) in caught.value.problem) == ("api_key", True)


def test_every_truncation_and_every_flipped_digit_is_refused(key_path: str) -> None:
    box = SecretBox(key_path)
    sealed = box.encrypt("secret")

    for cut in range(len("enc2:"), len(sealed)):
        with pytest.raises(Invalid):
            box.decrypt("p", sealed[:cut])
    for index in range(len("enc2:"), len(sealed)):
        flipped = sealed[:index] + ("0" if sealed[index] != "0" else "1") + sealed[index + 1 :]
        with pytest.raises(Invalid):
            box.decrypt("p", flipped)


@given(st.text(max_size=80))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_stored_text_is_decrypted_or_refused(key_path: str, text: str) -> None:
    for prefix in ("enc2:", "enc:"):
        assert opened(SecretBox(key_path), prefix + text) in ("text", "refused at p")


def opened(box: SecretBox, text: str) -> str:
    try:
        return "text" if isinstance(box.decrypt("p", text), str) else "something else"
    except Invalid as refused:
        return f"refused at {refused.path}"
