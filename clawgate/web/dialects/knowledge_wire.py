"""The knowledge base on `/api/v1/kb`: shapes and refusals. Ring: edge, under the domain rule. Source: rantaiclaw.md §1 (codes), §14."""

from __future__ import annotations

from collections.abc import Sequence

from clawgate.domain.errors import ExtractionFailed, GatewayError, SwitchedOff, UnsupportedFile
from clawgate.domain.knowledge import Chunk, Document, Group, Hit, context
from clawgate.domain.times import rfc3339
from clawgate.web.dialects import api_wire
from clawgate.web.dialects.root_wire import Refusal

INDEX = "sqlite-fts5-bm25"
"""What stands where upstream names an embedding model."""


def refusal(error: GatewayError) -> Refusal:
    """The answer to an error."""
    match error:
        case SwitchedOff():
            return api_wire.failure(503, "kb_disabled", str(error))
        case UnsupportedFile():
            return api_wire.failure(400, "unsupported_file_type", str(error))
        case ExtractionFailed():
            return api_wire.failure(502, "extraction_failed", str(error))
    return api_wire.refusal(error)


def found_object(hits: Sequence[Hit]) -> dict[str, object]:
    """What a search found: a text for a model, the documents it comes from, the passages."""
    sources = {(hit.document, hit.section): _source(hit) for hit in hits}
    return {"context": context(hits), "sources": list(sources.values()), "chunks": [_hit(hit) for hit in hits]}


def _source(hit: Hit) -> dict[str, object]:
    named: dict[str, object] = {"section": hit.section} if hit.section else {}
    return {"document_title": hit.title, "categories": list(hit.categories)} | named


def _hit(hit: Hit) -> dict[str, object]:
    return {
        "document_id": hit.document,
        "document_title": hit.title,
        "section": hit.section or None,
        "chunk_index": hit.position,
        "content": hit.text,
        "similarity": hit.similarity,
    }


def summary_object(document: Document) -> dict[str, object]:
    """One document in a list."""
    return {
        "id": document.id,
        "title": document.title,
        "filename": document.filename,
        "file_type": document.kind,
        "categories": list(document.categories),
        "chunk_count": document.chunks,
        "size_bytes": document.size_bytes,
        "created_at": rfc3339(document.created_ms),
        "updated_at": rfc3339(document.updated_ms),
    }


def document_object(document: Document, chunks: Sequence[Chunk]) -> dict[str, object]:
    """One document with its passages."""
    return summary_object(document) | {
        "chars_extracted": document.chars,
        "pages": document.pages,
        "low_text_density": document.is_low_text,
        "chunks": [{"chunk_index": index, "section": chunk.section or None, "content": chunk.text} for index, chunk in enumerate(chunks)],
    }


def stored_object(document: Document, elapsed_ms: int) -> dict[str, object]:
    """What an upload came to."""
    return {
        "document_id": document.id,
        "chunks_stored": document.chunks,
        "elapsed_ms": elapsed_ms,
        "chars_extracted": document.chars,
        "pages": document.pages,
        "low_text_density": document.is_low_text,
    }


def intelligence_object(document: Document) -> dict[str, object]:
    """What can be counted in a document."""
    return {
        "document_id": document.id,
        "title": document.title,
        "chunks": document.chunks,
        "chars": document.chars,
        "words": document.words,
        "pages": document.pages,
        "low_text_density": document.is_low_text,
        "headings": list(document.headings),
        "categories": list(document.categories),
    }


def group_object(group: Group) -> dict[str, object]:
    """One group."""
    return {
        "id": group.id,
        "name": group.name,
        "description": group.description or None,
        "color": group.color or None,
        "created_at": rfc3339(group.created_ms),
    }


def drift_object(documents: int, chunks: int) -> dict[str, object]:
    """Nothing drifts: there is one index, written with the passages."""
    return {"current_model": INDEX, "documents": [], "drifted": 0, "total_documents": documents, "total_chunks": chunks}


def rebuilt_object(documents: int, chunks: int, *, dry_run: bool) -> dict[str, object]:
    """What a re-embed did, or would do."""
    return {"model": INDEX, "documents": documents, "chunks": chunks, "re_embedded": 0 if dry_run else chunks, "dry_run": dry_run}


def graph_object(documents: Sequence[Document], groups: Sequence[Group], members: Sequence[tuple[str, str]]) -> dict[str, object]:
    """Documents and groups as nodes, memberships as edges."""
    nodes = [{"id": group.id, "type": "group", "label": group.name} for group in groups]
    nodes += [{"id": document.id, "type": "document", "label": document.title} for document in documents]
    return {"nodes": nodes, "edges": [{"source": group, "target": document, "type": "contains"} for group, document in members]}
