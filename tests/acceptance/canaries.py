"""Canaries: texts that are nowhere else, one for each secret, and the search for them in everything a daemon leaves behind (design §6).

They look like nothing: what finds secrets by their shape does not find these, so each has to be kept by what it is.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sqlite3
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from clawgate.domain.settings.masking import is_secret_name

ENDS_CHARS = 14
"""Half of a secret is a leak too."""
MOST_BYTES = 1 << 28
_LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+\S* (?:debug|info|warn|error|critical) .*|  \| .*")


def canary(name: str) -> str:
    """The secret of that name: 30 letters and digits."""
    return "Qu" + hashlib.sha256(name.encode()).hexdigest()[:26] + "zX"


def forms(secret: str) -> set[bytes]:
    """A secret as it may stand somewhere: whole, its halves, escaped for a URL, JSON, hexadecimal, base64 at each of the three offsets."""
    texts = {secret, quote(secret, safe=""), json.dumps(secret)[1:-1]}
    if len(secret) >= 2 * ENDS_CHARS:
        texts |= {secret[:ENDS_CHARS], secret[-ENDS_CHARS:]}
    coded = {base64.b64encode(b"\0" * skip + secret.encode())[4 if skip else 0 : -4] for skip in range(3)}
    return {text.encode() for text in texts} | {secret.encode().hex().encode()} | {each for each in coded if len(each) > 12}


def found_in(secrets: Mapping[str, str], data: bytes) -> set[str]:
    """The names of the secrets that stand in these bytes, whatever the case."""
    low = data.lower()
    return {name for name, secret in secrets.items() if any(form.lower() in low for form in forms(secret))}


def configured(text: str) -> dict[str, str]:
    """The secrets of a config.toml by the names of their keys; none where it cannot be read."""
    try:
        return dict(_secrets("", tomllib.loads(text)))
    except tomllib.TOMLDecodeError:
        return {}


def _secrets(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _secrets(key, below)
    elif isinstance(value, str) and is_secret_name(name) and len(value) > ENDS_CHARS and not value.startswith("enc"):
        yield name, value


def told(secrets: Mapping[str, str], *folders: Path) -> set[str]:
    """`place: name` of every secret that stands in these files, or in files in these folders, as it is."""
    files = [path for folder in folders for path in (folder.rglob("*") if folder.is_dir() else [folder])]
    small = [path for path in files if path.is_file() and path.stat().st_size < MOST_BYTES]
    return {f"{path.name}: {name}" for path in small for data in [path.read_bytes()] for name, secret in secrets.items() if secret.encode() in data}


def log_lines(printed: str) -> str:
    """The log's lines of what a daemon printed, without what it says to its operator (the pairing code)."""
    return "\n".join(line for line in printed.splitlines() if _LOG_LINE.match(line))


def places(state: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below, byte by byte, and every row of every table that SQLite finds in them, the write-ahead log included."""
    for path in sorted(state.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(state)), path.read_bytes()
            if path.suffix in (".db", ".sqlite", ".sqlite3"):
                yield from rows(path)


def rows(path: Path) -> Iterator[tuple[str, bytes]]:
    """`(file:table, the row's values)`."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                yield f"{path.name}:{table}", b"\0".join(value if isinstance(value, bytes) else str(value).encode() for value in row)
