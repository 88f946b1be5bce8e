"""Every route of RantAIClaw's inventory is there, and a stranger gets its family's 401 (rantaiclaw.md §1, §3, §14, §15).

What each answers with a token, and each of its errors, stands in the test of its surface: `SHOWN_IN` names it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from clawgate.testing.gateway import MemoryGateway
from clawgate.web.router import Match

ROOT = {"error": "Unauthorized — pair first via POST /pair, then send Authorization: Bearer <token>"}
API = {"error": "unauthorized", "detail": "Pair via POST /pair, then send `Authorization: Bearer <token>`."}
TRIGGERS = {"error": "Unauthorized — pair first via POST /pair"}
PLANNED = {"ok": False, "error": "Unauthorized — pair first via POST /pair"}

INVENTORY = """
    none GET /health · GET /readyz · GET /metrics · POST /pair · POST /login
    signed GET /whatsapp · POST /whatsapp · POST /linq · POST /nextcloud-talk · POST /wati
    none GET /api/v1/version · GET /api/v1/auth/info
    root POST /webhook · GET /tasks · POST /tasks · GET /tasks/1 · PUT /tasks/1 · DELETE /tasks/1 · POST /tasks/1/review
    root GET /tasks/1/comments · POST /tasks/1/comments · GET /tasks/1/events
    triggers POST /triggers/deploy · POST /triggers/a/b/c
    api GET /api/v1/status · GET /api/v1/doctor · GET /api/v1/insights · GET /api/v1/channels
    api POST /api/v1/agent/chat · POST /api/v1/approvals/1
    api GET /api/v1/sessions · POST /api/v1/sessions/search · GET /api/v1/sessions/1 · DELETE /api/v1/sessions/1 · PUT /api/v1/sessions/1/title
    api GET /api/v1/skills · POST /api/v1/skills · POST /api/v1/skills/install · GET /api/v1/skills/a · DELETE /api/v1/skills/a
    api PUT /api/v1/skills/a/enabled · GET /api/v1/skills/a/content · PUT /api/v1/skills/a/content
    api GET /api/v1/memory · POST /api/v1/memory · GET /api/v1/memory/stats · GET /api/v1/memory/k · DELETE /api/v1/memory/k
    api GET /api/v1/personality · PUT /api/v1/personality
    api GET /api/v1/providers · GET /api/v1/providers/openai/models · POST /api/v1/providers/openai/models/refresh
    api GET /api/v1/config · PUT /api/v1/config/model · PUT /api/v1/config/autonomy
    api GET /api/v1/secrets · PUT /api/v1/secrets · GET /api/v1/config/knowledge · PUT /api/v1/config/knowledge
    api POST /api/v1/config/mcp_servers/a · DELETE /api/v1/config/mcp_servers/a · POST /api/v1/channels/telegram · DELETE /api/v1/channels/telegram
    api GET /api/v1/cron · POST /api/v1/cron · PUT /api/v1/cron/1 · DELETE /api/v1/cron/1 · POST /api/v1/cron/1/run · GET /api/v1/cron/1/runs
    api POST /api/v1/kb/search · GET /api/v1/kb/documents · POST /api/v1/kb/documents · GET /api/v1/kb/documents/1 · DELETE /api/v1/kb/documents/1
    api GET /api/v1/kb/groups · POST /api/v1/kb/groups · GET /api/v1/kb/groups/1 · PUT /api/v1/kb/groups/1 · DELETE /api/v1/kb/groups/1
    api GET /api/v1/kb/groups/1/documents · POST /api/v1/kb/groups/1/documents · DELETE /api/v1/kb/groups/1/documents/2
    api GET /api/v1/kb/drift · POST /api/v1/kb/re-embed · GET /api/v1/kb/documents/1/intelligence · POST /api/v1/kb/documents/1/re-extract
    api GET /api/v1/kb/graph
    planned GET /config · GET /config/channels · GET /config/mcp-servers
    planned PATCH /config/channels · PATCH /config/mcp-servers · PATCH /config/model · PATCH /config/tools · PATCH /config/agent
"""
ROUTES: list[tuple[str, str, str]] = [
    (family, *route.strip().split(" ", 1))
    for line in INVENTORY.strip().splitlines()
    for family, _, routes in [line.strip().partition(" ")]
    for route in routes.split(" · ")
]  # type: ignore[misc]  # `split` with a bound gives two
UNAUTHORIZED = {"root": ROOT, "triggers": TRIGGERS, "api": API, "planned": PLANNED}
GUARDED = [(family, method, path) for family, method, path in ROUTES if family in UNAUTHORIZED]


@pytest.mark.parametrize(("family", "method", "path"), ROUTES, ids=lambda part: part.replace("/", "_"))
def test_every_route_of_the_contract_is_there(family: str, method: str, path: str) -> None:
    router = MemoryGateway(start=False).gateway.router
    assert isinstance(router.match(method, path.encode()), Match)


def test_a_stranger_gets_the_401_of_each_family() -> None:
    gate = MemoryGateway()
    wrong = []
    for family, method, path in GUARDED:
        answer = gate.client.request(method, path, b"{", headers={"Content-Type": "application/json"}, peer=f"203.0.113.{len(wrong) % 250}")
        if (answer.status, answer.json) != (401, UNAUTHORIZED[family]):
            wrong.append((method, path, answer.status, answer.json))
    assert wrong == []


SHOWN_IN = {
    "/tasks": "test_tasks_surface.py",
    "/triggers": "test_triggers_surface.py",
    "/api/v1/agent": "test_agent_chat_surface.py",
    "/api/v1/sessions": "test_sessions_surface.py",
    "/api/v1/memory": "test_memory_surface.py",
    "/api/v1/skills": "test_skills_surface.py",
    "/api/v1/personality": "test_personality_surface.py",
    "/api/v1/cron": "test_cron_surface.py",
    "/api/v1/kb": "test_knowledge_surface.py",
    "/api/v1/config": "test_config_api.py",
    "/config": "test_config_api.py",
    "/whatsapp": "test_channel_surfaces.py",
}


@pytest.mark.parametrize("name", sorted(set(SHOWN_IN.values())))
def test_each_family_has_its_own_table(name: str) -> None:
    assert (Path(__file__).parent / name).is_file()
