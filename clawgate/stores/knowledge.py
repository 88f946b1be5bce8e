"""The knowledge base on SQLite, searched by FTS5. Ring: edge. Implements `ports.knowledge.Knowledge`. Source: rantaiclaw.md §14.

The index holds no text of its own (`content = 'kb_chunks'`): triggers keep it with the passages, in the same commit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import partial

import msgspec
from twisted.internet.defer import Deferred

from clawgate.domain.errors import Conflict, NotFound
from clawgate.domain.knowledge import MOST_DOCUMENTS, MOST_GROUPS, Chunk, Document, Group, Hit, Question
from clawgate.stores import knowledge_rows as rows
from clawgate.stores.readers import Readers
from clawgate.stores.writer import Writer


class SqliteKnowledge(msgspec.Struct, eq=False):
    """Documents, passages, groups."""

    writer: Writer
    readers: Readers

    def add(self, document: Document, chunks: Sequence[Chunk], original: bytes, groups: Sequence[str]) -> Deferred[None]:
        """`ports.knowledge.Knowledge.add`."""
        return self.writer.call(partial(_add, document=document, chunks=tuple(chunks), original=original, groups=tuple(groups)))

    def replace(self, document: Document, chunks: Sequence[Chunk]) -> Deferred[None]:
        """`ports.knowledge.Knowledge.replace`."""
        return self.writer.call(partial(_replace, document=document, chunks=tuple(chunks)))

    def get(self, document_id: str) -> Deferred[Document | None]:
        """`ports.knowledge.Knowledge.get`."""
        return self.readers.read(partial(_get, document_id=document_id))

    def chunks(self, document_id: str) -> Deferred[tuple[Chunk, ...]]:
        """`ports.knowledge.Knowledge.chunks`."""
        return self.readers.read(lambda connection: tuple(Chunk(*row) for row in connection.execute(rows.CHUNKS, (document_id,))))

    def original(self, document_id: str) -> Deferred[bytes | None]:
        """`ports.knowledge.Knowledge.original`."""
        return self.readers.read(partial(_original, document_id=document_id))

    def documents(self, group_id: str, limit: int) -> Deferred[tuple[Document, ...]]:
        """`ports.knowledge.Knowledge.documents`."""
        sql, params = (rows.OF_GROUP, (group_id, limit)) if group_id else (rows.ALL, (limit,))
        return self.readers.read(lambda connection: tuple(map(rows.document_of, connection.execute(sql, params))))

    def hide(self, document_id: str, now_ms: int) -> Deferred[bool]:
        """`ports.knowledge.Knowledge.hide`."""
        return self.writer.call(lambda connection: connection.execute(rows.HIDE, (now_ms, document_id)).rowcount > 0)

    def remove(self, document_id: str) -> Deferred[bool]:
        """`ports.knowledge.Knowledge.remove`."""
        return self.writer.call(partial(_remove, document_id=document_id))

    def search(self, question: Question) -> Deferred[tuple[Hit, ...]]:
        """`ports.knowledge.Knowledge.search`."""
        return self.readers.read(partial(_search, question=question))

    def rebuild(self) -> Deferred[None]:
        """`ports.knowledge.Knowledge.rebuild`."""
        return self.writer.statements((rows.REBUILD,), ((),), None)

    def totals(self) -> Deferred[tuple[int, int]]:
        """`ports.knowledge.Knowledge.totals`."""
        return self.readers.read(lambda connection: _pair(connection.execute(rows.TOTALS).fetchone()))

    def put_group(self, group: Group) -> Deferred[None]:
        """`ports.knowledge.Knowledge.put_group`."""
        return self.writer.call(partial(_put_group, group=group))

    def group(self, group_id: str) -> Deferred[Group | None]:
        """`ports.knowledge.Knowledge.group`."""
        return self.readers.read(partial(_group, group_id=group_id))

    def groups(self) -> Deferred[tuple[Group, ...]]:
        """`ports.knowledge.Knowledge.groups`."""
        return self.readers.read(lambda connection: tuple(map(rows.group_of, connection.execute(rows.GROUPS))))

    def remove_group(self, group_id: str) -> Deferred[bool]:
        """`ports.knowledge.Knowledge.remove_group`."""
        return self.writer.call(partial(_remove_group, group_id=group_id))

    def join(self, group_id: str, document_id: str) -> Deferred[None]:
        """`ports.knowledge.Knowledge.join`."""
        return self.writer.call(partial(_join, group_id=group_id, document_id=document_id))

    def leave(self, group_id: str, document_id: str) -> Deferred[bool]:
        """`ports.knowledge.Knowledge.leave`."""
        return self.writer.call(partial(_leave, group_id=group_id, document_id=document_id))

    def members(self, limit: int) -> Deferred[tuple[tuple[str, str], ...]]:
        """`ports.knowledge.Knowledge.members`."""
        return self.readers.read(lambda connection: tuple((group, document) for group, document in connection.execute(rows.MEMBERS, (limit,))))


def _add(connection: sqlite3.Connection, document: Document, chunks: tuple[Chunk, ...], original: bytes, groups: tuple[str, ...]) -> None:
    if connection.execute(rows.COUNT).fetchone()[0] >= MOST_DOCUMENTS:
        raise Conflict(f"there are {MOST_DOCUMENTS} documents already: delete some with ?hard=true")
    seq = connection.execute(rows.ADD, rows.document_row(document)).lastrowid or 0
    connection.execute(rows.ADD_ORIGINAL, (seq, original))
    connection.executemany(rows.ADD_CHUNK, rows.chunk_rows(seq, document.title, chunks))
    for group_id in groups:
        group_seq = _seq(connection, rows.GROUP_SEQ, group_id)
        if group_seq is not None:
            connection.execute(rows.JOIN, (group_seq, seq))


def _replace(connection: sqlite3.Connection, document: Document, chunks: tuple[Chunk, ...]) -> None:
    seq = _seq(connection, rows.SEQ, document.id)
    if seq is None:
        raise NotFound("no such document")
    connection.execute(rows.CHANGE, (*rows.document_row(document), document.id))
    connection.execute(rows.REMOVE_CHUNKS, (seq,))
    connection.executemany(rows.ADD_CHUNK, rows.chunk_rows(seq, document.title, chunks))


def _get(connection: sqlite3.Connection, document_id: str) -> Document | None:
    row = connection.execute(rows.GET, (document_id,)).fetchone()
    return None if row is None else rows.document_of(row)


def _original(connection: sqlite3.Connection, document_id: str) -> bytes | None:
    row = connection.execute(rows.ORIGINAL, (document_id,)).fetchone()
    return None if row is None else bytes(row[0])


def _remove(connection: sqlite3.Connection, document_id: str) -> bool:
    seq = _seq(connection, rows.SEQ, document_id)
    if seq is not None:
        for sql in rows.REMOVE:
            connection.execute(sql, (seq,))
    return seq is not None


def _search(connection: sqlite3.Connection, question: Question) -> tuple[Hit, ...]:
    if not question.words:
        return ()
    return rows.hits_of(connection.execute(rows.SEARCH, rows.search_params(question)).fetchall(), question.least)


def _put_group(connection: sqlite3.Connection, group: Group) -> None:
    try:
        if connection.execute(rows.CHANGE_GROUP, (*rows.group_row(group), group.id)).rowcount:
            return
        if connection.execute(rows.COUNT_GROUPS).fetchone()[0] >= MOST_GROUPS:
            raise Conflict(f"there are {MOST_GROUPS} groups already")
        connection.execute(rows.ADD_GROUP, rows.group_row(group))
    except sqlite3.IntegrityError:
        raise Conflict(f"a group is named `{group.name}` already") from None


def _group(connection: sqlite3.Connection, group_id: str) -> Group | None:
    row = connection.execute(rows.GET_GROUP, (group_id,)).fetchone()
    return None if row is None else rows.group_of(row)


def _remove_group(connection: sqlite3.Connection, group_id: str) -> bool:
    seq = _seq(connection, rows.GROUP_SEQ, group_id)
    if seq is not None:
        for sql in rows.REMOVE_GROUP:
            connection.execute(sql, (seq,))
    return seq is not None


def _join(connection: sqlite3.Connection, group_id: str, document_id: str) -> None:
    group_seq, seq = _seq(connection, rows.GROUP_SEQ, group_id), _seq(connection, rows.SEQ, document_id)
    if group_seq is None or seq is None:
        raise NotFound("no such group" if group_seq is None else "no such document")
    connection.execute(rows.JOIN, (group_seq, seq))


def _leave(connection: sqlite3.Connection, group_id: str, document_id: str) -> bool:
    group_seq, seq = _seq(connection, rows.GROUP_SEQ, group_id), _seq(connection, rows.SEQ, document_id)
    return connection.execute(rows.LEAVE, (group_seq, seq)).rowcount > 0


def _seq(connection: sqlite3.Connection, sql: str, id_: str) -> int | None:
    row = connection.execute(sql, (id_,)).fetchone()
    return None if row is None else int(row[0])


def _pair(row: tuple[int, int]) -> tuple[int, int]:
    return row[0], row[1]
