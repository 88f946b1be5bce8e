"""`/api/v1/kb`: documents, search, groups. Ring: edge (web). Source: rantaiclaw.md §14."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import msgspec

from clawgate.domain.caller import Scope
from clawgate.domain.errors import BadRequest
from clawgate.domain.knowledge import DEFAULT_TOP
from clawgate.services.knowledge import Knowledge, Upload
from clawgate.web.answers import Answer, json_answer
from clawgate.web.call import Call
from clawgate.web.dialects import knowledge_wire as wire
from clawgate.web.documented import FORM, documented
from clawgate.web.multipart import form
from clawgate.web.router import Router

_MULTIPART_BYTES = 64 * 1024
"""What a form may weigh besides its file."""
_DEFAULT_NODES, _MOST_NODES = 500, 5_000
_Name = Annotated[str, msgspec.Meta(max_length=2_000)]


class SearchBody(msgspec.Struct):
    """`POST search`."""

    query: str
    top: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = DEFAULT_TOP
    groups: tuple[str, ...] | None = None
    category: str | None = None
    min_similarity: float | None = None


class GroupBody(msgspec.Struct):
    """`POST groups`."""

    name: _Name
    description: _Name | None = None
    color: _Name | None = None


class GroupChange(msgspec.Struct):
    """`PUT groups/{id}`; what is absent stays."""

    name: _Name | None = None
    description: _Name | None = None
    color: _Name | None = None


class MemberBody(msgspec.Struct):
    """`POST groups/{id}/documents`."""

    document_id: str


class RebuildBody(msgspec.Struct):
    """`POST re-embed`; there is one index, so the rest is accepted and means nothing."""

    include_current: bool = False
    dry_run: bool = False
    batch_size: int | None = None


class KnowledgeSurface(msgspec.Struct):
    """The knowledge base's door.

    Attributes:
        most_bytes: largest document.
    """

    knowledge: Knowledge
    most_bytes: int

    def register(self, router: Router) -> None:
        """Adds the routes."""
        look = partial(router.add, auth=Scope.READ, limiter="api", dialect=wire.refusal)
        write = partial(router.add, auth=Scope.WRITE, limiter="api", dialect=wire.refusal)
        base, one, group = "/api/v1/kb", "/api/v1/kb/documents/<document_id>", "/api/v1/kb/groups/<group_id>"
        cap_bytes = self.most_bytes + _MULTIPART_BYTES
        look("POST", f"{base}/search", self.search, summary="Search the knowledge base")
        look("GET", f"{base}/documents", self.list_documents, summary="Documents of the knowledge base")
        write("POST", f"{base}/documents", self.upload, cap_bytes=cap_bytes, timed=False, summary="Upload a document")
        look("GET", one, self.show, summary="A document with its passages")
        write("DELETE", one, self.delete, summary="Hide a document, or remove it with ?hard=true")
        look("GET", f"{one}/intelligence", self.intelligence, summary="What can be counted in a document")
        write("POST", f"{one}/re-extract", self.re_extract, timed=False, summary="Read an uploaded file once more")
        look("GET", f"{base}/groups", self.list_groups, summary="Groups of documents")
        write("POST", f"{base}/groups", self.add_group, summary="Make a group")
        look("GET", group, self.show_group, summary="A group")
        write("PUT", group, self.change_group, summary="Change a group")
        write("DELETE", group, self.remove_group, summary="Remove a group; its documents stay")
        look("GET", f"{group}/documents", self.group_documents, summary="Documents of a group")
        write("POST", f"{group}/documents", self.join, summary="Put a document into a group")
        write("DELETE", f"{group}/documents/<document_id>", self.leave, summary="Take a document out of a group")
        look("GET", f"{base}/drift", self.drift, summary="Whether the index fits the documents")
        write("POST", f"{base}/re-embed", self.rebuild, timed=False, summary="Make the index anew")
        look("GET", f"{base}/graph", self.graph, summary="Documents and groups as nodes and edges")

    @documented(body=SearchBody)
    async def search(self, call: Call) -> Answer:
        """A blank query is refused before it is asked whether there is a knowledge base at all, as upstream."""
        body = call.json(SearchBody)
        if not body.query.strip():
            raise BadRequest("query must not be blank")
        hits = await self.knowledge.search(
            body.query,
            top=body.top or DEFAULT_TOP,
            groups=body.groups or (),
            category=body.category or "",
            least=body.min_similarity or 0.0,
        )
        return json_answer(200, wire.found_object(hits))

    async def list_documents(self, call: Call) -> Answer:
        """A bare list, newest first; `organization` is accepted, there is one."""
        return json_answer(200, [wire.summary_object(document) for document in await self.knowledge.documents()])

    @documented(takes=FORM)
    async def upload(self, call: Call) -> Answer:
        """A form with `file` and, if its sender likes, `title`, `categories` and `groups`."""
        self.knowledge.check_enabled()
        found = form(call)
        file = found.files.get("file")
        if file is None:
            raise BadRequest("the form has no file named `file`")
        if len(file.data) > self.most_bytes:
            raise BadRequest(f"the file is larger than {self.most_bytes} bytes")
        stored = await self.knowledge.add(
            Upload(
                filename=file.name,
                media=file.media,
                data=file.data,
                title=found.fields.get("title", ""),
                categories=_listed(found.fields.get("categories", "")),
                groups=_listed(found.fields.get("groups", "")),
            )
        )
        return json_answer(200, wire.stored_object(stored.document, stored.elapsed_ms))

    async def show(self, call: Call) -> Answer:
        """With its passages."""
        shown = await self.knowledge.show(_document(call))
        return json_answer(200, wire.document_object(shown.document, shown.chunks))

    @documented(query={"hard": bool})
    async def delete(self, call: Call) -> Answer:
        """Hidden, or gone with `?hard=true`."""
        is_hard = call.flag("hard")
        await self.knowledge.delete(_document(call), hard=is_hard)
        return json_answer(200, {"id": _document(call), "mode": "hard" if is_hard else "soft"})

    async def intelligence(self, call: Call) -> Answer:
        """Counted, not guessed."""
        return json_answer(200, wire.intelligence_object(await self.knowledge.document(_document(call))))

    async def re_extract(self, call: Call) -> Answer:
        """As an upload answers."""
        stored = await self.knowledge.re_extract(_document(call))
        return json_answer(200, wire.stored_object(stored.document, stored.elapsed_ms))

    async def list_groups(self, call: Call) -> Answer:
        """A bare list by name."""
        return json_answer(200, [wire.group_object(group) for group in await self.knowledge.groups()])

    @documented(body=GroupBody)
    async def add_group(self, call: Call) -> Answer:
        """The new group."""
        body = call.json(GroupBody)
        return json_answer(200, wire.group_object(await self.knowledge.put_group(None, body.name, body.description, body.color)))

    async def show_group(self, call: Call) -> Answer:
        """One group."""
        return json_answer(200, wire.group_object(await self.knowledge.group(_group(call))))

    @documented(body=GroupChange)
    async def change_group(self, call: Call) -> Answer:
        """The group as it is now."""
        body = call.json(GroupChange)
        return json_answer(200, wire.group_object(await self.knowledge.put_group(_group(call), body.name, body.description, body.color)))

    async def remove_group(self, call: Call) -> Answer:
        """Gone."""
        await self.knowledge.remove_group(_group(call))
        return json_answer(200, {"id": _group(call), "deleted": True})

    async def group_documents(self, call: Call) -> Answer:
        """As the list of all documents."""
        group = await self.knowledge.group(_group(call))
        return json_answer(200, [wire.summary_object(document) for document in await self.knowledge.documents(group.id)])

    @documented(body=MemberBody)
    async def join(self, call: Call) -> Answer:
        """Once is enough."""
        await self.knowledge.join(_group(call), call.json(MemberBody).document_id)
        return json_answer(200, {"ok": True})

    async def leave(self, call: Call) -> Answer:
        """Out of the group, not out of the base."""
        await self.knowledge.leave(_group(call), _document(call))
        return json_answer(200, {"ok": True})

    async def drift(self, call: Call) -> Answer:
        """Nothing ever does."""
        return json_answer(200, wire.drift_object(*await self.knowledge.totals()))

    @documented(body=RebuildBody, is_needed=False)
    async def rebuild(self, call: Call) -> Answer:
        """What was done, or would be."""
        body = call.json(RebuildBody) if call.body else RebuildBody()
        documents, chunks = await self.knowledge.rebuild(dry_run=body.dry_run)
        return json_answer(200, wire.rebuilt_object(documents, chunks, dry_run=body.dry_run))

    @documented(query={"limit": int, "group": str})
    async def graph(self, call: Call) -> Answer:
        """At most 5000 documents."""
        found = await self.knowledge.graph(call.query("group") or "", call.number("limit", _DEFAULT_NODES, most=_MOST_NODES))
        return json_answer(200, wire.graph_object(found.documents, found.groups, found.members))


def _document(call: Call) -> str:
    return str(call.values["document_id"])


def _group(call: Call) -> str:
    return str(call.values["group_id"])


def _listed(text: str) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in text.split(",") if entry.strip())
