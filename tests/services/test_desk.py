"""Looking at items and deciding about those that stopped (design §5, `clawgate inbox`)."""

from __future__ import annotations

from road import agent_of, ask, gate, item, items, tell

from clawgate.domain.errors import AgentAuth
from clawgate.domain.inbox import State
from clawgate.domain.settings.model import GatewaySettings
from clawgate.services.desk import MAX_PAGE
from clawgate.testing.agents import Hang

PAIRED = GatewaySettings(webhook_rate_limit_per_minute=0, api_rate_limit_per_minute=0)


def test_an_item_is_shown_to_its_owner_and_to_nobody_else() -> None:
    road = gate(own=PAIRED)
    mine, other = road.pair(scopes=["chat"]), road.pair(scopes=["chat"])
    told = road.client.post("/webhook", {"message": "hi"}, token=mine, headers={"Prefer": "respond-async"}).json["id"]
    assert road.client.get(f"/api/inbox/{told}", token=mine).json["response"] == "ok"
    assert road.client.get(f"/api/inbox/{told}", token=other).status == 404
    assert road.client.get("/api/inbox/0000000000009999", token=other).status == 404


def test_an_administrator_sees_everything() -> None:
    road = gate(own=PAIRED)
    mine, admin = road.pair(scopes=["chat"]), road.pair()
    told = road.client.post("/webhook", {"message": "hi"}, token=mine, headers={"Prefer": "respond-async"}).json["id"]
    assert road.client.get(f"/api/inbox/{told}", token=admin).status == 200


def test_pages_are_bounded_and_newest_first() -> None:
    road = gate()
    told = [tell(road, str(number)) for number in range(5)]
    first = road.client.get("/api/inbox?limit=2").json
    second = road.client.get(f"/api/inbox?limit=2&cursor={first['cursor']}").json
    third = road.client.get(f"/api/inbox?limit=2&cursor={second['cursor']}").json
    shown = [one["id"] for page in (first, second, third) for one in page["items"]]
    assert (shown, third["cursor"]) == (told[::-1], None)
    assert MAX_PAGE == 500
    assert road.client.get("/api/inbox?limit=99999").status == 200


def test_what_is_done_can_be_neither_retried_nor_dropped() -> None:
    road = gate()
    told = tell(road)
    answers = [road.client.post(f"/api/inbox/{told}/{word}").status for word in ("retry", "drop")]
    assert (answers, item(road, told).state) == ([409, 409], State.DONE)


def test_what_runs_cannot_be_retried() -> None:
    road = gate([Hang()])
    assert road.client.post(f"/api/inbox/{tell(road)}/retry").status == 409


def test_an_item_that_is_not_there_is_404() -> None:
    road = gate()
    assert [road.client.post(f"/api/inbox/{name}/drop").status for name in ("0000000000000042", "nonsense")] == [404, 404]


def test_dropping_the_head_lets_the_conversation_go_on() -> None:
    road = gate([Hang(), "ok"])
    head, following = tell(road, "head", session="s"), tell(road, "following", session="s")
    road.client.post(f"/api/inbox/{head}/drop")
    road.pump()
    assert [item(road, told).state for told in (head, following)] == [State.DROPPED, State.DONE]


def test_dropping_frees_the_key() -> None:
    road = gate([Hang(), "ok"])
    ask(road, key="k")
    road.client.post(f"/api/inbox/{items(road)[0].id}/drop")
    assert ask(road, key="k").response.json["response"] == "ok"


def test_retrying_a_dead_head_goes_behind_what_its_conversation_did_since() -> None:
    road = gate([AgentAuth(), "ok"])
    dead = tell(road, "dead", session="s")
    tell(road, "since", session="s")
    road.client.post(f"/api/inbox/{dead}/retry")
    road.pump()
    assert (item(road, dead).state, agent_of(road).most_running) == (State.DONE, 1)
