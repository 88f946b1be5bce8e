"""`/api/v1/sessions` and `/api/v1/insights`: every route, its answers and its errors. Source: rantaiclaw.md §1, §10 (sessions), §21 ("api_v1")."""

from __future__ import annotations

from typing import Any

import pytest

from clawgate.domain.errors import AgentBadRequest
from clawgate.testing.agents import ScriptedAgent
from clawgate.testing.gateway import MemoryGateway, Response
from tests.web.gate import check_common, gateway

UNAUTHORIZED = {"error": "unauthorized", "detail": "Pair via POST /pair, then send `Authorization: Bearer <token>`."}
FIRST = "11111111-1111-4111-8111-111111111111"
SECOND = "22222222-2222-4222-8222-222222222222"
NOW = 1_800_000_000
ROUTES = [
    ("GET", "/api/v1/sessions"),
    ("POST", "/api/v1/sessions/search"),
    ("GET", f"/api/v1/sessions/{FIRST}"),
    ("DELETE", f"/api/v1/sessions/{FIRST}"),
    ("PUT", f"/api/v1/sessions/{FIRST}/title"),
    ("GET", "/api/v1/insights"),
]


class Talk:
    """A gateway with a full token, and what is asked of it."""

    def __init__(self, *answers: Any, gate: MemoryGateway | None = None) -> None:  # Any: what a scripted agent takes
        self.gate = gate or MemoryGateway(agent=ScriptedAgent(list(answers) or ["an answer"] * 20))
        self.token = self.gate.pair()

    def ask(self, method: str, path: str, body: Any = b"", token: str | None = None) -> Response:  # Any: raw, or an object
        answer = self.gate.client.request(method, f"/api/v1{path}", body, token=token or self.token)
        check_common(answer)
        return answer

    def say(self, text: str, session: str | None = None, token: str | None = None) -> Response:
        body = {"message": text} | ({} if session is None else {"session_id": session})
        answer = self.ask("POST", "/agent/chat", body, token)
        self.gate.clock.advance(1)
        return answer


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_session_routes_need_a_token_before_anything_else(method: str, path: str) -> None:
    answer = MemoryGateway().client.request(method, path, b"{", headers={"Content-Type": "application/json"})
    assert (answer.status, answer.json) == (401, UNAUTHORIZED)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_reading_sessions_takes_read_and_all_else_takes_chat(method: str, path: str) -> None:
    gate = MemoryGateway()
    needed = "read" if method == "GET" else "chat"
    scopes = {scope: gate.client.request(method, path, {"query": "x", "title": "x"}, token=gate.pair(scopes=[scope])) for scope in ("read", "chat")}
    assert [scope for scope, answer in scopes.items() if answer.status != 403] == [needed]


def test_a_turn_is_saved_as_user_and_assistant_with_a_title() -> None:
    talk = Talk("Hello to you")
    session = talk.say("\n  Hello   there,\twhat is " + "x" * 60 + "\nsecond line").json["session_id"]
    shown = talk.ask("GET", f"/sessions/{session}").json
    assert (shown["id"], shown["title"], shown["model"]) == (session, "Hello there, what is " + "x" * 29 + "…", "scripted-1")
    assert shown["started_at"] == NOW
    assert [(message["role"], message["content"][:5], message["timestamp"]) for message in shown["messages"]] == [
        ("user", "\n  He", NOW),
        ("assistant", "Hello", NOW),
    ]


def test_a_given_session_goes_on_keeps_its_title_and_is_the_history() -> None:
    agent = ScriptedAgent(["one", "two"])
    talk = Talk(gate=MemoryGateway(agent=agent))
    assert [talk.say("first", FIRST).json["session_id"], talk.say("second", FIRST).json["session_id"]] == [FIRST, FIRST]
    shown = talk.ask("GET", f"/sessions/{FIRST}").json
    assert (shown["title"], [message["content"] for message in shown["messages"]]) == ("first", ["first", "one", "second", "two"])
    assert [line.text for line in agent.prompts[1].lines] == ["first", "one", "second"]


@pytest.mark.parametrize("wanted", ["", "my-session", FIRST[:-1], "x" * 36])
def test_an_id_that_is_no_uuid_gets_a_new_one(wanted: str) -> None:
    talk = Talk()
    session = talk.say("hi", wanted).json["session_id"]
    assert session != wanted
    assert talk.ask("GET", f"/sessions/{session}").status == 200


@pytest.mark.parametrize("answer", ["", "  \n", AgentBadRequest("no")])
def test_a_failed_or_empty_turn_is_not_saved(answer: object) -> None:
    talk = Talk(answer)
    talk.say("hi", FIRST)
    assert talk.ask("GET", "/sessions").json["total"] == 0


def test_a_stranger_cannot_go_on_in_a_session() -> None:
    talk = Talk()
    narrow = talk.gate.pair(scopes=["chat", "read"])
    talk.say("mine", FIRST)
    assert talk.say("not mine", FIRST, narrow).status == 404
    assert len(talk.ask("GET", f"/sessions/{FIRST}").json["messages"]) == 2


def test_everybody_sees_their_own_sessions_and_an_administrator_all() -> None:
    talk = Talk()
    ann, bob = (talk.gate.pair(scopes=["chat", "read"]) for _ in range(2))
    talk.say("about tea", FIRST, ann)
    talk.say("about coffee", SECOND, bob)
    seen = [[one["id"] for one in talk.ask("GET", "/sessions", token=token).json["sessions"]] for token in (ann, bob, talk.token)]
    assert seen == [[FIRST], [SECOND], [SECOND, FIRST]]
    found = [talk.ask("POST", "/sessions/search", {"query": "about"}, token).json["count"] for token in (ann, bob, talk.token)]
    assert found == [1, 1, 2]
    for method, path in (("GET", ""), ("DELETE", ""), ("PUT", "/title")):
        body = {"title": "x"} if method == "PUT" else b""
        assert talk.ask(method, f"/sessions/{SECOND}{path}", body, ann).status == 404
    assert talk.ask("GET", "/insights", token=ann).json["latest_session_id"] == FIRST


def test_sessions_are_paged() -> None:
    talk = Talk()
    for number in range(3):
        talk.say(f"question {number}", f"{number}" * 8 + FIRST[8:])
    page = talk.ask("GET", "/sessions?limit=2&offset=1").json
    assert {name: page[name] for name in ("count", "offset", "total")} == {"count": 2, "offset": 1, "total": 3}
    item = {"id": "1" * 8 + FIRST[8:], "title": "question 1", "model": "scripted-1", "started_at": NOW + 1, "message_count": 2}
    assert page["sessions"][0] == item
    assert talk.ask("GET", "/sessions?limit=100000&offset=7").json["sessions"] == []


@pytest.mark.parametrize("query", ["limit=abc", "limit=-1", "offset=x", "limit=1&limit=2", "offset=1.5", "limit=%ff"])
def test_a_bad_page_is_a_400(query: str) -> None:
    answer = Talk().ask("GET", f"/sessions?{query}")
    assert (answer.status, answer.json["error"]) == (400, "bad_request")


def test_a_session_is_found_by_a_beginning_that_only_it_has() -> None:
    talk = Talk()
    for session in (FIRST, "11111111-2" + FIRST[10:], SECOND):
        talk.say("hi", session)
    assert talk.ask("GET", "/sessions/2").json["id"] == SECOND
    assert talk.ask("GET", f"/sessions/{FIRST}").json["id"] == FIRST
    several, none, wild = talk.ask("GET", "/sessions/1111"), talk.ask("GET", "/sessions/3"), talk.ask("GET", "/sessions/%25")
    assert (several.status, several.json) == (400, {"error": "bad_request", "detail": "`1111` is ambiguous (2 matches)"})
    assert (none.status, none.json) == (404, {"error": "not_found", "detail": "no session matches `3`"})
    assert (wild.status, wild.json["detail"]) == (404, "no session matches `%`")
    assert talk.ask("GET", "/sessions/_").status == 404


def test_a_search_ranks_and_tells_where() -> None:
    talk = Talk("milk", "nothing to drink", "tea and tea again")
    for text, session in (("tea", FIRST), ("coffee", SECOND), ("the third", "3" * 8 + FIRST[8:])):
        talk.say(text, session)
    answer = talk.ask("POST", "/sessions/search", {"query": "tea"}).json
    assert answer["count"] == 2
    assert {hit["session_id"] for hit in answer["results"]} == {FIRST, "3" * 8 + FIRST[8:]}
    assert [hit["rank"] for hit in answer["results"]] == sorted(hit["rank"] for hit in answer["results"])
    hit = next(hit for hit in answer["results"] if hit["session_id"] == FIRST)
    assert {name: hit[name] for name in ("session_title", "role", "content", "timestamp")} == {
        "session_title": "tea",
        "role": "user",
        "content": "tea",
        "timestamp": NOW,
    }
    assert hit["rank"] < 0


@pytest.mark.parametrize("query", ['"', "tea AND", "(", "x : y", "*", "tea'", "NEAR(", "-", "\u0000tea", "' OR 1=1 --", "tea" * 300])
def test_a_query_that_is_no_syntax_is_words_and_never_a_500(query: str) -> None:
    talk = Talk("milk")
    talk.say("tea", FIRST)
    answer = talk.ask("POST", "/sessions/search", {"query": query})
    assert answer.status == 200
    assert [hit["content"] for hit in answer.json["results"]] == (["tea"] if query in ("tea'", "\u0000tea") else [])


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"query": " \n"}, 400, {"error": "bad_request", "detail": "query must not be empty"}),
        ({"query": "x" * 1001}, 400, {"error": "bad_request", "detail": "query must not be longer than 1000 characters"}),
        ({}, 422, None),
        ({"query": 1}, 422, None),
        ({"query": "x", "limit": -1}, 422, None),
        ({"query": "x", "limit": "1"}, 422, None),
    ],
)
def test_a_bad_search_is_refused(body: dict[str, object], status: int, error: dict[str, str] | None) -> None:
    answer = Talk().ask("POST", "/sessions/search", body)
    assert answer.status == status
    assert answer.json == error or (error is None and answer.json["error"] == "unprocessable")


def test_a_search_takes_a_limit() -> None:
    talk = Talk()
    for _ in range(3):
        talk.say("tea", FIRST)
    assert [talk.ask("POST", "/sessions/search", {"query": "tea", "limit": limit}).json["count"] for limit in (0, 2, 10_000, None)] == [0, 2, 3, 3]


def test_a_title_is_normalised_and_stays() -> None:
    talk = Talk()
    talk.say("hi", FIRST)
    answer = talk.ask("PUT", "/sessions/1111/title", {"title": "  A\tnew\x07 \n title " + "x" * 300})
    assert (answer.status, answer.json["id"], len(answer.json["title"])) == (200, FIRST, 200)
    assert answer.json["title"].startswith("A new title x")
    assert talk.ask("GET", f"/sessions/{FIRST}").json["title"] == answer.json["title"]


def test_a_title_of_nothing_is_a_400() -> None:
    talk = Talk()
    talk.say("hi", FIRST)
    answer = talk.ask("PUT", f"/sessions/{FIRST}/title", {"title": " \x07\n"})
    assert (answer.status, answer.json) == (400, {"error": "bad_request", "detail": "title is empty after normalisation"})
    assert talk.ask("PUT", f"/sessions/{FIRST}/title", {"title": None}).status == 422
    assert talk.ask("PUT", "/sessions/nothing/title", {"title": "x"}).status == 404


def test_a_forgotten_session_is_gone_from_everywhere() -> None:
    talk = Talk()
    talk.say("tea", FIRST)
    assert talk.ask("DELETE", "/sessions/1111").json == {"deleted": True, "id": FIRST}
    assert [talk.ask(method, f"/sessions/{FIRST}").status for method in ("GET", "DELETE")] == [404, 404]
    assert talk.ask("POST", "/sessions/search", {"query": "tea"}).json == {"results": [], "count": 0}


def test_insights_count_sessions_and_messages() -> None:
    talk = Talk()
    nothing = {"total_sessions": 0, "total_messages": 0, "avg_messages_per_session": 0.0}
    assert talk.ask("GET", "/insights").json == {**nothing, "latest_session_id": None, "latest_session_started_at": None}
    for session in (FIRST, FIRST, SECOND):
        talk.say("hi", session)
    assert talk.ask("GET", "/insights").json == {
        "total_sessions": 2,
        "total_messages": 6,
        "avg_messages_per_session": 3.0,
        "latest_session_id": SECOND,
        "latest_session_started_at": NOW + 2,
    }


def test_sessions_survive_a_kill() -> None:
    talk = Talk()
    talk.say("tea", FIRST)
    again = Talk(gate=talk.gate.restart(kill=True))
    assert again.ask("GET", f"/sessions/{FIRST}").json["messages"][0]["content"] == "tea"


def test_session_routes_count_against_the_api_limit() -> None:
    talk = Talk(gate=gateway(api_rate_limit_per_minute=1))
    talk.ask("GET", "/sessions")
    answer = talk.ask("GET", "/insights")
    assert (answer.status, answer.json["error"], answer.headers["retry-after"]) == (429, "rate_limited", "60")
