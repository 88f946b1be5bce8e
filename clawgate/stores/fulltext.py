"""Matching expressions for SQLite's full-text indexes. Ring: edge. Source: sqlite.org/fts5.html §3; indexes: sql/0003_sessions.sql.

What people type is never glued into an expression before it has been tried by itself: text that parses alone has balanced parentheses and quotes, so it
stays one expression between ours.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable

MOST_WORDS = 32
MOST_CHARS = 1_000
_WORDS = re.compile(r"\w+")


def tag(kind: str, value: str) -> str:
    """One word that stands for a value, as the triggers write it."""
    return f"{kind}{value.encode('utf-8', 'replace').hex().upper()}"


def quoted(words: Iterable[str], joint: str = " ") -> str:
    """Words without any meaning of their own; `joint` " " = all of them, " OR " = any. At most 32 count."""
    texts = [word.encode("utf-8", "replace").decode().replace("\0", "").replace('"', '""') for word in words][:MOST_WORDS]
    return joint.join(f'"{text}"' for text in texts if text)


def confined(expression: str, column: str, *terms: str) -> str:
    """An expression that is known to parse, for the column "content" only, and with terms that `column` must hold."""
    return " AND ".join((f"content : ({expression})", *(f"{column} : ({term})" for term in terms)))


def understood(connection: sqlite3.Connection, probe: str, query: str) -> str:
    """`query` when SQLite takes it for an expression, else its words, quoted; "" when there are none.

    What is longer than 1,000 characters or 32 words counts as words: nothing stops SQLite in the middle of an expression, and a thousand `NEAR(a* b*)` take
    hours.

    Args:
        probe: a statement with one parameter that matches it against the index.
    """
    query = query.encode("utf-8", "replace").decode().replace("\0", " ").strip()
    is_short = len(query) <= MOST_CHARS and len(_WORDS.findall(query)) <= MOST_WORDS
    try:
        if query and is_short and not query.startswith("*"):  # a star asks for the index's own commands
            connection.execute(probe, (query,)).fetchone()
            return query
    except sqlite3.OperationalError:
        pass  # not its syntax
    return quoted(query.split())
