"""Events on their way to subscribers, with a clock that stands still and a receiver that a test decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from twisted.internet.defer import Deferred, succeed

from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import GatewaySettings, Settings, SubscriptionSettings
from clawgate.domain.signing.scheme import Delivery
from clawgate.domain.signing.standard import check, keys_of
from clawgate.domain.subscriptions import Answered, Unreached
from clawgate.ports.subscriptions import Outgoing
from clawgate.services.subscriptions import AT_ONCE
from clawgate.testing.agents import Hang, ScriptedAgent
from clawgate.testing.gateway import MemoryGateway

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OWN = SubscriptionSettings(url=Secret("https://hooks.example/in"), secret=(Secret(SECRET),))


class Receiver:
    """Answers each POST with the next of `answers`, the last one for ever; a None waits until it is cancelled."""

    def __init__(self, *answers: Answered | Unreached | None) -> None:
        self.answers, self.got = list(answers or (Answered(200),)), list[Outgoing]()

    def post(self, outgoing: Outgoing) -> Deferred[Answered | Unreached]:
        self.got.append(outgoing)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return Deferred() if answer is None else succeed(answer)

    @property
    def events(self) -> list[Any]:  # JSON
        return [msgspec.json.decode(outgoing.body) for outgoing in self.got]

    @property
    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]

    @property
    def ids(self) -> list[str]:
        return [outgoing.headers["webhook-id"] for outgoing in self.got]


def gate_with(receiver: object, subscriptions: Mapping[str, SubscriptionSettings] | None = None, **options: Any) -> MemoryGateway:
    own = GatewaySettings(require_pairing=False, webhook_rate_limit_per_minute=0, api_rate_limit_per_minute=0)
    settings = Settings(gateway=own, subscriptions=dict({"main": OWN} if subscriptions is None else subscriptions))
    return MemoryGateway(settings, edges={"poster": receiver}, **options)


def changed(**changes: object) -> SubscriptionSettings:
    return msgspec.structs.replace(OWN, **changes)


def ask(gate: MemoryGateway, text: str = "hi") -> str:
    answer = gate.client.post("/webhook", {"message": text}, headers={"Prefer": "respond-async"})
    gate.pump()
    return str(answer.json["id"])


def shown(gate: MemoryGateway, name: str = "main") -> Any:  # JSON
    return gate.client.get(f"/api/subscriptions/{name}", peer="operator").json


def make_task(gate: MemoryGateway) -> str:
    answer = gate.client.post("/tasks", {"title": "t"}, peer="operator")
    gate.pump()
    return str(answer.json["id"])


def decide(gate: MemoryGateway, what: str, name: str = "main") -> Any:  # JSON
    answer = gate.client.post(f"/api/subscriptions/{name}/{what}", peer="operator")
    gate.pump()
    return answer.json


def test_an_outcome_arrives_at_once_and_signed() -> None:
    receiver = Receiver()
    gate = gate_with(receiver)
    item = ask(gate)
    (outgoing,) = receiver.got
    (event,) = receiver.events
    assert (event["type"], event["data"]["id"], event["data"]["state"], "answer" in event["data"]) == ("message_done", item, "done", False)
    assert (outgoing.url, outgoing.timeout_seconds, outgoing.allow_private) == (OWN.url.reveal(), 20, False)
    assert outgoing.headers["Content-Type"] == "application/json"
    delivery = Delivery(method="POST", url="", headers=outgoing.headers, body=outgoing.body)
    assert check(delivery, keys_of((Secret(SECRET),)), "webhook", 0, gate.clock.wall_ms() / 1000).id == receiver.ids[0]
    assert (shown(gate)["queued"], shown(gate)["delivered"], shown(gate)["state"]) == (0, 1, "active")


def test_the_answer_goes_along_when_that_is_asked_for() -> None:
    receiver = Receiver()
    gate = gate_with(receiver, {"main": changed(include_answer=True)}, agent=ScriptedAgent(["forty-two"]))
    ask(gate)
    assert receiver.events[0]["data"]["answer"] == "forty-two"


def test_a_head_that_fails_is_tried_again_by_the_schedule_with_its_id_and_holds_up_the_rest() -> None:
    receiver = Receiver(Answered(500), Unreached("timeout"), Answered(302), Answered(200))
    gate = gate_with(receiver)
    items = [ask(gate, text) for text in ("one", "two")]
    assert len(receiver.got) == 1
    gate.clock.advance(4.9)
    assert len(receiver.got) == 1
    gate.clock.advance(0.7)
    assert len(receiver.got) == 2
    gate.clock.advance(331)
    assert len(receiver.got) == 3
    assert shown(gate)["last_error"] == "HTTP 302"
    gate.clock.advance(1_981)
    assert [event["data"]["id"] for event in receiver.events] == [items[0]] * 4 + [items[1]]
    assert len(set(receiver.ids[:4])) == 1
    assert len({outgoing.body for outgoing in receiver.got[:4]}) == 1
    stamps = [int(outgoing.headers["webhook-timestamp"]) for outgoing in receiver.got]
    assert stamps[0] < stamps[1] < stamps[2] < stamps[3] <= stamps[4]
    assert [attempt["status"] for attempt in shown(gate)["recent_attempts"]] == [200, 200, 302, None, 500]


def test_when_the_schedule_has_run_out_it_is_paused_nothing_is_dropped_and_that_is_told() -> None:
    receiver = Receiver(Answered(500))
    gate = gate_with(receiver)
    ask(gate)
    for _ in range(12):
        gate.clock.step_wall(25 * 3_600_000)
        gate.store.subscriptions.told()  # timers follow the monotonic clock
        gate.pump()
    assert len(receiver.got) == 10
    ask(gate)
    now = shown(gate)
    assert (now["state"], now["reason"], now["queued"]) == ("paused", "schedule_exhausted", 2)
    receiver.answers = [Answered(200)]
    assert decide(gate, "resume")["state"] == "active"
    assert (len(receiver.got), shown(gate)["queued"]) == (12, 0)
    told = gate.client.get("/api/events/history", peer="operator").json["events"]
    assert [event["type"] for event in told] == ["subscription_paused", "subscription_resumed"]


def test_410_stops_until_a_person_resumes() -> None:
    receiver = Receiver(Answered(410), Answered(200))
    gate = gate_with(receiver)
    ask(gate)
    ask(gate)
    gate.clock.advance(400)
    assert (len(receiver.got), shown(gate)["state"], shown(gate)["queued"]) == (1, "stopped", 2)
    assert gate.client.post("/api/subscriptions/main/pause", peer="operator").status == 409
    decide(gate, "resume")
    assert len(receiver.got) == 3


def test_a_slow_receiver_is_not_hurried() -> None:
    receiver = Receiver(Answered(429, retry_after=60.0), Answered(200))
    gate = gate_with(receiver)
    ask(gate)
    ask(gate)
    gate.clock.advance(59)
    assert len(receiver.got) == 1
    gate.clock.advance(1.5)
    assert len(receiver.got) == 3


def test_a_person_pauses_and_events_wait() -> None:
    receiver = Receiver()
    gate = gate_with(receiver)
    assert decide(gate, "pause")["state"] == "paused"
    ask(gate)
    assert (receiver.got, shown(gate)["queued"], shown(gate)["reason"]) == ([], 1, "operator")
    decide(gate, "resume")
    assert len(receiver.got) == 1


def test_a_process_that_is_killed_between_send_and_record_sends_again_with_the_same_id() -> None:
    receiver = Receiver(None)
    gate = gate_with(receiver)
    items = [ask(gate), ask(gate)]
    receiver.answers = [Answered(200)]
    gate.store.kill()
    gate_with(receiver, store_image=gate.store.image(), before=gate).pump()
    assert [event["data"]["id"] for event in receiver.events] == [items[0], items[0], items[1]]
    assert receiver.ids[0] == receiver.ids[1] != receiver.ids[2]


def test_an_outcome_that_recovery_makes_is_sent_too() -> None:
    gate = gate_with(Receiver(), agent=ScriptedAgent([Hang()]))
    pending = gate.client.begin("POST", "/webhook", {"message": "hi"})
    assert not pending.is_answered
    gate.store.kill()
    receiver = Receiver()
    gate_with(receiver, store_image=gate.store.image(), before=gate).pump()
    assert receiver.kinds == ["message_dropped"]


def test_a_record_is_tried_again_while_the_store_refuses_and_the_send_is_not() -> None:
    receiver = Receiver(None)
    gate = gate_with(receiver)
    waiting: list[Deferred[Answered | Unreached]] = []

    def post(outgoing: Outgoing) -> Deferred[Answered | Unreached]:
        receiver.got.append(outgoing)
        waiting.append(Deferred())
        return waiting[-1]

    receiver.post = post  # type: ignore[method-assign]  # this test answers by hand
    ask(gate)
    gate.store.break_writes("disk full")
    waiting[0].callback(Answered(200))
    gate.clock.advance(10)
    assert len(receiver.got) == 1
    gate.store.break_writes("")
    gate.clock.advance(2)
    assert (len(receiver.got), shown(gate)["delivered"]) == (1, 1)


def test_subscribers_do_not_wait_for_each_other_and_each_has_one_send_at_a_time() -> None:
    names = [f"s{number:02}" for number in range(AT_ONCE + 2)]
    receiver = Receiver(None)
    gate = gate_with(receiver, dict.fromkeys(names, OWN))
    for _ in range(3):
        ask(gate)
    assert len(receiver.got) == AT_ONCE
    assert len(set(receiver.ids)) == AT_ONCE


def test_events_of_the_bus_come_by_their_names() -> None:
    receiver = Receiver()
    gate = gate_with(receiver, {"main": changed(events=("task.*",))})
    task = make_task(gate)
    ask(gate)
    assert [(event["type"], event["data"]["id"]) for event in receiver.events] == [("task_created", task)]


def test_an_event_that_the_store_refuses_is_counted_and_the_change_is_taken_up_later() -> None:
    receiver = Receiver()
    gate = gate_with(receiver, {"main": changed(events=("config_changed",))})
    gate.store.break_writes("disk full")
    reload(gate, {"main": {"url": OWN.url.reveal(), "secret": SECRET, "events": ["config_changed", "message_done"]}})
    assert b"clawgate_subscription_missed_total 1.0" in gate.edges.meter.exposition()
    gate.store.break_writes("")
    gate.clock.advance(2)
    ask(gate)
    assert receiver.kinds == ["message_done"]


def test_a_full_line_is_counted_and_told() -> None:
    receiver = Receiver(Answered(500), Answered(200))
    gate = gate_with(receiver, {"main": changed(max_queued=1)})
    for _ in range(3):
        ask(gate)
    assert (shown(gate)["queued"], shown(gate)["missed"]) == (1, 2)
    exposition = gate.edges.meter.exposition()
    assert b"clawgate_subscription_missed_total 2.0" in exposition
    assert b"clawgate_subscription_queue_depth 1.0" in exposition
    gate.clock.advance(6)
    assert (receiver.kinds, receiver.events[-1]["data"]) == (["message_done", "message_done", "events_missed"], {"count": 2})
    assert b'clawgate_subscription_deliveries_total{outcome="failed"} 1.0' in gate.edges.meter.exposition()


def test_a_test_event_goes_the_same_way_whatever_is_asked_for() -> None:
    receiver = Receiver()
    gate = gate_with(receiver, {"main": changed(events=("task_*",))})
    assert decide(gate, "test") == {"id": receiver.ids[0]}
    assert receiver.kinds == ["subscription_test"]


def test_one_that_is_switched_off_gets_nothing() -> None:
    receiver = Receiver()
    gate = gate_with(receiver, {"main": changed(enabled=False)})
    ask(gate)
    assert (receiver.got, shown(gate)["state"], shown(gate)["queued"]) == ([], "disabled", 0)
    assert gate.client.post("/api/subscriptions/main/test", peer="operator").status == 409


def reload(gate: MemoryGateway, subscriptions: Mapping[str, object]) -> None:
    gate.config.base = gate.config.base | {"subscriptions": dict(subscriptions)}
    Deferred.fromCoroutine(gate.gateway.live.reload())
    gate.pump()


def test_subscriptions_come_change_and_go_while_running() -> None:
    receiver = Receiver()
    gate = gate_with(receiver, {})
    ask(gate)
    reload(gate, {"late": {"url": "https://late.example/", "secret": SECRET}})
    ask(gate)
    assert [outgoing.url for outgoing in receiver.got] == ["https://late.example/"]
    receiver.answers = [Answered(500)]
    ask(gate)
    reload(gate, {})
    gate.clock.advance(400)
    assert (len(receiver.got), shown(gate, "late")["state"], shown(gate, "late")["queued"]) == (2, "removed", 1)
    assert decide(gate, "drop", "late") == {"dropped": 1}
    assert gate.client.get("/api/subscriptions/late", peer="operator").status == 404
    assert gate.client.get("/api/subscriptions", peer="operator").json == {"subscriptions": []}


def test_dropping_empties_a_line_and_later_events_come() -> None:
    receiver = Receiver(Answered(500), Answered(200))
    gate = gate_with(receiver)
    ask(gate, "one")
    ask(gate, "two")
    assert decide(gate, "drop") == {"dropped": 2}
    item = ask(gate, "three")
    assert receiver.events[-1]["data"]["id"] == item
    assert len(receiver.got) == 2


def test_stopping_waits_for_what_is_under_way_a_moment_and_leaves_it_in_line() -> None:
    cancelled: list[Outgoing] = []

    class Silent(Receiver):
        def post(self, outgoing: Outgoing) -> Deferred[Answered | Unreached]:
            waiting: Deferred[Answered | Unreached] = Deferred(lambda _: cancelled.append(outgoing))
            return waiting

    gate = gate_with(Silent())
    ask(gate)
    stopped: list[object] = []
    gate.stop().addBoth(stopped.append)
    gate.clock.advance(30)
    assert len(cancelled) == len(stopped) == 1
    receiver = Receiver()
    gate_with(receiver, store_image=gate.store.image(), before=gate).pump()
    assert receiver.kinds == ["message_done"]


def test_nothing_is_sent_without_a_secret_and_events_wait() -> None:
    receiver = Receiver()
    gate = gate_with(receiver, {"main": changed(secret=())})
    ask(gate)
    assert (receiver.got, shown(gate)["last_error"], shown(gate)["queued"]) == ([], "no_secret", 1)
    reload(gate, {"main": {"url": OWN.url.reveal(), "secret": SECRET}})
    gate.clock.advance(6)
    assert receiver.kinds == ["message_done"]


def test_a_poster_that_breaks_its_port_is_a_failed_attempt() -> None:
    class Broken(Receiver):
        def post(self, outgoing: Outgoing) -> Deferred[Answered | Unreached]:
            raise RuntimeError("broken")

    gate = gate_with(Broken())
    ask(gate)
    assert shown(gate)["last_error"] == "internal_error"


@pytest.mark.parametrize(
    ("url", "plain"),
    [("https://h.example", "https://h.example"), ("https://h.example/T0/secret?token=x", "https://h.example/…"), ("http://h:8/", "http://h:8")],
)
def test_of_a_url_only_the_host_is_shown(url: str, plain: str) -> None:
    gate = gate_with(Receiver(), {"main": changed(url=Secret(url))})
    assert shown(gate)["url"] == plain


def test_what_cannot_be_recorded_is_not_sent_again_and_again() -> None:
    receiver = Receiver(Answered(10**30), Answered(200))
    gate = gate_with(receiver)
    ask(gate)
    assert len(receiver.got) == 1
    gate.clock.advance(2)
    assert (len(receiver.got), shown(gate)["last_error"], shown(gate)["attempts"]) == (1, "internal_error", 1)
    gate.clock.advance(6)
    assert (len(receiver.got), shown(gate)["delivered"]) == (2, 1)
