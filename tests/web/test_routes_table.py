"""Every route there is, against every kind of credential, method and path. A route without a row here fails.

Source: zeroclaw.md A1.5, B2; design §4.4, §4.8, §4.9; advisories.md 3.1 (hermes CVE-2026-7112: each route enforces auth; GHSA-6rmx-gvvg-vh6j: 405 before
auth-failure accounting; GHSA-8j2w-6fmm-m587, CVE-2026-32004: one canonical path), 3.2 (CVE-2022-39348, pallets/werkzeug#2821); codebases.md §5 T1, T2.
"""

from __future__ import annotations

import re

import pytest

from clawgate.domain.caller import Scope
from clawgate.testing.gateway import MemoryGateway, Response
from clawgate.testing.sockets import SocketClient
from clawgate.web.answers import Answer, text_answer
from clawgate.web.call import Call
from clawgate.web.router import Door, Match, NoRoute, Route, Router
from tests.web.gate import check_common, gateway, without_scope

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"
EVENTS = "text/event-stream"
UNAUTHORIZED = "Unauthorized — pair first via POST /pair, then send Authorization: Bearer <token>"
CONFIG_UNAUTHORIZED = "Unauthorized — pair first via POST /pair"
EVENTS_UNAUTHORIZED = "Unauthorized — provide Authorization: Bearer <token>"

ROWS: dict[str, tuple[int, str]] = {
    "GET /api/openapi.json": (200, JSON),
    "GET /health": (200, JSON),
    "GET /readyz": (200, JSON),
    "GET /metrics": (200, EXPOSITION),
    "POST /pair": (403, JSON),
    "POST /api/pair": (400, JSON),
    "GET /pair/code": (200, JSON),
    "GET /admin/paircode": (200, JSON),
    "POST /admin/paircode/new": (200, JSON),
    "GET /admin/control/token": (404, JSON),
    "POST /api/pairing/initiate": (200, JSON),
    "GET /api/devices": (200, JSON),
    "DELETE /api/devices/<device_id>": (404, JSON),
    "POST /api/devices/<device_id>/token/rotate": (404, JSON),
    "GET /pair/page": (200, HTML),
    "POST /webhook": (400, JSON),
    "GET /api/audit": (200, JSON),
    "GET /api/audit/head": (200, JSON),
    "GET /api/audit/verify": (200, JSON),
    "GET /api/inbox": (200, JSON),
    "GET /api/inbox/<item_id>": (404, JSON),
    "POST /api/inbox/<item_id>/retry": (404, JSON),
    "POST /api/inbox/<item_id>/drop": (404, JSON),
    "POST /api/inbox/retry": (200, JSON),
    "GET /api/subscriptions": (200, JSON),
    "GET /api/subscriptions/<name>": (404, JSON),
    "POST /api/subscriptions/<name>/pause": (404, JSON),
    "POST /api/subscriptions/<name>/resume": (404, JSON),
    "POST /api/subscriptions/<name>/test": (404, JSON),
    "POST /api/subscriptions/<name>/drop": (404, JSON),
    "GET /api/v1/skills": (200, JSON),
    "POST /api/v1/skills": (415, JSON),
    "POST /api/v1/skills/install": (415, JSON),
    "GET /api/v1/skills/<slug>": (404, JSON),
    "DELETE /api/v1/skills/<slug>": (404, JSON),
    "PUT /api/v1/skills/<slug>/enabled": (415, JSON),
    "GET /api/v1/skills/<slug>/content": (404, JSON),
    "PUT /api/v1/skills/<slug>/content": (415, JSON),
    "GET /api/v1/personality": (200, JSON),
    "PUT /api/v1/personality": (415, JSON),
    "POST /api/v1/agent/chat": (415, JSON),
    "POST /api/v1/approvals/<approval_id>": (415, JSON),
    "GET /api/v1/approvals": (200, JSON),
    "POST /triggers/<path:trigger_path>": (404, JSON),
    "POST /hooks/<name>": (404, JSON),
    "GET /hooks/<name>": (404, JSON),
    "GET /tasks": (200, JSON),
    "POST /tasks": (415, JSON),
    "GET /tasks/<task_id>": (404, JSON),
    "PUT /tasks/<task_id>": (415, JSON),
    "DELETE /tasks/<task_id>": (404, JSON),
    "POST /tasks/<task_id>/review": (415, JSON),
    "GET /tasks/<task_id>/comments": (200, JSON),
    "POST /tasks/<task_id>/comments": (415, JSON),
    "GET /tasks/<task_id>/events": (200, JSON),
    "POST /login": (415, JSON),
    "GET /api/v1/cron": (200, JSON),
    "POST /api/v1/cron": (415, JSON),
    "PUT /api/v1/cron/<job_id>": (415, JSON),
    "DELETE /api/v1/cron/<job_id>": (404, JSON),
    "POST /api/v1/cron/<job_id>/run": (404, JSON),
    "GET /api/v1/cron/<job_id>/runs": (200, JSON),
    "POST /api/v1/kb/search": (415, JSON),
    "GET /api/v1/kb/documents": (503, JSON),
    "POST /api/v1/kb/documents": (503, JSON),
    "GET /api/v1/kb/documents/<document_id>": (503, JSON),
    "DELETE /api/v1/kb/documents/<document_id>": (503, JSON),
    "GET /api/v1/kb/documents/<document_id>/intelligence": (503, JSON),
    "POST /api/v1/kb/documents/<document_id>/re-extract": (503, JSON),
    "GET /api/v1/kb/groups": (503, JSON),
    "POST /api/v1/kb/groups": (415, JSON),
    "GET /api/v1/kb/groups/<group_id>": (503, JSON),
    "PUT /api/v1/kb/groups/<group_id>": (415, JSON),
    "DELETE /api/v1/kb/groups/<group_id>": (503, JSON),
    "GET /api/v1/kb/groups/<group_id>/documents": (503, JSON),
    "POST /api/v1/kb/groups/<group_id>/documents": (415, JSON),
    "DELETE /api/v1/kb/groups/<group_id>/documents/<document_id>": (503, JSON),
    "GET /api/v1/kb/drift": (503, JSON),
    "POST /api/v1/kb/re-embed": (503, JSON),
    "GET /api/v1/kb/graph": (503, JSON),
    "GET /ws/chat": (426, JSON),
    "GET /api/sessions": (200, JSON),
    "GET /api/sessions/running": (200, JSON),
    "GET /api/sessions/<session_id>/messages": (200, JSON),
    "POST /api/sessions/<session_id>/attachments": (415, JSON),
    "POST /api/sessions/<session_id>/messages": (415, JSON),
    "GET /api/sessions/<session_id>/state": (404, JSON),
    "POST /api/sessions/<session_id>/abort": (200, JSON),
    "PUT /api/sessions/<session_id>": (415, JSON),
    "DELETE /api/sessions/<session_id>": (404, JSON),
    "GET /api/v1/version": (200, JSON),
    "GET /api/v1/auth/info": (200, JSON),
    "GET /api/v1/status": (200, JSON),
    "GET /api/v1/doctor": (200, JSON),
    "GET /api/v1/channels": (200, JSON),
    "GET /api/v1/providers": (200, JSON),
    "GET /api/v1/providers/<provider>/models": (404, JSON),
    "POST /api/v1/providers/<provider>/models/refresh": (404, JSON),
    "GET /api/v1/sessions": (200, JSON),
    "POST /api/v1/sessions/search": (415, JSON),
    "GET /api/v1/sessions/<session_id>": (404, JSON),
    "DELETE /api/v1/sessions/<session_id>": (404, JSON),
    "PUT /api/v1/sessions/<session_id>/title": (415, JSON),
    "GET /api/v1/insights": (200, JSON),
    "GET /api/v1/memory": (200, JSON),
    "POST /api/v1/memory": (415, JSON),
    "GET /api/v1/memory/stats": (200, JSON),
    "GET /api/v1/memory/<path:key>": (404, JSON),
    "DELETE /api/v1/memory/<path:key>": (200, JSON),
    "GET /config": (200, JSON),
    "GET /config/channels": (200, JSON),
    "GET /config/mcp-servers": (200, JSON),
    "PATCH /config/channels": (415, JSON),
    "PATCH /config/mcp-servers": (415, JSON),
    "PATCH /config/model": (415, JSON),
    "PATCH /config/tools": (415, JSON),
    "PATCH /config/agent": (415, JSON),
    "GET /api/v1/config": (200, JSON),
    "PUT /api/v1/config/model": (415, JSON),
    "PUT /api/v1/config/autonomy": (415, JSON),
    "POST /api/v1/config/mcp_servers/<name>": (415, JSON),
    "DELETE /api/v1/config/mcp_servers/<name>": (200, JSON),
    "GET /api/v1/config/knowledge": (200, JSON),
    "PUT /api/v1/config/knowledge": (415, JSON),
    "GET /api/v1/secrets": (200, JSON),
    "PUT /api/v1/secrets": (415, JSON),
    "POST /api/v1/channels/telegram": (400, JSON),
    "DELETE /api/v1/channels/telegram": (404, JSON),
    "GET /api/canvas": (200, JSON),
    "GET /api/canvas/<canvas_id>": (404, JSON),
    "GET /api/canvas/<canvas_id>/history": (200, JSON),
    "POST /api/canvas/<canvas_id>": (415, JSON),
    "DELETE /api/canvas/<canvas_id>": (200, JSON),
    "GET /ws/canvas/<canvas_id>": (426, JSON),
    "GET /api/nodes": (200, JSON),
    "POST /api/nodes/<node_id>/invoke": (415, JSON),
    "GET /ws/nodes": (426, JSON),
    "GET /whatsapp": (404, TEXT),
    "POST /whatsapp": (404, JSON),
    "POST /linq": (404, JSON),
    "POST /nextcloud-talk": (404, JSON),
    "POST /wati": (404, JSON),
    "GET /admin/channels": (200, JSON),
    "POST /admin/channels/codes": (415, JSON),
    "GET /api/events": (200, EVENTS),
    "GET /api/events/history": (200, JSON),
    "POST /api/events/ticket": (200, JSON),
    "GET /api/daemon/logs": (200, EVENTS),
    "POST /api/channel-events": (415, JSON),
    "GET /api/workflows/approvals": (200, JSON),
    "POST /api/workflows/runs/<run_id>/approve": (415, JSON),
    "GET /ws/terminal": (426, JSON),
}
"""Status and content type that a full token gets with no body, on a gateway without channels, for an id that does not exist."""

LOCAL_WORDS = {"/api/channel-events": "channel-events only accepts localhost connections"}

ROUTES: tuple[Route, ...] = MemoryGateway(start=False).gateway.router.routes
SOCKETS = [route for route in ROUTES if route.is_socket]
GUARDED = [route for route in ROUTES if isinstance(route.auth, Scope) and not route.is_socket]
LOCAL = [route for route in ROUTES if route.auth is Door.LOCAL]
OPEN = [route for route in ROUTES if route.auth in (Door.PUBLIC, Door.SIGNED) and not route.is_socket]


def path_of(route: Route) -> str:
    path = route.path.replace("<device_id>", "no-such-device").replace("<item_id>", "0123456789abcdef")
    return re.sub(r"<(?:\w+:)?(\w+)>", r"no-such-\1", path)


def ask(gate: MemoryGateway, route: Route, token: str | None = None, **options: str) -> Response:
    answer = gate.client.request(route.method, path_of(route), token=token, **options)
    check_common(answer)
    return answer


def names(routes: list[Route]) -> list[str]:
    return [route.endpoint for route in routes]


def test_every_route_has_its_row() -> None:
    assert sorted(ROWS) == sorted(route.endpoint for route in ROUTES)
    assert len(GUARDED) + len(LOCAL) + len(OPEN) + len(SOCKETS) == len(ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.endpoint)
def test_good_token_gets_what_the_row_says(route: Route) -> None:
    gate = MemoryGateway()
    answer = ask(gate, route, gate.pair())
    assert (answer.status, answer.headers["content-type"]) == ROWS[route.endpoint]


@pytest.mark.parametrize("route", OPEN, ids=names(OPEN))
def test_open_route_looks_at_no_bearer(route: Route) -> None:
    gate = MemoryGateway()
    gate.pair()
    assert [ask(gate, route, token).status for token in (None, "wrong", "x" * 600)] == [ROWS[route.endpoint][0]] * 3


@pytest.mark.parametrize("route", [*GUARDED, *LOCAL], ids=names([*GUARDED, *LOCAL]))
def test_no_handler_runs_without_a_live_token(route: Route) -> None:
    gate = MemoryGateway()
    expiring, revoked = gate.pair(ttl_secs=10), gate.pair()
    gate.client.request("DELETE", f"/api/devices/{newest_device(gate)}", peer="operator")
    gate.clock.advance(10)
    refused = [ask(gate, route, token) for token in ("", "wrong", " " + revoked, revoked.upper(), "x" * 10_000, expiring, revoked)]
    assert [answer.status for answer in refused] == [401] * 7
    assert {answer.json["error"] for answer in refused} <= {UNAUTHORIZED, "Unauthorized", "unauthorized", CONFIG_UNAUTHORIZED, EVENTS_UNAUTHORIZED}
    assert not any("www-authenticate" in answer.headers for answer in refused)


def newest_device(gate: MemoryGateway) -> str:
    return str(gate.client.get("/api/devices", peer="operator").json["devices"][0]["id"])


@pytest.mark.parametrize("route", GUARDED, ids=names(GUARDED))
def test_guarded_route_refuses_a_stranger(route: Route) -> None:
    answer = ask(MemoryGateway(), route)
    assert (answer.status, answer.headers["content-type"]) == (401, JSON)


@pytest.mark.parametrize("route", [each for each in SOCKETS if isinstance(each.auth, Scope)], ids=lambda each: each.endpoint)
def test_guarded_socket_refuses_a_stranger_and_a_token_that_lacks_its_scope(route: Route) -> None:
    gate = MemoryGateway()
    narrow = without_scope(gate, Scope(str(route.auth)))
    assert [SocketClient(gate, path_of(route), token=token).status for token in ("", "wrong", narrow)] == [401, 401, 403]


@pytest.mark.parametrize("route", GUARDED, ids=names(GUARDED))
def test_guarded_route_refuses_a_token_that_lacks_its_scope(route: Route) -> None:
    gate, scope = MemoryGateway(), Scope(str(route.auth))
    narrow, enough = without_scope(gate, scope), gate.pair(scopes=[scope])
    assert ask(gate, route, narrow).status == 403
    assert ask(gate, route, enough).status == ROWS[route.endpoint][0]


@pytest.mark.parametrize("route", LOCAL, ids=names(LOCAL))
def test_local_route_is_for_loopback_the_operator_or_an_administrator(route: Route) -> None:
    gate = MemoryGateway()
    narrow, admin = without_scope(gate, Scope.ADMIN), gate.pair(scopes=["admin"])
    words = LOCAL_WORDS.get(route.path, "Admin endpoints are restricted to localhost")
    assert ask(gate, route).json == {"error": words}
    assert ask(gate, route).status == 403
    assert ask(gate, route, narrow).status == 403
    assert [ask(gate, route, admin).status, ask(gate, route, peer="127.0.0.1").status, ask(gate, route, peer="operator").status] == [
        ROWS[route.endpoint][0]
    ] * 3


@pytest.mark.parametrize("route", [*GUARDED, *LOCAL], ids=names([*GUARDED, *LOCAL]))
def test_hostile_authorization_is_a_plain_401(route: Route) -> None:
    gate = MemoryGateway()
    token = gate.pair()
    head = f"{route.method} {path_of(route)} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n".encode()
    values = (b"Bearer \xff\xfe", b"Bearer ' OR 1=1 --", b"BEARER " + token.encode(), b"Basic " + token.encode(), b"Bearer", token.encode())
    statuses = [gate.client.send(head + b"Authorization: " + value + b"\r\n\r\n").response.status for value in values]
    unreadable = 403 if route.auth is Door.LOCAL else 401
    assert statuses == [unreadable, 401, 401, 401, 401, 401]


@pytest.mark.parametrize("route", GUARDED, ids=names(GUARDED))
def test_bearer_in_lower_case_counts_on_api_v1_only(route: Route) -> None:
    gate = MemoryGateway()
    header = f"Authorization: bearer {gate.pair()}\r\n\r\n"
    answer = gate.client.send(f"{route.method} {path_of(route)} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n{header}".encode()).response
    assert (answer.status != 401) is route.path.startswith("/api/v1/")


# --- methods -----------------------------------------------------------------------------------------------------------------------------

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "FOO")


@pytest.mark.parametrize("path", sorted({path_of(route) for route in ROUTES}))
def test_wrong_method_is_a_405_that_lists_the_right_ones(path: str) -> None:
    gate = MemoryGateway()
    right = {route.method for route in ROUTES if path_of(route) == path}
    allowed = ",".join(sorted(right | ({"HEAD"} if "GET" in right else set())))
    for method in METHODS:
        if method not in right:
            answer = gate.client.request(method, path)
            check_common(answer)
            assert (answer.status, answer.headers["allow"], answer.headers["content-type"]) == (405, allowed, JSON)
            assert answer.json == {"error": "Method not allowed"}


def test_wrong_method_is_no_failed_credential() -> None:
    gate = MemoryGateway()
    statuses = [gate.client.get("/webhook", token="wrong").status for _ in range(20)]
    assert statuses == [405] * 20
    assert gate.client.post("/webhook", {"message": "hi"}, token="wrong").status == 401


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "GET"], ids=lambda route: route.endpoint)
def test_head_answers_like_get_without_a_body(route: Route) -> None:
    gate = MemoryGateway()
    token = gate.pair()
    answers = [gate.client.request(method, path_of(route), token=token) for method in ("GET", "HEAD")]
    got, head = answers
    assert head.body == b""
    assert (head.status, head.headers["content-type"]) == (got.status, got.headers["content-type"])
    if route.path not in ("/health", "/readyz", "/metrics") and ROWS[route.endpoint][1] != EVENTS:
        assert head.headers["content-length"] == str(len(got.body))


def test_no_answer_allows_another_origin() -> None:
    gate = MemoryGateway()
    for path in ("/health", "/webhook", "/nothing"):
        answer = gate.client.request("OPTIONS", path, headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"})
        assert not [name for name in answer.headers if name.startswith("access-control")]


# --- paths -------------------------------------------------------------------------------------------------------------------------------

UNKNOWN = [
    "/",
    "/Health",
    "/health/",
    "/healt",
    "/healthz",
    "/webhook/",
    "/API/devices",
    "/api",
    "/api/",
    "/api/inbox/",
    "/api/inbox/a/b",
    "/api/devices/",
    "/api/inbox/%252f",
    "/pair/",
    "/pair/code/",
    "/*",
    "/health;x",
    "/favicon.ico",
    "/health%20",
    "/_app/x.js",
    "/whatsapp/x",
]
AMBIGUOUS = [
    "//evil.example",
    "//evil.example/%2e%2e",
    "//health",
    "/api//devices",
    "/health//",
    "/./health",
    "/../health",
    "/api/../health",
    "/health/.",
    "/health/..",
    "/%2e%2e/health",
    "/%2E/health",
    "/api%2fdevices",
    "/api%2Fdevices",
    "/api/inbox/a%2fb",
    "/api/inbox/a%5cb",
    "/health%00",
    "/health%0d%0aX:1",
    "/%ff",
    "/api/inbox/%ff",
    "/api/inbox/%c0%af",
    "/health%",
    "/health%zz",
    "/api/devices/%2e%2e",
    "/api/inbox/%7f",
]


@pytest.mark.parametrize("path", UNKNOWN)
def test_unknown_path_is_a_json_404(path: str) -> None:
    gate = MemoryGateway()
    answer = gate.client.get(path, token=gate.pair())
    check_common(answer)
    assert (answer.status, answer.headers["content-type"]) == (404, JSON)
    assert answer.json["error"] in ("Not found",)


@pytest.mark.parametrize("path", AMBIGUOUS)
def test_ambiguous_path_is_refused_before_anything_is_matched(path: str) -> None:
    gate = MemoryGateway()
    token = gate.pair()
    for method, body in (("GET", b""), ("POST", b"{}")):
        answer = gate.client.request(method, path, body, token=token)
        check_common(answer)
        assert (answer.status, answer.headers["content-type"]) == (400, JSON)
        assert "location" not in answer.headers


@pytest.mark.parametrize("raw", [b"/health\xff", b"/he\\alth", b"\\health", b"/health\x01", b"health", b"http://evil.example/health", b"*"])
def test_raw_bytes_that_are_no_path_are_refused(raw: bytes) -> None:
    answer = MemoryGateway().client.send(b"GET " + raw + b" HTTP/1.1\r\nHost: x\r\n\r\n").response
    check_common(answer)
    assert answer.status in (400, 404)
    assert b"evil" not in answer.body


def test_encoded_letters_mean_the_same_route_and_the_same_lock() -> None:
    gate = MemoryGateway()
    token = gate.pair()
    assert gate.client.get("/%68ealth").json["status"] == "ok"
    assert [gate.client.get("/api/%64evices", token=each).status for each in (None, token)] == [401, 200]


@pytest.mark.parametrize("host", ["<script>alert(1)</script>.example", "evil.example", 'a"b', ""])
def test_host_header_is_never_echoed(host: str) -> None:
    gate = MemoryGateway()
    for path in ("/health", "/nothing", "//x", "/webhook", "/pair/page"):
        raw = gate.client.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).raw
        assert b"script>alert" not in raw
        assert b"evil.example" not in raw


# --- answers that never become a request ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nBad Header: x\r\n\r\n", 400),
        (b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\n", 400),
        (b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n", 413),
        (b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n", 413),
        (b"POST /webhook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n", 413),
        (b"POST /pair HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n", 413),
        (b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
    ],
)
def test_refusal_while_reading_looks_like_any_other_answer(raw: bytes, status: int) -> None:
    answer = MemoryGateway().client.send(raw).response
    check_common(answer)
    assert (answer.status, answer.headers["content-type"], answer.headers["connection"]) == (status, JSON, "close")
    assert list(answer.json) == ["error"]


def test_body_of_exactly_the_cap_is_read() -> None:
    gate = MemoryGateway()
    head, tail = b'{"message":"', b'"}'
    body = head + b"a" * (65_536 - len(head) - len(tail)) + tail
    answer = gate.client.post("/webhook", body, token=gate.pair(), headers={"Content-Type": "application/json"})
    assert (len(body), answer.status) == (65_536, 200)


def test_body_that_is_too_large_counts_against_no_limiter() -> None:
    gate = gateway(webhook_rate_limit_per_minute=1)
    token = gate.pair()
    statuses = [gate.client.post("/webhook", b"x" * 65_537, token=token).status for _ in range(3)]
    assert [*statuses, gate.client.post("/webhook", {"message": "hi"}, token=token).status] == [413, 413, 413, 200]


def test_each_answer_has_an_id_of_its_own() -> None:
    gate = MemoryGateway()
    answers = [gate.client.get(path) for path in ("/health", "/health", "/nothing", "//x")] + [gate.client.send(b"x\r\n\r\n").response]
    assert len({answer.headers["x-request-id"] for answer in answers}) == len(answers)


# --- prefix --------------------------------------------------------------------------------------------------------------------------------


def test_everything_lives_below_the_prefix() -> None:
    gate = gateway(path_prefix="/agents/a")
    for route in ROUTES:
        answer = gate.client.request(route.method, "/agents/a" + path_of(route), peer="operator")
        check_common(answer)
        assert answer.status == ROWS[route.endpoint][0], route.endpoint


def test_outside_the_prefix_there_is_nothing() -> None:
    gate = gateway(path_prefix="/agents/a")
    outside = ["/agents/a" + "b/health", "/agents", "/agents/b/health", "/Agents/a/health", "/", *(path_of(route) for route in ROUTES)]
    assert {gate.client.get(path).status for path in outside} == {404}


def test_prefix_with_a_slash_leads_to_the_prefix() -> None:
    gate = gateway(path_prefix="/agents/a")
    answer = gate.client.get("/agents/a/")
    check_common(answer)
    assert (answer.status, answer.headers["location"], answer.body, answer.headers["content-type"]) == (308, "/agents/a", b"", TEXT)
    assert gate.client.get("/agents/a").status == 404


def test_addresses_that_the_gateway_names_carry_the_prefix() -> None:
    gate = gateway(path_prefix="/agents/a")
    code = gate.client.post("/agents/a/admin/paircode/new", peer="operator").json["pairing_code"]
    token = gate.client.post("/agents/a/pair", headers={"X-Pairing-Code": code}).json["token"]
    answer = gate.client.post("/agents/a/webhook", {"message": "hi"}, token=token, headers={"Prefer": "respond-async"})
    assert answer.headers["location"] == answer.json["status_url"] == f"/agents/a/api/inbox/{answer.json['id']}"
    assert gate.client.get(answer.json["status_url"], token=token).json["id"] == answer.json["id"]


def test_body_cap_of_a_path_that_is_no_path_is_the_ordinary_one() -> None:
    gate = gateway(path_prefix="/p")
    assert [gate.gateway.web.body_cap(path) for path in (b"/%ff", b"/p/%ff", b"/p/webhook", b"/\xff", b"//")] == [None] * 5


# --- the router (T1, T2) ---------------------------------------------------------------------------------------------------------------------


async def first(call: Call) -> Answer:
    return text_answer(200, "first")


def same_name(text: str) -> type[object]:
    class Surface:
        async def show(self, call: Call) -> Answer:
            return text_answer(200, text)

    return Surface


def test_t1_handlers_of_one_name_answer_for_themselves() -> None:
    gate = MemoryGateway(start=False)
    router, one, two = gate.gateway.router, same_name("one")(), same_name("two")()
    router.add("GET", "/one", one.show, auth=Door.PUBLIC)  # type: ignore[attr-defined]  # made above
    router.add("GET", "/two", two.show, auth=Door.PUBLIC)  # type: ignore[attr-defined]  # made above
    router.add("GET", "/three/<name>", one.show, auth=Door.PUBLIC)  # type: ignore[attr-defined]  # made above
    gate.start()
    assert [gate.client.get(path).body for path in ("/one", "/two", "/three/x")] == [b"one", b"two", b"one"]


def test_t2_one_table_takes_each_route_once() -> None:
    router = Router()
    router.add("GET", "/x", first, auth=Door.PUBLIC)
    router.add("POST", "/x", first, auth=Door.PUBLIC)
    with pytest.raises(ValueError, match="GET /x is registered twice"):
        router.add("GET", "/x", first, auth=Scope.ADMIN)
    assert [route.endpoint for route in router.routes] == ["GET /x", "POST /x"]
    assert isinstance(router.match("GET", b"/x"), Match)
    assert router.match("PUT", b"/x") == NoRoute(("GET", "HEAD", "POST"))


def test_route_without_a_word_on_who_may_come_in_is_no_route() -> None:
    with pytest.raises(TypeError, match="auth"):
        Router().add("GET", "/x", first)  # type: ignore[call-arg]  # that is the point


def test_child_resources_are_refused() -> None:
    with pytest.raises(NotImplementedError):
        MemoryGateway(start=False).gateway.web.putChild(b"x", object())


def test_every_status_has_its_reason() -> None:
    gate = gateway(pair_rate_limit_per_minute=1)
    gate.client.post("/pair")
    limited = gate.client.send(b"POST /pair HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    assert limited.raw.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
