"""The knowledge base's rows, and text out of files. Ring: ports. The errors of the store are those of `ports.stores`. Source: rantaiclaw.md §14."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from clawgate.domain.knowledge import Chunk, Document, Group, Hit, Question, Reading


class Knowledge(Protocol):
    """Documents, passages, groups. Hidden documents are in nothing that is found or listed."""

    def add(self, document: Document, chunks: Sequence[Chunk], original: bytes, groups: Sequence[str]) -> Deferred[None]:
        """Stores a document with everything in one commit; ids of groups that are gone meanwhile are skipped.

        Raises (errback):
            Conflict: there are `MOST_DOCUMENTS` already.
        """

    def replace(self, document: Document, chunks: Sequence[Chunk]) -> Deferred[None]:
        """The document's new record and passages. Raises (errback) NotFound."""

    def get(self, document_id: str) -> Deferred[Document | None]:
        """The document, or None."""

    def chunks(self, document_id: str) -> Deferred[tuple[Chunk, ...]]:
        """Its passages in order; empty for an unknown one."""

    def original(self, document_id: str) -> Deferred[bytes | None]:
        """What was uploaded, or None."""

    def documents(self, group_id: str, limit: int) -> Deferred[tuple[Document, ...]]:
        """Documents of a group ("" = all), newest first."""

    def hide(self, document_id: str, now_ms: int) -> Deferred[bool]:
        """Hides a document; whether there was one."""

    def remove(self, document_id: str) -> Deferred[bool]:
        """Removes a document, hidden or not, with everything that belongs to it; whether there was one."""

    def search(self, question: Question) -> Deferred[tuple[Hit, ...]]:
        """The best passages, best first."""

    def rebuild(self) -> Deferred[None]:
        """Makes the index anew from the passages."""

    def totals(self) -> Deferred[tuple[int, int]]:
        """How many documents and passages are found by a search."""

    def put_group(self, group: Group) -> Deferred[None]:
        """Stores or replaces a group under its id. Raises (errback) Conflict: the name is taken, or there are `MOST_GROUPS`."""

    def group(self, group_id: str) -> Deferred[Group | None]:
        """The group, or None."""

    def groups(self) -> Deferred[tuple[Group, ...]]:
        """All groups by name."""

    def remove_group(self, group_id: str) -> Deferred[bool]:
        """Removes a group, its documents stay; whether there was one."""

    def join(self, group_id: str, document_id: str) -> Deferred[None]:
        """Puts a document into a group; once is enough. Raises (errback) NotFound for either."""

    def leave(self, group_id: str, document_id: str) -> Deferred[bool]:
        """Takes it out; whether it was in."""

    def members(self, limit: int) -> Deferred[tuple[tuple[str, str], ...]]:
        """Group's id and document's id of each membership."""


class Extractor(Protocol):
    """Text out of files."""

    def kind(self, filename: str, media: str) -> str:
        """How a file is read, such as "pdf".

        Args:
            media: the content type its sender named, "" for none.

        Raises:
            UnsupportedFile: it cannot be.
        """

    def extract(self, kind: str, data: bytes) -> Deferred[Reading]:
        """Its text in passages.

        Raises (errback):
            ExtractionFailed: the file is broken, encrypted, or too much. Overloaded: too many files wait.
        """
