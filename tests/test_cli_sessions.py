"""`clawgate sessions`, against a gateway in memory. Source: rantaiclaw.md §10 (sessions)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from click.testing import CliRunner, Result

from clawgate.cli import cli
from clawgate.commands.operator import Operator
from clawgate.system.control import Reply
from clawgate.testing.agents import ScriptedAgent
from clawgate.testing.gateway import MemoryGateway

FIRST = "11111111-1111-4111-8111-111111111111"
SECOND = "22222222-2222-4222-8222-222222222222"


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> MemoryGateway:
    """A gateway that the command line talks to in place of a daemon's socket."""
    gate = MemoryGateway(agent=ScriptedAgent(["the *answer*\nin two lines", "another"]))

    def exchange(own: Operator, method: str, path: str, body: object = None, **more: Any) -> Reply:  # options of a socket there is not
        data = json.dumps(body).encode() if body is not None else b""
        headers: Mapping[str, str] = {"Content-Type": "application/json"} if data else {}
        answer = gate.client.request(method, path, data, headers=headers, peer="operator")
        return Reply(answer.status, answer.json, answer.headers)

    monkeypatch.setattr(Operator, "exchange", exchange)
    for session, text in ((FIRST, "a question about tea\x1b[2J"), (SECOND, "coffee?")):
        answer = gate.client.post("/api/v1/agent/chat", {"message": text, "session_id": session}, peer="operator")
        assert answer.status == 200
        gate.clock.advance(60)
    return gate


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["sessions", *arguments], prog_name="clawgate")


def test_sessions_are_listed_newest_first(gate: MemoryGateway) -> None:
    lines = run("list").output.splitlines()
    assert lines[0].split() == ["ID", "STARTED", "MESSAGES", "MODEL", "TITLE"]
    assert [line.split()[0] for line in lines[1:]] == [SECOND, FIRST]
    assert "2027-01-15 08:01:00" in lines[1]


def test_a_cut_list_says_how_to_go_on(gate: MemoryGateway) -> None:
    assert run("list", "--limit", "1").output.splitlines()[-1] == "2 in all. More with: --offset 1"
    assert len(run("list", "--offset", "1").output.splitlines()) == 2


def test_a_session_is_shown_by_the_beginning_of_its_id_and_obeys_no_escape(gate: MemoryGateway) -> None:
    output = run("show", "1111").output
    assert FIRST in output
    assert "user, 2027-01-15 08:00:00:\na question about tea�[2J" in output
    assert "assistant, 2027-01-15 08:00:00:\nthe *answer*\nin two lines" in output


def test_an_unknown_session_is_one_sentence(gate: MemoryGateway) -> None:
    result = run("show", "nothing")
    assert (result.exit_code, result.output) == (1, "clawgate: no session matches `nothing`\n")


def test_a_search_shows_where_it_was_said(gate: MemoryGateway) -> None:
    assert run("search", "tea").output.splitlines()[1].split()[0] == FIRST
    assert run("search", "milk").output == "Nothing found.\n"
    assert run("search", " ").exit_code == 1


def test_a_session_is_renamed_and_forgotten(gate: MemoryGateway) -> None:
    assert run("rename", "2222", " Better \n title ").output == f"{SECOND} is now: Better title\n"
    assert run("rm", "2222").output == f"{SECOND} is forgotten.\n"
    assert [line.split()[0] for line in run("list").output.splitlines()[1:]] == [FIRST]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("list",), "sessions"),
        (("show", FIRST), "messages"),
        (("search", "tea"), "results"),
        (("rename", FIRST, "t"), "title"),
        (("rm", FIRST), "deleted"),
    ],
)
def test_json_is_what_the_daemon_said(gate: MemoryGateway, arguments: tuple[str, ...], name: str) -> None:
    assert name in json.loads(run(*arguments, "--json").output)


def test_no_sessions_is_a_sentence(gate: MemoryGateway) -> None:
    for session in (FIRST, SECOND):
        run("rm", session)
    assert run("list").output == "No sessions.\n"
