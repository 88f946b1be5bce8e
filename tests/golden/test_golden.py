"""Plays every transcript against a gateway in memory, and insists that every sentence of the contracts stands in one."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from clawgate.web.dialects import pairing_wire, root_wire
from tests.golden.transcripts import Player, files, is_updating, read, write


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_transcript(path: Path) -> None:
    player, exchanges = Player(), read(path)
    answers = [player.play(exchange) for exchange in exchanges]
    if is_updating():
        for exchange, answer in zip(exchanges, answers, strict=True):
            exchange.answer = answer
        write(path, exchanges)
    assert [(exchange.title, answer.decode()) for exchange, answer in zip(exchanges, answers, strict=True)] == [
        (exchange.title, exchange.answer.decode()) for exchange in read(path)
    ]


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_file_is_as_the_writer_writes_it(path: Path, tmp_path: Path) -> None:
    again = tmp_path / path.name
    write(again, read(path))
    assert again.read_text() == path.read_text()


def sentences(*modules: ModuleType) -> list[str]:
    return sorted({value for module in modules for name, value in vars(module).items() if name.isupper() and isinstance(value, str)})


@pytest.mark.parametrize("sentence", [*sentences(root_wire, pairing_wire), *root_wire._RATE_TEXTS.values()])
def test_every_sentence_of_the_dialects_stands_in_a_transcript(sentence: str) -> None:
    written = sentence.replace('"', '\\"')
    assert [path.stem for path in files() if f'"{written}"' in path.read_text()] != []


PUBLISHED = [
    '"status":"duplicate"',
    '"idempotent":true',
    "Invalid or expired pairing code",
    "Too many failed attempts. Try again in 300s.",
    "Too many attempts. Locked out for 300s",
    "Too many auth attempts. Try again in 300s.",
    "WhatsApp not configured",
    "Linq not configured",
    "Missing hub.challenge",
    "Forbidden",
    "Pairing successful",
    "Device not found",
    "Failed to deserialize query string: duplicate field `hub.mode`",
    '# Prometheus backend not enabled. Set [observability] backend = "prometheus" in config.',
    "Content-Type: text/plain; version=0.0.4; charset=utf-8",
    '"retry_after":60',
    "Retry-After: 60",
    "Allow: GET,HEAD,POST",
    "408 Request",
    "308 Permanent Redirect",
]
"""What the contracts print besides the sentences of the dialects."""


@pytest.mark.parametrize("text", PUBLISHED)
def test_every_published_literal_stands_in_a_transcript(text: str) -> None:
    assert [path.stem for path in files() if text in path.read_text()] != []
