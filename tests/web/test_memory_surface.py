"""`/api/v1/memory`: every route, its answers and its errors. Source: rantaiclaw.md §1, §10 (memory), §21 ("memory")."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from twisted.internet.defer import Deferred, succeed

from clawgate.domain.memory import MARK
from clawgate.domain.settings.model import MemorySettings, Settings
from clawgate.testing.gateway import MemoryGateway, Response
from tests.web.gate import check_common

UNAUTHORIZED = {"error": "unauthorized", "detail": "Pair via POST /pair, then send `Authorization: Bearer <token>`."}
ROUTES = [("GET", ""), ("POST", ""), ("GET", "/stats"), ("GET", "/some-key"), ("DELETE", "/some-key")]
MOMENT = "2027-01-15T08:00:00.000+00:00"


class Page:
    """MEMORY.md that a test reads."""

    def __init__(self) -> None:
        self.written: list[tuple[str, bool]] = []

    def write(self, text: str, is_empty: bool) -> Deferred[None]:
        """Keeps what would be in the file."""
        self.written.append((text, is_empty))
        return succeed(None)


class Notebook:
    """A gateway with a full token, and what is asked of it."""

    def __init__(self, gate: MemoryGateway | None = None) -> None:
        self.page = Page()
        self.gate = gate or MemoryGateway(edges={"memory_file": self.page})
        self.token = self.gate.pair()

    def ask(self, method: str, path: str = "", body: Any = b"", token: str | None = None) -> Response:  # Any: raw, or an object
        answer = self.gate.client.request(method, f"/api/v1/memory{path}", body, token=token or self.token)
        check_common(answer)
        return answer

    def put(self, content: str, key: str, token: str | None = None, **fields: object) -> None:
        answer = self.ask("POST", "", {"content": content, "key": key, **fields}, token)
        assert (answer.status, answer.json) == (201, {"key": key, "stored": True, "notes": []})
        self.gate.clock.advance(1)

    def keys(self, query: str = "", token: str | None = None) -> list[str]:
        return [entry["key"] for entry in self.ask("GET", query, token=token).json["entries"]]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_memory_routes_need_a_token_before_anything_else(method: str, path: str) -> None:
    answer = MemoryGateway().client.request(method, f"/api/v1/memory{path}", b"{", headers={"Content-Type": "application/json"})
    assert (answer.status, answer.json) == (401, UNAUTHORIZED)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_reading_memory_takes_read_and_changing_it_takes_write(method: str, path: str) -> None:
    book = Notebook()
    answers = {scope: book.ask(method, path, {"content": "x"}, book.gate.pair(scopes=[scope])) for scope in ("read", "chat", "write")}
    assert [scope for scope, answer in answers.items() if answer.status != 403] == ["read" if method == "GET" else "write"]


def test_what_is_stored_is_shown_under_its_key() -> None:
    book = Notebook()
    book.put("I like green tea", "likes/tea+milk==", category="daily", session_id="s1")
    entry = {"key": "likes/tea+milk==", "content": "I like green tea", "category": "daily", "timestamp": MOMENT, "session_id": "s1"}
    assert book.ask("GET", "/" + quote("likes/tea+milk==")).json == entry
    assert book.ask("GET").json == {"entries": [{**entry, "score": None}], "count": 1, "total": 1, "listed": 1, "offset": 0}


def test_a_key_is_made_when_none_is_given() -> None:
    book = Notebook()
    for body in ({"content": "tea"}, {"content": "tea", "key": ""}, {"content": "tea", "key": None}):
        answer = book.ask("POST", "", body)
        assert answer.status == 201
        assert answer.json["key"].startswith("memory_")
        assert len(answer.json["key"]) == len("memory_") + 36
        assert book.ask("GET", f"/{answer.json['key']}").json["category"] == "core"
    assert book.ask("GET").json["total"] == 3


def test_a_key_keeps_one_text() -> None:
    book = Notebook()
    book.put("tea", "k")
    book.put("coffee", "k")
    assert (book.ask("GET", "/k").json["content"], book.keys("?q=tea"), book.keys("?q=coffee")) == ("coffee", [], ["k"])


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"content": " \n"}, 400, {"error": "invalid_content", "detail": "content must not be empty"}),
        ({"content": "\u200b"}, 400, {"error": "invalid_content", "detail": "content must not be empty"}),
        ({"content": "x" * 32_001}, 400, {"error": "invalid_content", "detail": "content must not be longer than 32000 characters"}),
        ({"content": "a [Memory context] b"}, 400, {"error": "rejected_content", "detail": "content must not contain a [Memory context] block"}),
        (
            {"content": "x", "key": "a//b"},
            400,
            {"error": "bad_request", "detail": "key must be at most 256 visible characters that can stand in a path"},
        ),
        ({"content": "x", "category": " "}, 400, {"error": "bad_request", "detail": "category must be 1 to 64 visible characters"}),
        ({}, 422, None),
        ({"content": 1}, 422, None),
        ({"content": "x", "key": 1}, 422, None),
    ],
)
def test_what_cannot_be_remembered_is_refused(body: dict[str, object], status: int, error: dict[str, str] | None) -> None:
    book = Notebook()
    answer = book.ask("POST", "", body)
    assert answer.status == status
    assert answer.json == error or (error is None and answer.json["error"] == "unprocessable")
    assert book.ask("GET").json["total"] == 0


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"content":"\\ud800"}'])
def test_a_body_that_is_no_json_is_a_400(body: bytes) -> None:
    book = Notebook()
    answer = book.gate.client.post("/api/v1/memory", body, token=book.token, headers={"Content-Type": "application/json"})
    assert answer.status in (400, 422)


def test_notes_tell_what_was_changed() -> None:
    book = Notebook()
    answer = book.ask("POST", "", {"content": "my\u200b key is sk-abcdefghijklmnop", "key": "k"})
    assert answer.json["notes"] == ["removed 1 invisible character(s)", "redacted what looked like a credential"]
    assert book.ask("GET", "/k").json["content"] == "my key is sk-***"


def test_memory_is_listed_newest_first_by_category_in_pages() -> None:
    book = Notebook()
    for number in range(4):
        book.put("tea", f"k{number}", category="daily" if number % 2 else "core")
    assert book.keys() == ["k3", "k2", "k1", "k0"]
    assert [book.keys("?limit=2&offset=1"), book.keys("?category=daily"), book.keys("?category=none")] == [["k2", "k1"], ["k3", "k1"], []]
    totals = [
        book.ask("GET", f"?{query}").json["total"] for query in ("limit=2&offset=1", "limit=2", "category=daily&limit=1", "q=tea&limit=1&offset=3")
    ]
    assert totals == [4, 4, 2, 4]


@pytest.mark.parametrize("query", ["limit=abc", "offset=-1", "limit=1&limit=2", "q=a&q=b", "category=%ff", "q=" + "x" * 1001])
def test_a_bad_list_is_a_400(query: str) -> None:
    answer = Notebook().ask("GET", f"?{query}")
    assert (answer.status, answer.json["error"]) == (400, "bad_request")


def test_a_search_ranks_and_goes_with_a_category() -> None:
    book = Notebook()
    book.put("green tea", "one")
    book.put("tea with milk", "both", category="daily")
    book.put("coffee", "none")
    found = book.ask("GET", "?q=milk%20tea").json
    assert ([entry["key"] for entry in found["entries"]], found["total"]) == (["both", "one"], 2)
    assert all(isinstance(entry["score"], float) and entry["score"] < 0 for entry in found["entries"])
    assert [book.keys("?q=tea&category=core"), book.keys("?q=tea&limit=1&offset=1"), book.keys("?q=offe")] == [["one"], ["both"], ["none"]]


@pytest.mark.parametrize("query", ['"', "tea AND (", "*", "' OR 1=1 --", "%", "_", "content : tea", "\u0000"])
def test_a_hostile_search_is_just_words(query: str) -> None:
    book = Notebook()
    book.put("milk", "k")
    answer = book.ask("GET", f"?q={quote(query)}")
    assert (answer.status, answer.json["total"]) == (200, 0)


def test_what_people_wrote_is_found_by_its_words() -> None:
    book = Notebook()
    book.gate.client.post("/webhook", {"message": "remember the milk"}, token=book.token)
    (entry,) = book.ask("GET", "?q=milk").json["entries"]
    assert (entry["category"], entry["score"], entry["content"]) == ("conversation", None, "remember the milk")
    assert book.keys("?category=conversation") == [entry["key"]]


def test_forgetting_says_whether_there_was_something() -> None:
    book = Notebook()
    book.put("tea", "k")
    assert [book.ask("DELETE", "/k").json for _ in range(2)] == [{"key": "k", "removed": True}, {"key": "k", "removed": False}]
    missing = book.ask("GET", "/k")
    assert (missing.status, missing.json) == (404, {"error": "not_found", "detail": "no memory with key 'k'"})


def test_stats_count_what_the_caller_sees_and_tell_of_the_store() -> None:
    book = Notebook()
    book.put("tea", "k")
    assert book.ask("GET", "/stats").json == {"backend": "sqlite", "total_entries": 1, "healthy": True}
    book.gate.store.break_writes("disk full")
    book.ask("DELETE", "/k")
    assert book.ask("GET", "/stats").json["healthy"] is False


def test_everybody_sees_their_own_and_the_administrators() -> None:
    book = Notebook()
    ann, bob = (book.gate.pair(scopes=["read", "write"]) for _ in range(2))
    book.put("tea of all", "all")
    book.put("tea of ann", "anns", token=ann)
    assert [book.keys(token=token) for token in (ann, bob, book.token)] == [["anns", "all"], ["all"], ["anns", "all"]]
    assert [sorted(book.keys("?q=tea", token=token)) for token in (ann, bob)] == [["all", "anns"], ["all"]]
    assert [book.ask("GET", "/anns", token=bob).status, book.ask("DELETE", "/anns", token=bob).json["removed"]] == [404, False]
    assert book.ask("DELETE", "/all", token=ann).json["removed"] is False
    taken = book.ask("POST", "", {"content": "mine now", "key": "anns"}, bob)
    assert (taken.status, taken.json) == (409, {"error": "conflict", "detail": "the key is taken"})
    assert [book.ask("GET", "/stats", token=token).json["total_entries"] for token in (ann, bob)] == [2, 1]


def test_without_a_backend_nothing_is_there_and_nothing_is_stored() -> None:
    book = Notebook(MemoryGateway(Settings(memory=MemorySettings(backend="none"))))
    answer = book.ask("POST", "", {"content": "tea"})
    assert (answer.status, answer.json) == (409, {"error": "conflict", "detail": 'memory is off: [memory] backend is "none"'})
    assert [book.ask("GET", path).json["total"] for path in ("", "?q=tea")] == [0, 0]
    assert book.ask("GET", "/stats").json == {"backend": "none", "total_entries": 0, "healthy": True}
    assert [book.ask("GET", "/k").status, book.ask("DELETE", "/k").json["removed"]] == [404, False]


def test_the_file_follows_what_is_stored_and_forgotten() -> None:
    book = Notebook()
    book.put("green tea", "k")
    book.put("not core", "d", category="daily")
    book.gate.clock.advance(2)
    assert book.page.written[-1] == (f"{MARK}\n\n# Memory\n\n- green tea\n", False)
    book.ask("DELETE", "/k")
    book.gate.clock.advance(2)
    assert book.page.written[-1] == (f"{MARK}\n\n# Memory\n\n", True)


def test_changes_close_together_are_written_once() -> None:
    book = Notebook()
    book.gate.clock.advance(2)
    before = len(book.page.written)
    for number in range(5):
        book.ask("POST", "", {"content": "tea", "key": f"k{number}"})
    book.gate.clock.advance(2)
    assert len(book.page.written) == before + 1


def test_what_is_not_written_yet_is_written_when_it_stops() -> None:
    book = Notebook()
    book.gate.clock.advance(2)
    book.ask("POST", "", {"content": "the last word", "key": "k"})
    book.gate.stop()
    book.gate.clock.advance(5)
    assert "- the last word\n" in book.page.written[-1][0]
    assert book.gate.clock.pending == 0
