"""Rows of the knowledge base and their SQL. Ring: edge. The records: domain/knowledge.py; schema: sql/0006_knowledge.sql."""

from __future__ import annotations

import json
import sqlite3

from clawgate.domain.knowledge import Chunk, Document, Group, Hit, Question
from clawgate.stores import fulltext
from clawgate.stores.operations import Params

_DOCUMENT = "id, title, filename, kind, categories, headings, size_bytes, chars, words, chunks, pages, low_text, hidden, created_ms, updated_ms"
_PLACES = ", ".join("?" * 15)
_GROUP = "id, name, description, color, created_ms"

ADD = f"INSERT INTO kb_documents ({_DOCUMENT}) VALUES ({_PLACES})"  # noqa: S608
CHANGE = f"UPDATE kb_documents SET ({_DOCUMENT}) = ({_PLACES}) WHERE id = ?"  # noqa: S608
COUNT = "SELECT count(*) FROM kb_documents"
SEQ = "SELECT seq FROM kb_documents WHERE id = ?"
GET = f"SELECT {_DOCUMENT} FROM kb_documents WHERE id = ?"  # noqa: S608
ALL = f"SELECT {_DOCUMENT} FROM kb_documents WHERE hidden = 0 ORDER BY seq DESC LIMIT ?"  # noqa: S608
OF_GROUP = (
    f"SELECT {_DOCUMENT} FROM kb_documents WHERE hidden = 0 AND seq IN "  # noqa: S608
    "(SELECT m.seq FROM kb_members m JOIN kb_groups g ON g.seq = m.group_seq WHERE g.id = ?) ORDER BY seq DESC LIMIT ?"
)
HIDE = "UPDATE kb_documents SET hidden = 1, updated_ms = ? WHERE id = ? AND hidden = 0"
REMOVE = (
    "DELETE FROM kb_chunks WHERE seq = ?",
    "DELETE FROM kb_originals WHERE seq = ?",
    "DELETE FROM kb_members WHERE seq = ?",
    "DELETE FROM kb_documents WHERE seq = ?",
)
ADD_ORIGINAL = "INSERT INTO kb_originals (seq, data) VALUES (?, ?)"
ORIGINAL = "SELECT o.data FROM kb_originals o JOIN kb_documents d ON d.seq = o.seq WHERE d.id = ?"
ADD_CHUNK = "INSERT INTO kb_chunks (seq, position, title, section, content) VALUES (?, ?, ?, ?, ?)"
REMOVE_CHUNKS = "DELETE FROM kb_chunks WHERE seq = ?"
CHUNKS = "SELECT c.section, c.content FROM kb_chunks c JOIN kb_documents d ON d.seq = c.seq WHERE d.id = ? ORDER BY c.position"
REBUILD = "INSERT INTO kb_index (kb_index) VALUES ('rebuild')"
TOTALS = "SELECT count(*), coalesce(sum(chunks), 0) FROM kb_documents WHERE hidden = 0"
SEARCH = """
    SELECT d.id, d.title, d.categories, c.section, c.position, c.content, bm25(kb_index, 3.0, 2.0, 1.0) AS score
    FROM kb_index JOIN kb_chunks c ON c.id = kb_index.rowid JOIN kb_documents d ON d.seq = c.seq
    WHERE kb_index MATCH ?1 AND d.hidden = 0
      AND (?2 = '' OR EXISTS (SELECT 1 FROM json_each(d.categories) WHERE value = ?2))
      AND (?3 = '[]' OR EXISTS (SELECT 1 FROM kb_members m JOIN kb_groups g ON g.seq = m.group_seq
                                WHERE m.seq = d.seq AND g.id IN (SELECT value FROM json_each(?3))))
    ORDER BY score, c.id LIMIT ?4
"""

ADD_GROUP = f"INSERT INTO kb_groups ({_GROUP}) VALUES (?, ?, ?, ?, ?)"  # noqa: S608
CHANGE_GROUP = f"UPDATE kb_groups SET ({_GROUP}) = (?, ?, ?, ?, ?) WHERE id = ?"  # noqa: S608
COUNT_GROUPS = "SELECT count(*) FROM kb_groups"
GROUP_SEQ = "SELECT seq FROM kb_groups WHERE id = ?"
GET_GROUP = f"SELECT {_GROUP} FROM kb_groups WHERE id = ?"  # noqa: S608
GROUPS = f"SELECT {_GROUP} FROM kb_groups ORDER BY name"  # noqa: S608
REMOVE_GROUP = ("DELETE FROM kb_members WHERE group_seq = ?", "DELETE FROM kb_groups WHERE seq = ?")
JOIN = "INSERT OR IGNORE INTO kb_members (group_seq, seq) VALUES (?, ?)"
LEAVE = "DELETE FROM kb_members WHERE group_seq = ? AND seq = ?"
MEMBERS = """
    SELECT g.id, d.id FROM kb_members m JOIN kb_groups g ON g.seq = m.group_seq JOIN kb_documents d ON d.seq = m.seq
    WHERE d.hidden = 0 ORDER BY g.name, d.seq LIMIT ?
"""


def document_row(document: Document) -> Params:
    """The parameters of `ADD`."""
    return (
        document.id,
        document.title,
        document.filename,
        document.kind,
        json.dumps(document.categories, ensure_ascii=False),
        json.dumps(document.headings, ensure_ascii=False),
        document.size_bytes,
        document.chars,
        document.words,
        document.chunks,
        document.pages,
        int(document.is_low_text),
        int(document.is_hidden),
        document.created_ms,
        document.updated_ms,
    )


def document_of(row: sqlite3.Row | tuple[object, ...]) -> Document:
    """The document of a row in the order of `GET`."""
    id_, title, filename, kind, categories, headings, size, chars, words, chunks, pages, low_text, hidden, created, updated = row
    return Document(
        id=str(id_),
        title=str(title),
        filename=str(filename),
        kind=str(kind),
        categories=tuple(json.loads(str(categories))),
        headings=tuple(json.loads(str(headings))),
        size_bytes=_int(size),
        chars=_int(chars),
        words=_int(words),
        chunks=_int(chunks),
        pages=None if pages is None else _int(pages),
        is_low_text=bool(low_text),
        is_hidden=bool(hidden),
        created_ms=_int(created),
        updated_ms=_int(updated),
    )


def chunk_rows(seq: int, title: str, chunks: tuple[Chunk, ...]) -> list[Params]:
    """The parameters of `ADD_CHUNK`, one for each."""
    return [(seq, position, title, chunk.section, chunk.text) for position, chunk in enumerate(chunks)]


def group_row(group: Group) -> Params:
    """The parameters of `ADD_GROUP`."""
    return (group.id, group.name, group.description, group.color, group.created_ms)


def group_of(row: tuple[str, str, str, str, int]) -> Group:
    """The group of a row in the order of `GET_GROUP`."""
    return Group(id=row[0], name=row[1], description=row[2], color=row[3], created_ms=row[4])


def search_params(question: Question) -> Params:
    """The parameters of `SEARCH`; words are quoted, so that none is syntax."""
    return (fulltext.quoted(question.words, " OR "), question.category, json.dumps(question.groups), question.top)


def hits_of(rows: list[tuple[str, str, str, str, int, str, float]], least: float) -> tuple[Hit, ...]:
    """Hits of rows in the order of `SEARCH`: bm25 is the more negative the better."""
    if not rows:
        return ()
    best = rows[0][6] or -1e-9
    found = (
        Hit(
            document=id_,
            title=title,
            categories=tuple(json.loads(categories)),
            section=section,
            position=position,
            text=text,
            similarity=round(min(max(score / best, 0.0), 1.0), 4),
        )
        for id_, title, categories, section, position, text, score in rows
    )
    return tuple(hit for hit in found if hit.similarity >= least)


def _int(value: object) -> int:
    assert isinstance(value, int)  # the columns are INTEGER NOT NULL
    return value
