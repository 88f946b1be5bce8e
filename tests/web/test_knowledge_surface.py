"""`/api/v1/kb` through the whole gateway, with real files. Source: rantaiclaw.md §14."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.web.http_headers import Headers

from clawgate.domain.caller import Caller
from clawgate.domain.errors import GatewayError
from clawgate.domain.knowledge import MOST_GROUPS, Reading
from clawgate.domain.settings.model import KnowledgeSettings, Settings
from clawgate.domain.tools import ToolContext, ToolResult
from clawgate.services.events import Events
from clawgate.services.knowledge import Knowledge
from clawgate.services.knowledge_tools import KnowledgeTools
from clawgate.testing.gateway import MemoryGateway, Response
from clawgate.web.call import Call
from clawgate.web.multipart import MOST_PARTS, form
from tests.system.test_extraction import pdf
from tests.web.gate import with_gateway

ON = with_gateway(Settings(knowledge=KnowledgeSettings(enabled=True)), api_rate_limit_per_minute=0, pair_rate_limit_per_minute=0)
MANUAL = b"""# Kettle manual

## Safety
Never open the lid while the water boils.

## Descaling
Fill the kettle with vinegar and water, wait an hour, then rinse it twice.
"""
BOUNDARY = "----clawgate"


def multipart(*parts: tuple[str, bytes], close: bool = True) -> bytes:
    """A form; each part's head after `form-data; `, and its body."""
    pieces = [f"--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + body + b"\r\n" for head, body in parts]
    return b"".join(pieces) + (f"--{BOUNDARY}--\r\n".encode() if close else b"")


class Base:
    """A knowledge base and a client that may do everything."""

    def __init__(self, chosen: Settings = ON, **options: Any) -> None:  # as MemoryGateway
        self.gate = MemoryGateway(chosen, **options)
        self.token = self.gate.pair()

    def ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Response:
        return self.gate.client.request(method, f"/api/v1/kb{path}", body if body is not None else b"", token=self.token)

    def ok(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:  # decoded JSON
        answer = self.ask(method, path, body)
        assert answer.status == 200, answer.body
        return answer.json

    def post_form(self, body: bytes, content_type: str = f"multipart/form-data; boundary={BOUNDARY}") -> Response:
        return self.gate.client.post("/api/v1/kb/documents", body, token=self.token, headers={"Content-Type": content_type})

    def upload(self, name: str, data: bytes, **fields: str) -> Any:  # decoded JSON
        parts = [(f'name="{field}"', text.encode()) for field, text in fields.items()]
        answer = self.post_form(multipart((f'name="file"; filename="{name}"', data), *parts))
        assert answer.status == 200, answer.body
        return answer.json

    def found(self, query: str, **more: object) -> list[tuple[str, str | None]]:
        chunks = self.ok("POST", "/search", {"query": query, **more})["chunks"]
        return [(chunk["document_title"], chunk["section"]) for chunk in chunks]


def test_markdown_is_uploaded_found_shown_and_removed() -> None:
    base = Base()
    stored = base.upload("kettle.md", MANUAL)
    id_ = stored["document_id"]
    assert stored == {
        "document_id": id_,
        "chunks_stored": 2,
        "elapsed_ms": 0,
        "chars_extracted": len(MANUAL),
        "pages": None,
        "low_text_density": False,
    }
    answer = base.ok("POST", "/search", {"query": "how do I descale with vinegar?"})
    assert answer["sources"][0] == {"document_title": "Kettle manual", "section": "Descaling", "categories": []}
    assert answer["chunks"][0]["similarity"] == 1.0
    assert answer["chunks"][0]["document_id"] == id_
    assert "Fill the kettle with vinegar" in answer["context"]
    shown = base.ok("GET", f"/documents/{id_}")
    assert (shown["title"], shown["file_type"], shown["size_bytes"]) == ("Kettle manual", "md", len(MANUAL))
    assert [chunk["section"] for chunk in shown["chunks"]] == ["Safety", "Descaling"]
    assert base.ok("DELETE", f"/documents/{id_}?hard=true") == {"id": id_, "mode": "hard"}
    assert base.found("vinegar") == []
    assert base.ask("GET", f"/documents/{id_}").status == 404


def test_pdf_is_uploaded_and_found() -> None:
    base = Base()
    stored = base.upload("animals.pdf", pdf("Otters swim on their backs and sleep holding hands.", "Herons stand still for hours and wait for fish."))
    assert (stored["pages"], stored["low_text_density"]) == (2, False)
    assert base.found("heron standing") == [("animals", None)]


def test_scan_is_stored_and_said_to_be_low() -> None:
    stored = Base().upload("scan.pdf", pdf(""))
    assert (stored["chunks_stored"], stored["low_text_density"], stored["pages"]) == (0, True, 1)


def test_document_over_the_ordinary_cap_is_taken() -> None:
    base = Base()
    assert base.upload("long.txt", b"needle. " + b"hay " * 50_000)["chars_extracted"] == 200_008
    assert base.found("needle", top=1) == [("long", None)]


def test_largest_document_is_a_setting() -> None:
    base = Base(msgspec.structs.replace(ON, knowledge=KnowledgeSettings(enabled=True, max_document_bytes=1_000)))
    assert base.post_form(multipart(('name="file"; filename="a.txt"', b"x" * 1_001))).status == 400
    assert base.post_form(multipart(('name="file"; filename="a.txt"', b"x" * 100_000))).status == 413
    assert base.ask("POST", "/search", {"query": "x" * 65_536}).status == 413


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/search", {"query": "x"}),
        ("GET", "/documents", None),
        ("POST", "/documents", None),
        ("GET", "/documents/x", None),
        ("DELETE", "/documents/x", None),
        ("GET", "/documents/x/intelligence", None),
        ("POST", "/documents/x/re-extract", None),
        ("GET", "/groups", None),
        ("POST", "/groups", {"name": "x"}),
        ("GET", "/groups/x", None),
        ("PUT", "/groups/x", {"name": "x"}),
        ("DELETE", "/groups/x", None),
        ("GET", "/groups/x/documents", None),
        ("POST", "/groups/x/documents", {"document_id": "x"}),
        ("DELETE", "/groups/x/documents/y", None),
        ("GET", "/drift", None),
        ("POST", "/re-embed", {}),
        ("GET", "/graph", None),
    ],
)
def test_everything_is_a_503_while_it_is_off_and_says_how_to_turn_it_on(method: str, path: str, body: dict[str, object] | None) -> None:
    answer = Base(Settings()).ask(method, path, body)
    assert (answer.status, answer.json) == (503, {"error": "kb_disabled", "detail": "set [knowledge] enabled = true in config.toml"})


def test_no_key_of_an_embedding_service_is_needed() -> None:
    assert ON.knowledge.embedding_api_key is None
    base = Base()
    base.upload("a.txt", b"otters")
    assert base.found("otter") == [("a", None)]


def test_blank_query_is_refused_even_while_it_is_off() -> None:
    assert Base(Settings()).ask("POST", "/search", {"query": " \n"}).json == {"error": "bad_request", "detail": "query must not be blank"}


@pytest.mark.parametrize("query", ['"', "*", "NEAR(", "a AND", "title:x", "^x", "{x}:", "-", "'; DROP TABLE kb_chunks", "\U0001f9a6", "x" * 9_000])
def test_query_is_never_syntax(query: str) -> None:
    base = Base()
    base.upload("a.txt", b"otters drop by")
    assert base.ask("POST", "/search", {"query": query}).status == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 422), ({"query": 1}, 422), ({"query": "x", "top": -1}, 422), ({"query": "x", "groups": "a"}, 422), ({"query": "x", "top": 999}, 200)],
)
def test_search_body_has_a_shape(body: dict[str, object], status: int) -> None:
    assert Base().ask("POST", "/search", body).status == status


def test_search_is_narrowed_by_category_group_number_and_similarity() -> None:
    base = Base()
    first = base.upload("a.txt", b"otters otters otters", title="A", categories="animals, wet")["document_id"]
    base.upload("b.txt", b"otters and a great many other things that have nothing to do with them at all", title="B", categories="things")
    group = base.ok("POST", "/groups", {"name": "zoo"})["id"]
    base.ok("POST", f"/groups/{group}/documents", {"document_id": first})
    assert base.found("otters") == [("A", None), ("B", None)]
    assert base.found("otters", top=1) == [("A", None)]
    assert base.found("otters", category="things") == [("B", None)]
    assert base.found("otters", category="thing") == []
    assert base.found("otters", groups=[group]) == base.found("otters", groups=["zoo"]) == [("A", None)]
    assert base.found("otters", groups=["nothing"]) == []
    assert base.found("otters", min_similarity=1.0) == [("A", None)]


@pytest.mark.parametrize(("path", "mode", "is_kept"), [("", "soft", True), ("?hard=false", "soft", True), ("?hard=true", "hard", False)])
def test_deleted_document_is_found_nowhere_and_a_soft_one_can_still_be_removed(path: str, mode: str, is_kept: bool) -> None:
    base = Base()
    id_ = base.upload("a.txt", b"otters")["document_id"]
    group = base.ok("POST", "/groups", {"name": "zoo"})["id"]
    base.ok("POST", f"/groups/{group}/documents", {"document_id": id_})
    assert base.ok("DELETE", f"/documents/{id_}{path}") == {"id": id_, "mode": mode}
    assert base.found("otters") == base.ok("GET", "/documents") == base.ok("GET", f"/groups/{group}/documents") == []
    assert base.ok("GET", "/graph")["edges"] == []
    assert [base.ask("GET", f"/documents/{id_}").status, base.ask("DELETE", f"/documents/{id_}").status] == [404, 404]
    assert base.ask("DELETE", f"/documents/{id_}?hard=true").status == (200 if is_kept else 404)


def test_hard_must_be_a_truth_value() -> None:
    assert Base().ask("DELETE", "/documents/x?hard=maybe").status == 400


def test_documents_are_a_bare_list_newest_first() -> None:
    base = Base()
    base.upload("a.txt", b"one", title="First", categories="x")
    base.upload("b.html", b"<title>Second</title><p>two")
    listed = base.ok("GET", "/documents")
    assert [(each["title"], each["filename"], each["file_type"], each["categories"]) for each in listed] == [
        ("Second", "b.html", "html", []),
        ("First", "a.txt", "txt", ["x"]),
    ]


def test_organization_is_no_filter() -> None:
    base = Base()
    id_ = base.upload("a.txt", b"one")["document_id"]
    assert [[each["id"] for each in base.ok("GET", f"/documents{query}")] for query in ("", "?organization=acme", "?organization=")] == [[id_]] * 3


def test_intelligence_counts() -> None:
    base = Base()
    id_ = base.upload("kettle.md", MANUAL, categories="home")["document_id"]
    told = base.ok("GET", f"/documents/{id_}/intelligence")
    assert (told["headings"], told["chunks"], told["words"], told["categories"]) == (["Kettle manual", "Safety", "Descaling"], 2, 26, ["home"])


def test_re_extract_reads_the_original_once_more() -> None:
    base = Base()
    id_ = base.upload("kettle.md", MANUAL)["document_id"]
    assert base.ok("POST", f"/documents/{id_}/re-extract")["chunks_stored"] == 2
    assert base.found("vinegar", top=1) == [("Kettle manual", "Descaling")]
    assert base.ask("POST", "/documents/none/re-extract").status == 404


def test_re_embed_makes_the_index_anew_and_a_rehearsal_does_not() -> None:
    base = Base()
    base.upload("kettle.md", MANUAL)
    expected = {"model": "sqlite-fts5-bm25", "documents": 1, "chunks": 2, "re_embedded": 2, "dry_run": False}
    assert base.ok("POST", "/re-embed", {"include_current": True, "dry_run": False, "batch_size": 5}) == expected
    assert base.ok("POST", "/re-embed") == expected
    assert base.ok("POST", "/re-embed", {"dry_run": True})["re_embedded"] == 0
    assert base.found("vinegar", top=1) == [("Kettle manual", "Descaling")]
    assert base.ok("GET", "/drift") == {
        "current_model": "sqlite-fts5-bm25",
        "documents": [],
        "drifted": 0,
        "total_documents": 1,
        "total_chunks": 2,
    }


def test_groups_are_made_changed_listed_and_removed() -> None:
    base = Base()
    made = base.ok("POST", "/groups", {"name": "zoo", "description": "animals", "color": "#fff"})
    assert {**made, "id": "", "created_at": ""} == {"id": "", "name": "zoo", "description": "animals", "color": "#fff", "created_at": ""}
    base.ok("POST", "/groups", {"name": "ark"})
    path = f"/groups/{made['id']}"
    assert base.ok("PUT", path, {"description": ""}) == {**made, "description": None} == base.ok("GET", path)
    assert [group["name"] for group in base.ok("GET", "/groups")] == ["ark", "zoo"]
    assert base.ok("DELETE", path) == {"id": made["id"], "deleted": True}
    assert [base.ask(method, path, body).status for method, body in (("GET", None), ("DELETE", None), ("PUT", {"name": "x"}))] == [404] * 3


@pytest.mark.parametrize(
    ("body", "status", "code"), [({"name": " "}, 400, "bad_request"), ({"name": "zoo"}, 409, "conflict"), ({}, 422, "unprocessable")]
)
def test_group_needs_a_name_of_its_own(body: dict[str, object], status: int, code: str) -> None:
    base = Base()
    base.ok("POST", "/groups", {"name": "zoo"})
    answer = base.ask("POST", "/groups", body)
    assert (answer.status, answer.json["error"]) == (status, code)


def test_groups_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clawgate.stores.knowledge.MOST_GROUPS", 2)
    base = Base()
    assert [base.ask("POST", "/groups", {"name": str(number)}).status for number in range(3)] == [200, 200, 409]
    assert MOST_GROUPS > 2


def test_documents_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clawgate.stores.knowledge.MOST_DOCUMENTS", 1)
    base = Base()
    base.upload("a.txt", b"x")
    assert base.post_form(multipart(('name="file"; filename="b.txt"', b"x"))).status == 409


def test_membership_comes_and_goes_and_the_graph_shows_it() -> None:
    base = Base()
    zoo, ark = (base.ok("POST", "/groups", {"name": name})["id"] for name in ("zoo", "ark"))
    id_ = base.upload("a.txt", b"otters", groups=f"zoo,{ark}")["document_id"]
    path = f"/groups/{zoo}/documents"
    assert base.ok("POST", path, {"document_id": id_}) == {"ok": True}
    assert [each["id"] for each in base.ok("GET", path)] == [id_]
    assert len(base.ok("GET", "/graph")["edges"]) == 2
    graph = base.ok("GET", f"/graph?group={zoo}&limit=99999")
    assert graph == {
        "nodes": [{"id": zoo, "type": "group", "label": "zoo"}, {"id": id_, "type": "document", "label": "a"}],
        "edges": [{"source": zoo, "target": id_, "type": "contains"}],
    }
    assert base.ok("GET", "/graph?limit=0") == {"nodes": graph["nodes"][:0] + _groups(base), "edges": []}
    assert base.ok("DELETE", f"{path}/{id_}") == {"ok": True}
    assert base.ask("DELETE", f"{path}/{id_}").status == 404
    assert base.ok("GET", path) == []


def _groups(base: Base) -> list[dict[str, object]]:
    return [{"id": group["id"], "type": "group", "label": group["name"]} for group in base.ok("GET", "/groups")]


def test_joining_needs_both() -> None:
    base = Base()
    group = base.ok("POST", "/groups", {"name": "zoo"})["id"]
    id_ = base.upload("a.txt", b"x")["document_id"]
    assert base.ask("POST", f"/groups/{group}/documents", {"document_id": "none"}).status == 404
    assert base.ask("POST", "/groups/none/documents", {"document_id": id_}).status == 404
    assert base.ask("GET", "/groups/none/documents").status == 404


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"{}", "application/json", 415, "unsupported_media_type"),
        (b"", "multipart/form-data", 400, "bad_request"),
        (multipart(('name="file"; filename="a.txt"', b"x"), close=False), f"multipart/form-data; boundary={BOUNDARY}", 400, "bad_request"),
        (multipart(('name="other"', b"x")), f"multipart/form-data; boundary={BOUNDARY}", 400, "bad_request"),
        (multipart(('name="file"', b"x")), f"multipart/form-data; boundary={BOUNDARY}", 400, "bad_request"),
        (
            multipart(('name="file"; filename="a.txt"', b"x"), ('name="title"', b"\xff")),
            f"multipart/form-data; boundary={BOUNDARY}",
            400,
            "bad_request",
        ),
        (multipart(*[('name="x"', b"")] * (MOST_PARTS + 1)), f"multipart/form-data; boundary={BOUNDARY}", 400, "bad_request"),
        (multipart(('name="title"', b"x" * 65_537)), f"multipart/form-data; boundary={BOUNDARY}", 413, "too_large"),
        (multipart(('name="file"; filename="a.exe"', b"x")), f"multipart/form-data; boundary={BOUNDARY}", 400, "unsupported_file_type"),
        (multipart(('name="file"; filename="a.pdf"', b"x")), f"multipart/form-data; boundary={BOUNDARY}", 502, "extraction_failed"),
        (
            multipart(('name="file"; filename="a.txt"', b"x"), ('name="groups"', b"none")),
            f"multipart/form-data; boundary={BOUNDARY}",
            400,
            "bad_request",
        ),
    ],
)
def test_upload_that_cannot_work_stores_nothing(body: bytes, content_type: str, status: int, code: str) -> None:
    base = Base()
    answer = base.post_form(body, content_type)
    assert (answer.status, answer.json["error"]) == (status, code)
    assert base.ok("GET", "/documents") == []


def test_path_of_a_file_name_is_cut_off() -> None:
    base = Base()
    base.upload("C:\\\\Users\\\\ann\\\\notes.txt", b"x")
    base.upload("../../etc/passwd.txt", b"x")
    assert [each["filename"] for each in base.ok("GET", "/documents")] == ["passwd.txt", "notes.txt"]


def raw_call(body: bytes) -> Call:
    return Call(_Request(), None, Caller("x", frozenset(), "x"), body, {}, b"")  # type: ignore[arg-type]  # a form needs only headers and body


class _Request:
    requestHeaders = Headers({b"Content-Type": [f"multipart/form-data; boundary={BOUNDARY}".encode()]})  # Twisted's name


FORM = multipart(('name="title"', b"T"), ('name="file"; filename="a.txt"', b"hello"))


def test_form_gives_fields_and_files() -> None:
    found = form(raw_call(FORM))
    assert (found.fields, found.files["file"].data, found.files["file"].name) == ({"title": "T"}, b"hello", "a.txt")


def test_truncated_form_is_refused() -> None:
    for length in range(len(FORM) - 2):
        with pytest.raises(GatewayError):
            form(raw_call(FORM[:length]))


@settings(max_examples=150)
@given(st.lists(st.sampled_from([b"--", BOUNDARY.encode(), b"\r\n", b"Content-Disposition: form-data; ", b'name="a"', b";", b"\0", b"x", b"\xff"])))
def test_any_bytes_are_a_form_or_a_refusal(pieces: list[bytes]) -> None:
    with contextlib.suppress(GatewayError):
        assert isinstance(form(raw_call(b"".join(pieces))).fields, dict)


class Endless:
    """An extractor that never comes to an end."""

    def kind(self, filename: str, media: str) -> str:
        return "pdf"

    def extract(self, kind: str, data: bytes) -> Deferred[Reading]:
        return Deferred()


def test_file_that_takes_too_long_is_a_502() -> None:
    base = Base(edges={"extractor": Endless()})
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    body = multipart(('name="file"; filename="a.pdf"', b"x"))
    pending = base.gate.client.begin("POST", "/api/v1/kb/documents", body, token=base.token, headers=headers)
    base.gate.clock.advance(119)
    base.gate.pump()
    assert not pending.is_answered
    base.gate.clock.advance(1)
    base.gate.pump()
    assert (pending.response.status, pending.response.json["error"]) == (502, "extraction_failed")


def test_documents_survive_a_restart() -> None:
    base = Base()
    base.upload("kettle.md", MANUAL)
    again = base.gate.restart(kill=True)
    answer = again.client.post("/api/v1/kb/search", {"query": "vinegar"}, token=base.token)
    assert answer.json["chunks"][0]["section"] == "Descaling"


def test_store_that_refuses_is_a_503_and_nothing_is_half_there() -> None:
    base = Base()
    base.gate.store.break_writes("disk full")
    assert base.post_form(multipart(('name="file"; filename="a.txt"', b"otters"))).status == 503
    base.gate.store.break_writes("")
    assert base.ok("GET", "/documents") == []
    assert base.found("otters") == []


def test_every_route_of_the_knowledge_base_is_limited() -> None:
    routes = [route for route in MemoryGateway(start=False).gateway.router.routes if route.path.startswith("/api/v1/kb")]
    assert {route.limiter for route in routes} == {"api"}


CONTEXT = ToolContext(principal="p", source="s", conversation=None, idempotency_key="1:0")


def tools_of(base: Base) -> KnowledgeTools:
    gate = base.gate
    parts = (gate.store.knowledge, gate.edges.extractor, gate.clock, gate.edges.ids, Events(gate.clock))
    return KnowledgeTools(Knowledge(*parts, lambda: gate.settings.knowledge))


def call_tool(base: Base, **arguments: object) -> ToolResult:
    found: list[ToolResult] = []
    tools_of(base).call("knowledge_search", arguments, CONTEXT).addCallback(found.append)
    return found[0]


def test_agent_searches_with_a_tool_that_is_there_only_when_it_is_on() -> None:
    base = Base()
    base.upload("kettle.md", MANUAL)
    tools = tools_of(base)
    assert [tool.name for tool in tools.tools()] == ["knowledge_search"]
    assert call_tool(base, query="vinegar", top=1).text.startswith("[Kettle manual — Descaling]\nFill the kettle")
    assert call_tool(base, query="zebra") == ToolResult("nothing was found")
    assert [call_tool(base, **bad).ok for bad in ({}, {"query": " "}, {"query": 1}, {"query": "x", "top": 0}, {"query": "x", "top": "y"})] == [
        False
    ] * 5
    assert tools_of(Base(Settings())).tools() == ()
