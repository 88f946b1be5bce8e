"""The knowledge base: documents in, passages out. Ring: services. Source: rantaiclaw.md §14."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from twisted.internet.defer import CancelledError

from clawgate.domain.errors import BadRequest, ExtractionFailed, NotFound, SwitchedOff
from clawgate.domain.knowledge import (
    MOST_TOP,
    Chunk,
    Document,
    Group,
    Hit,
    Question,
    Reading,
    words,
)
from clawgate.domain.settings.model import KnowledgeSettings
from clawgate.ports.clock import Clock, Ids
from clawgate.ports.knowledge import Extractor
from clawgate.ports.knowledge import Knowledge as Rows
from clawgate.services.deadlines import Expired, within
from clawgate.services.events import Events

EXTRACTION_SECONDS = 120.0
MOST_LISTED = 10_000
_MOST_NAME_CHARS = 200
_MOST_CATEGORIES = 32


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it came.

    Attributes:
        title: "" = the file's own, else its name.
        groups: ids or names.
    """

    filename: str
    media: str
    data: bytes
    title: str = ""
    categories: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class Stored(msgspec.Struct, frozen=True):
    """What an upload came to."""

    document: Document
    elapsed_ms: int


class DocumentDetail(msgspec.Struct, frozen=True):
    """A document with its text, passage by passage."""

    document: Document
    chunks: tuple[Chunk, ...]


class Graph(msgspec.Struct, frozen=True):
    """Documents, groups, and which is in which (group's id, document's id)."""

    documents: tuple[Document, ...]
    groups: tuple[Group, ...]
    members: tuple[tuple[str, str], ...]


class Knowledge(msgspec.Struct):
    """Documents that the agent can look things up in; every method raises SwitchedOff while `[knowledge] enabled` is off."""

    rows: Rows
    extractor: Extractor
    clock: Clock
    ids: Ids
    events: Events
    settings: Callable[[], KnowledgeSettings]

    @property
    def is_enabled(self) -> bool:
        """Whether it is switched on now."""
        return self.settings().enabled

    async def search(self, query: str, *, top: int, groups: Sequence[str] = (), category: str = "", least: float = 0.0) -> tuple[Hit, ...]:
        """The best passages, best first; empty when nothing has a word of the query.

        Args:
            groups: ids or names; one that does not exist finds nothing.
        """
        self.check_enabled()
        known = await self._group_ids(groups, strict=False)
        if groups and not known:
            return ()
        return await self.rows.search(
            Question(words=words(query), top=max(1, min(top, MOST_TOP)), groups=known, category=category, least=min(max(least, 0.0), 1.0))
        )

    async def add(self, upload: Upload) -> Stored:
        """Reads a file and stores it with its passages.

        Raises:
            UnsupportedFile, ExtractionFailed: as the extractor. BadRequest: a group that does not exist. Conflict: there are too many documents.
        """
        self.check_enabled()
        began = self.clock.monotonic()
        kind = self.extractor.kind(upload.filename, upload.media)
        groups = await self._group_ids(upload.groups, strict=True)
        reading = await self._extract(kind, upload.data)
        now_ms = self.clock.wall_ms()
        document = _described(
            Document(
                id=self.ids.uuid(),
                title=_name(upload.title) or _name(reading.title) or _name(upload.filename.rpartition(".")[0]) or "untitled",
                filename=_name(upload.filename) or f"upload.{kind}",
                kind=kind,
                categories=_categories(upload.categories),
                size_bytes=len(upload.data),
                chars=0,
                words=0,
                chunks=0,
                pages=None,
                is_low_text=False,
                created_ms=now_ms,
                updated_ms=now_ms,
            ),
            reading,
        )
        await self.rows.add(document, reading.chunks, upload.data, groups)
        self.events.publish("kb_document_added", {"id": document.id})
        return Stored(document, int((self.clock.monotonic() - began) * 1000))

    async def re_extract(self, document_id: str) -> Stored:
        """Reads what was uploaded once more and replaces the passages. Raises as `add`, and NotFound."""
        self.check_enabled()
        began = self.clock.monotonic()
        document = await self.document(document_id)
        original = await self.rows.original(document_id)
        if original is None:
            raise NotFound("no such document")
        reading = await self._extract(document.kind, original)
        changed = msgspec.structs.replace(_described(document, reading), updated_ms=self.clock.wall_ms())
        await self.rows.replace(changed, reading.chunks)
        return Stored(changed, int((self.clock.monotonic() - began) * 1000))

    async def documents(self, group: str = "") -> tuple[Document, ...]:
        """Everything there is (in a group), newest first."""
        self.check_enabled()
        return await self.rows.documents(group, MOST_LISTED)

    async def document(self, document_id: str) -> Document:
        """One that is not hidden. Raises NotFound."""
        self.check_enabled()
        found = await self.rows.get(document_id)
        if found is None or found.is_hidden:
            raise NotFound("no such document")
        return found

    async def show(self, document_id: str) -> DocumentDetail:
        """A document with its passages. Raises NotFound."""
        document = await self.document(document_id)
        return DocumentDetail(document, await self.rows.chunks(document_id))

    async def delete(self, document_id: str, *, hard: bool) -> None:
        """Hides a document, or removes it (one that is hidden too). Raises NotFound."""
        self.check_enabled()
        gone = await (self.rows.remove(document_id) if hard else self.rows.hide(document_id, self.clock.wall_ms()))
        if not gone:
            raise NotFound("no such document")
        self.events.publish("kb_document_deleted", {"id": document_id, "hard": hard})

    async def totals(self) -> tuple[int, int]:
        """How many documents and passages are found by a search."""
        self.check_enabled()
        return await self.rows.totals()

    async def rebuild(self, *, dry_run: bool) -> tuple[int, int]:
        """Makes the index anew, unless it is a rehearsal; how many documents and passages are in it."""
        totals = await self.totals()
        if not dry_run:
            await self.rows.rebuild()
        return totals

    async def groups(self) -> tuple[Group, ...]:
        """All groups by name."""
        self.check_enabled()
        return await self.rows.groups()

    async def group(self, group_id: str) -> Group:
        """One group. Raises NotFound."""
        self.check_enabled()
        found = await self.rows.group(group_id)
        if found is None:
            raise NotFound("no such group")
        return found

    async def put_group(self, group_id: str | None, name: str | None, description: str | None, color: str | None) -> Group:
        """Makes a group, or changes what is not None of one.

        Raises:
            BadRequest: it has no name. Conflict: another has it. NotFound.
        """
        self.check_enabled()
        if group_id is None:
            before = Group(id=self.ids.uuid(), name="", created_ms=self.clock.wall_ms())
        else:
            before = await self.group(group_id)
        after = msgspec.structs.replace(
            before,
            name=before.name if name is None else _name(name),
            description=before.description if description is None else description[:2_000],
            color=before.color if color is None else _name(color)[:64],
        )
        if not after.name:
            raise BadRequest("name is required")
        await self.rows.put_group(after)
        return after

    async def remove_group(self, group_id: str) -> None:
        """Its documents stay. Raises NotFound."""
        self.check_enabled()
        if not await self.rows.remove_group(group_id):
            raise NotFound("no such group")

    async def join(self, group_id: str, document_id: str) -> None:
        """Puts a document into a group. Raises NotFound for either."""
        await self.document(document_id)
        await self.rows.join(group_id, document_id)

    async def leave(self, group_id: str, document_id: str) -> None:
        """Takes it out. Raises NotFound when it is not in."""
        self.check_enabled()
        if not await self.rows.leave(group_id, document_id):
            raise NotFound("no such member")

    async def graph(self, group: str, limit: int) -> Graph:
        """At most `limit` documents, newest first, with their groups."""
        self.check_enabled()
        documents = await self.rows.documents(group, limit)
        ids = {document.id for document in documents}
        members = tuple(pair for pair in await self.rows.members(10 * MOST_LISTED) if pair[1] in ids and group in ("", pair[0]))
        return Graph(documents, tuple(each for each in await self.rows.groups() if group in ("", each.id)), members)

    async def _extract(self, kind: str, data: bytes) -> Reading:
        try:
            return await within(self.extractor.extract(kind, data), EXTRACTION_SECONDS, self.clock)
        except CancelledError:
            raise
        except Expired:
            raise ExtractionFailed("the file takes too long to read") from None

    async def _group_ids(self, named: Sequence[str], *, strict: bool) -> tuple[str, ...]:
        wanted = [text.strip() for text in named if text.strip()]
        if not wanted:
            return ()
        known = {key: group.id for group in await self.rows.groups() for key in (group.name, group.id)}
        missing = [text for text in wanted if text not in known]
        if missing and strict:
            raise BadRequest(f"no such group: {missing[0][:64]}")
        return tuple(dict.fromkeys(known[text] for text in wanted if text in known))

    def check_enabled(self) -> None:
        """Raises SwitchedOff while it is off."""
        if not self.is_enabled:
            raise SwitchedOff("knowledge")


def _described(document: Document, reading: Reading) -> Document:
    return msgspec.structs.replace(
        document,
        headings=reading.headings,
        chars=reading.chars,
        words=reading.words,
        chunks=len(reading.chunks),
        pages=reading.pages,
        is_low_text=reading.is_low_text,
    )


def _name(text: str) -> str:
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())[:_MOST_NAME_CHARS]


def _categories(named: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for text in named if (name := _name(text)[:64])))[:_MOST_CATEGORIES]
