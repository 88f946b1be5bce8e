"""What the audit log holds after something was done through a real route, and `/api/audit`. Source: docs/howto/audit.md."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from argon2 import PasswordHasher
from twisted.internet.defer import Deferred

from clawgate.domain.audit import GENESIS
from clawgate.domain.caller import Caller, Scope, parse_networks
from clawgate.domain.secret import Secret
from clawgate.domain.settings import Settings
from clawgate.domain.settings.model import (
    AuditSettings,
    ChannelsSettings,
    ControlSettings,
    GatewaySettings,
    LinqChannel,
    LoginSettings,
    TerminalSettings,
)
from clawgate.domain.turn import ToolCall
from clawgate.testing.agents import Pieces, ScriptedAgent
from clawgate.testing.gateway import MemoryGateway, Response
from clawgate.testing.pty import ScriptedPtys
from clawgate.testing.sockets import SocketClient
from clawgate.testing.tools import ScriptedTools
from clawgate.web.control_plane import ControlPlaneListener
from clawgate.web.router import Door, Recorded
from tests.web.gate import check_common, device_of
from tests.web.platform_gate import PlatformGate, allowing, settings_of
from tests.web.test_channel_approvals import Chat
from tests.web.test_channel_onboarding import code_for, write
from tests.web.test_control_sockets import Client

Row = dict[str, Any]  # JSON
CANARY = "canary-0123456789abcdef"
PHC = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(CANARY)
QUESTION = {"type": "human_approval_request", "run_id": "run-1", "step_id": "deploy", "workflow_name": "release", "timeout": 60.0}


def settings(**changes: Any) -> Settings:  # sections
    gateway = GatewaySettings(pair_rate_limit_per_minute=0, webhook_rate_limit_per_minute=0, api_rate_limit_per_minute=0)
    return msgspec.structs.replace(Settings(default_provider="offline", gateway=gateway), **changes)


class House:
    """A gateway, an administrator's token, and what the log has that was not there at first."""

    def __init__(self, gate: MemoryGateway | None = None) -> None:
        self.gate = gate or MemoryGateway(settings())
        self.admin = self.gate.pair()
        self.device = device_of(self.gate, self.admin)
        self.before = int(self.ask("/api/audit/head")["seq"])

    def ask(self, path: str) -> Row:
        answer = self.gate.client.get(path, peer="operator")
        assert answer.status == 200, answer
        return dict(answer.json)

    def send(self, method: str, path: str, body: Any = b"", **options: Any) -> Response:  # as GateClient
        answer = self.gate.client.request(method, path, body, **({"token": self.admin} | options))
        self.gate.pump()
        return answer

    def entries(self, *actions: str) -> list[Row]:
        """Oldest first."""
        found = self.ask(f"/api/audit?limit=500&action={','.join(actions)}")["entries"]
        return [entry for entry in reversed(found) if entry["seq"] > self.before]

    def told(self, *actions: str) -> list[tuple[str, str, str, str]]:
        return [(entry["action"], entry["outcome"], entry["actor"], entry["subject"]) for entry in self.entries(*actions)]

    def details(self, *actions: str) -> list[Row]:
        return [msgspec.json.decode(entry["detail"]) for entry in self.entries(*actions)]

    def is_intact(self) -> bool:
        return bool(self.ask("/api/audit/verify")["intact"])

    def break_log(self) -> None:
        """Entries can no longer be added; everything else can be written."""
        self.sql("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no more'); END")

    def sql(self, *statements: str) -> None:
        for statement in statements:
            self.gate.store._writer.call(lambda connection, sql=statement: connection.execute(sql) and None)


# --- each action, through its own door


def test_pairing() -> None:
    house = House()
    token = house.gate.pair(name="phone", scopes=["chat"])
    device = house.gate.client.get("/api/devices", peer="operator").json["devices"][0]["id"]
    issued, paired = house.entries("code_issued", "device_paired")
    assert [issued["actor"], issued["outcome"], paired["actor"], paired["subject"]] == ["operator", "ok", "operator", device]
    detail = msgspec.json.decode(paired["detail"])
    assert (detail["name"], detail["scopes"], detail["client"]) == ("phone", ["chat"], "203.0.113.9")
    assert token not in str(house.ask("/api/audit?limit=500"))


def test_revocation_and_rotation() -> None:
    house = House()
    house.gate.pair()
    first = device_of(house.gate, house.admin)
    house.gate.pair()
    second = device_of(house.gate, house.admin)
    assert house.send("DELETE", f"/api/devices/{first}").status == 200
    assert house.send("POST", f"/api/devices/{second}/token/rotate").status == 200
    assert house.told("device_revoked") == [("device_revoked", "ok", house.device, first), ("device_revoked", "ok", house.device, second)]
    assert [detail["values"] for detail in house.details("command") if "values" in detail] == [{"device_id": first}] * 2 + [{"device_id": second}] * 2


def test_a_burned_code_and_a_lockout() -> None:
    house = House()
    house.send("POST", "/admin/paircode/new", {}, peer="operator")
    for number in range(60):
        house.send("POST", "/api/pair", {"code": "nope"}, peer=f"198.51.100.{number // 5}")
    locked = house.told("locked_out")
    assert (len(locked), locked[0]) == (12, ("locked_out", "refused", "198.51.100.0", "pairing"))
    assert house.told("code_burned") == [("code_burned", "ok", "gateway", "gateway")]


def test_strangers_fill_the_log_only_so_fast() -> None:
    house = House()
    for number in range(80 * 5):
        house.send("POST", "/api/pair", {"code": "nope"}, peer=f"198.51.{number // 5 // 200}.{number // 5 % 200}")
    assert len(house.told("locked_out")) == 60


def test_strangers_who_lock_themselves_out_do_not_hide_a_burned_code() -> None:
    gateway = GatewaySettings(pair_rate_limit_per_minute=0, login=LoginSettings(username="ann", password_hash=Secret(PHC)))
    house = House(MemoryGateway(settings(gateway=gateway)))
    for number in range(61):
        house.send("POST", "/login", {"username": "ann", "password": "wrong"}, token=None, peer=f"203.0.113.{number}")
    house.send("POST", "/admin/paircode/new", {}, peer="operator")
    for number in range(60):
        house.send("POST", "/api/pair", {"code": "nope"}, peer=f"198.51.100.{number}")
    assert len(house.told("login")) == 60
    assert len(house.told("code_burned")) == 1


def test_a_changed_configuration_names_keys_and_no_values() -> None:
    house = House()
    assert house.send("PUT", "/api/v1/secrets", {"api_key": CANARY}).status == 200
    assert house.send("PATCH", "/config/model", {"model": "other"}).status == 200
    told = house.told("config_changed")
    assert [(outcome, actor) for _, outcome, actor, _ in told] == [("asked", house.device), ("ok", house.device)] * 2
    assert [detail["live"] for detail in house.details("config_changed")] == [["api_key"]] * 2 + [["default_model"]] * 2
    assert CANARY not in str(house.entries())


def test_a_changed_configuration_that_cannot_be_written_is_told_as_failed() -> None:
    house = House()
    house.gate.config.problem = OSError("read-only")
    assert house.send("PATCH", "/config/model", {"model": "other"}).status == 503
    assert [outcome for _, outcome, _, _ in house.told("config_changed")] == ["asked", "failed"]
    assert [outcome for _, outcome, _, _ in house.told("command")] == ["asked", "refused"]


def test_a_file_edited_by_hand() -> None:
    house = House()
    house.gate.config.base = {**house.gate.config.base, "default_model": "by hand"}
    reload_now(house)
    assert [(outcome, actor) for _, outcome, actor, _ in house.told("config_changed")] == [("ok", "files")]


def reload_now(house: House) -> None:
    reloading = Deferred.fromCoroutine(house.gate.gateway.live.reload())
    house.gate.pump()
    assert reloading.called


class Talk(House):
    """Its agent wants to pay, which has to be allowed."""

    def __init__(self, *, key: str = "k") -> None:
        pay = Pieces((), (ToolCall("c1", "pay", f'{{"card": "{CANARY}"}}'),), stop="tool_calls")
        gate = MemoryGateway(settings(), agent=ScriptedAgent([pay, "paid"]))
        self.tools = ScriptedTools()
        gate.gateway.toolbox.add(self.tools)
        super().__init__(gate)
        body: Row = {"message": "pay", "session_id": "s"}
        self.chat = gate.client.begin("POST", "/api/v1/agent/chat", body, token=self.admin, headers={"X-Idempotency-Key": key})
        self.question = str(gate.client.get("/api/v1/approvals", token=self.admin).json["approvals"][0]["id"])

    def answer(self, **word: object) -> Response:
        return self.send("POST", f"/api/v1/approvals/{self.question}", word)


def test_an_approved_tool_call() -> None:
    house = Talk()
    assert house.answer(approve=True, always=True).status == 200
    assert [(action, outcome, actor) for action, outcome, actor, _ in house.told()] == [
        ("approval_asked", "asked", house.device),
        ("approval_answered", "approved", house.device),
        ("tool_begun", "ok", house.device),
        ("tool_ended", "ok", house.device),
    ]
    asked, answered, begun, ended = house.details()
    assert (asked["tool"], asked["id"], answered["id"], answered["always"]) == ("pay", house.question, house.question, True)
    assert (begun["tool"], begun["risk"], begun["source"], begun["arguments"]) == ("pay", "outside", "api", asked["arguments"])
    assert begun == ended
    assert len({entry["subject"] for entry in house.entries()}) == 1
    assert CANARY not in str(house.entries())


def test_a_denied_tool_call() -> None:
    house = Talk()
    assert house.answer(approve=False).status == 200
    assert [(action, outcome) for action, outcome, _, _ in house.told()] == [("approval_asked", "asked"), ("approval_answered", "denied")]


def test_a_question_that_nobody_answers() -> None:
    house = Talk()
    house.gate.clock.advance(3600)
    house.gate.pump()
    answered = ("approval_answered", "expired", "nobody", house.entries("approval_asked")[0]["subject"])
    assert house.told("approval_answered") == [answered]


def test_a_failed_tool_call_and_one_that_is_not_allowed() -> None:
    calls = (ToolCall("c1", "pay", "{}"), ToolCall("c2", "nothing", "{}"))
    gate = MemoryGateway(settings(), agent=ScriptedAgent([Pieces((), calls, stop="tool_calls"), "done"]))
    gate.gateway.toolbox.add(ScriptedTools())
    house = House(gate)
    house.send("POST", "/webhook", {"message": "hi"})
    assert ("tool_refused", "refused") in [(action, outcome) for action, outcome, _, _ in house.told()]


def test_a_workflows_question() -> None:
    house = House()
    assert house.send("POST", "/api/channel-events", QUESTION, peer="127.0.0.1").status == 200
    assert house.send("POST", "/api/workflows/runs/run-1/approve", {"approved": False}).status == 200
    assert house.told() == [
        ("approval_asked", "asked", "workflow", "workflow:run-1"),
        ("approval_answered", "denied", house.device, "workflow:run-1"),
    ]


def test_a_word_given_in_a_chat() -> None:
    chat = Chat()
    house = House(chat.road.gate)
    chat.write("pay")
    chat.write("always")
    chat.write("pay 2")
    told = [(action, outcome) for action, outcome, _, _ in house.told() if action.startswith(("approval", "tools"))]
    assert told == [("approval_asked", "asked"), ("approval_answered", "approved"), ("tools_granted", "ok")]
    (actor,) = [actor for _, _, actor, _ in house.told("approval_answered")]
    assert actor.startswith("linq:+")  # a sender cannot pass for a caller by their name


def test_a_denial_given_in_a_chat() -> None:
    chat = Chat()
    house = House(chat.road.gate)
    chat.write("pay")
    chat.write("no")
    assert [outcome for _, outcome, _, _ in house.told("approval_answered")] == ["denied"]


def test_somebody_let_in_on_a_channel() -> None:
    road = PlatformGate(settings_of(allowing(), webhook_rate_limit_per_minute=0))
    road.taking("linq", 2)
    house = House(road.gate)
    write(road, "linq", f"/bind {code_for(road, 'linq')}", 1)
    assert [row for row in house.told() if row[0] != "command"] == [
        ("code_issued", "ok", "operator", "linq"),
        ("channel_admitted", "asked", "linq:+555", "linq"),
        ("channel_admitted", "ok", "linq:+555", "linq"),
    ]


def test_logins() -> None:
    gateway = GatewaySettings(pair_rate_limit_per_minute=0, login=LoginSettings(username="ann", password_hash=Secret(PHC)))
    house = House(MemoryGateway(settings(gateway=gateway)))
    for _ in range(5):
        house.send("POST", "/login", {"username": "ann", "password": "wrong"}, token=None)
    assert house.send("POST", "/login", {"username": "ann", "password": CANARY}, token=None, peer="198.51.100.1").status == 200
    assert house.told("login") == [("login", "refused", "203.0.113.9", "console")] * 5 + [("login", "ok", "ann", "console")]
    assert house.told("locked_out") == [("locked_out", "refused", "203.0.113.9", "console")]
    assert CANARY not in str(house.entries())


def test_a_terminal() -> None:
    ptys = ScriptedPtys()
    house = House(MemoryGateway(settings(terminal=TerminalSettings(enabled=True)), edges={"ptys": ptys}))
    client = SocketClient(house.gate, "/ws/terminal", token=house.admin)
    client.leave()
    ptys.opened[-1].exit()
    told = [(action, outcome, actor) for action, outcome, actor, _ in house.told()]
    assert told == [
        ("terminal_opened", "asked", house.device),
        ("terminal_opened", "ok", house.device),
        ("terminal_closed", "ok", house.device),
    ]


class Plane:
    """The control plane of a house; what `test_control_sockets.Client` needs."""

    def __init__(self, house: House) -> None:
        self.gate, plane = house.gate, house.gate.gateway.control
        assert plane is not None
        edges = house.gate.edges
        self.listener = ControlPlaneListener(
            plane, edges.clock, house.gate.gateway.health, edges.clock.reactor, "127.0.0.1", 0, parse_networks(("127.0.0.1",))
        )
        self.token = plane.tokens.current().text.reveal()


def test_commands_of_the_control_plane() -> None:
    own = settings(control=ControlSettings(enabled=True), provider_keys=(("gemini", Secret(CANARY)),))
    house = House(MemoryGateway(own))
    client: Any = Client(Plane(house))  # type: ignore[arg-type]  # what of Scene it uses
    for command, data in (
        ("ping", None),
        ("status", None),
        ("switch_provider", {"provider": "gemini"}),
        ("switch_provider", {}),
        ("rotate_token", None),
    ):
        client.ask(command, data)
    told = [(outcome, actor, subject) for _, outcome, actor, subject in house.told("control_command")]
    assert told == [
        ("asked", "control", "switch_provider"),
        ("ok", "control", "switch_provider"),
        ("asked", "control", "switch_provider"),
        ("failed", "control", "switch_provider"),
        ("asked", "control", "rotate_token"),
        ("ok", "control", "rotate_token"),
    ]
    assert [actor for _, _, actor, _ in house.told("config_changed")] == ["control", "control"]
    assert CANARY not in str(house.entries())


def test_the_life_of_the_process() -> None:
    house = House()
    house.gate.stop()
    for _ in range(100):
        house.gate.clock.advance(1)
    again = House(house.gate.restart())
    actions = [entry["action"] for entry in again.ask("/api/audit?limit=500&action=gateway_started,gateway_stopped")["entries"]]
    assert actions == ["gateway_started", "gateway_stopped", "gateway_started"]
    assert again.is_intact()


@pytest.mark.parametrize(
    ("method", "path", "peer", "actor"),
    [
        ("POST", "/api/inbox/0000000000000001/retry", "203.0.113.9", ""),
        ("POST", "/api/inbox/0000000000000001/drop", "operator", "operator"),
        ("POST", "/api/inbox/retry", "operator", "operator"),
        ("POST", "/admin/channels/codes", "127.0.0.1", "local"),
        ("GET", "/admin/paircode", "operator", "operator"),
        ("GET", "/admin/control/token", "operator", "operator"),
        ("POST", "/tasks", "operator", "operator"),
        ("DELETE", "/api/v1/cron/no", "operator", "operator"),
        ("PATCH", "/config/tools", "203.0.113.9", ""),
        ("PUT", "/api/v1/personality", "203.0.113.9", ""),
        ("POST", "/api/v1/skills", "203.0.113.9", ""),
        ("POST", "/api/v1/skills/install", "203.0.113.9", ""),
        ("DELETE", "/api/v1/skills/no", "203.0.113.9", ""),
        ("POST", "/api/v1/cron", "203.0.113.9", ""),
        ("POST", "/api/v1/cron/no/run", "203.0.113.9", ""),
        ("POST", "/api/nodes/no/invoke", "203.0.113.9", ""),
    ],
)
def test_a_command(method: str, path: str, peer: str, actor: str) -> None:
    house = House()
    answer = house.send(method, path, b"", peer=peer, token=None if actor else house.admin)
    asked, ended = house.entries("command")
    assert (asked["outcome"], asked["actor"], asked["subject"].split(" ")[0]) == ("asked", actor or house.device, method)
    assert (ended["outcome"], ended["subject"]) == ("ok" if answer.status < 400 else "refused", asked["subject"])


@pytest.mark.parametrize(
    ("method", "path", "peer"),
    [
        ("POST", "/webhook", "operator"),
        ("POST", "/api/v1/agent/chat", "operator"),
        ("POST", "/tasks", "203.0.113.9"),
        ("GET", "/api/audit", "operator"),
        ("GET", "/config", "operator"),
        ("POST", "/api/channel-events", "127.0.0.1"),
    ],
)
def test_messages_and_looking_are_no_commands(method: str, path: str, peer: str) -> None:
    house = House()
    house.send(method, path, {"message": "hi", "title": "t"}, peer=peer)
    assert house.entries("command") == []


def test_every_route_that_changes_something_for_operators_is_a_command() -> None:
    routes = [
        route for route in MemoryGateway(start=False).gateway.router.routes if route.method != "GET" and route.auth in (Scope.ADMIN, Door.LOCAL)
    ]
    left_out = {route.endpoint for route in routes if not route.is_command(Caller("ann", frozenset(), ""))}
    in_any_case = {route.endpoint for route in routes if route.recorded is Recorded.IN_ANY_CASE}
    assert left_out == {"POST /api/channel-events"}
    assert in_any_case == {"POST /admin/paircode/new", "DELETE /api/devices/<device_id>", "POST /api/devices/<device_id>/token/rotate"}


def test_a_plain_message_writes_nothing_into_the_log() -> None:
    house = House(MemoryGateway(settings(), agent=ScriptedAgent(["hello"])))
    assert house.send("POST", "/webhook", {"message": "hi"}).status == 200
    assert house.entries() == []


# --- a log that cannot be written


CLOSED: dict[str, tuple[str, str, Row]] = {
    "model": ("PATCH", "/config/model", {"model": "other"}),
    "secrets": ("PUT", "/api/v1/secrets", {"api_key": "k"}),
    "code": ("POST", "/api/pairing/initiate", {}),
    "channel code": ("POST", "/admin/channels/codes", {"channel": "linq"}),
    "inbox": ("POST", "/api/inbox/retry", {}),
}


@pytest.mark.parametrize("name", CLOSED)
def test_a_command_that_cannot_be_recorded_changes_nothing(name: str) -> None:
    house = House(MemoryGateway(settings(channels_config=ChannelsSettings(linq=LinqChannel(api_token=Secret("t"), from_phone="+1")))))
    method, path, body = CLOSED[name]
    before, code = house.gate.gateway.live.settings, house.gate.gateway.pairing.pending_code
    house.break_log()
    answer = house.send(method, path, body)
    check_common(answer)
    assert answer.status == 503
    assert (house.gate.gateway.live.settings, house.gate.config.writes, house.gate.gateway.pairing.pending_code) == (before, 0, code)
    assert house.entries() == []


def test_nobody_is_paired_without_an_entry() -> None:
    house = House()
    code = house.send("POST", "/admin/paircode/new", {}, peer="operator").json["pairing_code"]
    house.break_log()
    assert house.send("POST", "/api/pair", {"code": code}, token=None).status == 503
    assert house.gate.client.get("/api/devices", token=house.admin).json["count"] == 1


def test_a_revocation_goes_through_without_an_entry() -> None:
    house = House()
    victim = house.gate.pair()
    device = device_of(house.gate, house.admin)
    house.break_log()
    assert house.send("DELETE", f"/api/devices/{device}").status == 200
    assert house.send("GET", "/api/devices", token=victim).status == 401
    assert b"clawgate_audit_failures_total 3.0" in house.gate.client.get("/metrics").body


def test_every_device_is_revoked_without_an_entry() -> None:
    house = House()
    house.break_log()
    assert house.send("POST", "/admin/paircode/new?rotate=all", {}, peer="operator").status == 200
    assert house.send("GET", "/api/devices").status == 401


def test_a_denial_counts_without_an_entry_and_an_approval_does_not() -> None:
    house = Talk()
    house.break_log()
    assert house.answer(approve=True).status == 503
    assert house.tools.calls == []
    assert house.answer(approve=False).status == 200
    assert house.chat.is_answered


def test_a_file_edited_by_hand_is_taken_up_without_an_entry() -> None:
    """It may take a token back."""
    house = House()
    house.gate.config.base = {**house.gate.config.base, "default_model": "by hand"}
    house.break_log()
    reload_now(house)
    assert house.gate.gateway.live.settings.default_model == "by hand"


def test_a_terminal_is_not_opened_without_an_entry() -> None:
    ptys = ScriptedPtys()
    house = House(MemoryGateway(settings(terminal=TerminalSettings(enabled=True)), edges={"ptys": ptys}))
    house.break_log()
    assert SocketClient(house.gate, "/ws/terminal", token=house.admin).status == 503
    assert ptys.opened == []


# --- switched off, pruned, tampered with


def test_switched_off_nothing_is_recorded_and_everything_works() -> None:
    house = House(MemoryGateway(settings(audit=AuditSettings(enabled=False))))
    assert house.send("PATCH", "/config/model", {"model": "other"}).status == 200
    assert house.ask("/api/audit/head") == {"head": f"0:{GENESIS}", "seq": 0, "digest": GENESIS}


def test_what_is_older_than_the_retention_goes() -> None:
    house = House(MemoryGateway(settings(audit=AuditSettings(retention_days=1))))
    house.gate.clock.step_wall(2 * 86_400_000)
    house.gate.clock.advance(600)
    (entry,) = house.ask("/api/audit")["entries"]
    assert (entry["action"], house.is_intact()) == ("audit_pruned", True)


TAMPERING: dict[str, tuple[int, tuple[str, ...]]] = {
    "edited": (2, ("DROP TRIGGER audit_is_not_changed", "UPDATE audit SET actor = 'nobody' WHERE seq = 2")),
    "removed": (2, ("DROP TRIGGER audit_goes_from_the_front", "DELETE FROM audit WHERE seq = 2")),
    "moved": (2, ("DROP TRIGGER audit_is_not_changed", "UPDATE audit SET seq = -2 WHERE seq = 2", "UPDATE audit SET seq = 2 WHERE seq = 3")),
    "no text": (2, ("DROP TRIGGER audit_is_not_changed", "UPDATE audit SET detail = x'ff' WHERE seq = 2")),
    "no UTF-8": (2, ("DROP TRIGGER audit_is_not_changed", "UPDATE audit SET detail = CAST(x'ff' AS TEXT) WHERE seq = 2")),
}


@pytest.mark.parametrize("how", TAMPERING)
def test_tampering_is_named_and_shown_by_health(how: str) -> None:
    house = House()
    seq, statements = TAMPERING[how]
    house.sql(*statements)
    verdict = house.ask("/api/audit/verify")
    assert (verdict["intact"], abs(verdict["broken"]["seq"])) == (False, seq)
    component = house.gate.client.get("/health").json["runtime"]["components"]["audit"]
    assert (component["status"], str(verdict["broken"]["why"]) in component["last_error"]) == ("error", True)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'x' WHERE seq = 1",
        "DELETE FROM audit WHERE seq = 1",
        "DELETE FROM audit",
        "INSERT INTO audit SELECT seq + 100, at_ms, action, actor, subject, outcome, detail, prev, digest FROM audit WHERE seq = 1",
        "INSERT OR REPLACE INTO audit SELECT * FROM audit WHERE seq = 1",
        "UPDATE audit_anchor SET seq = 2",
        "DELETE FROM audit_anchor",
    ],
)
def test_the_table_takes_additions_at_its_end_only(statement: str) -> None:
    house = House()
    before = house.ask("/api/audit?limit=500")
    failures: list[object] = []
    house.gate.store._writer.call(lambda connection: connection.execute(statement)).addErrback(failures.append)
    assert len(failures) == 1
    assert house.ask("/api/audit?limit=500") == before


def test_a_broken_end_is_found_at_the_start_and_the_gateway_runs() -> None:
    house = House()
    house.sql("DROP TRIGGER audit_is_not_changed", "UPDATE audit SET actor = 'nobody' WHERE seq = 3")
    again = house.gate.restart(kill=True)
    assert again.client.get("/health").json["runtime"]["components"]["audit"]["status"] == "error"
    assert again.client.get("/api/devices", token=house.admin).status == 200


@pytest.mark.parametrize("statement", ["DROP TABLE audit", "UPDATE audit SET detail = CAST(x'ff' AS TEXT) WHERE seq = 3"])
def test_a_log_that_cannot_be_read_keeps_nobody_out(statement: str) -> None:
    house = House()
    house.sql("DROP TRIGGER audit_is_not_changed", statement)
    again = house.gate.restart(kill=True)
    assert again.client.get("/health").json["runtime"]["components"]["audit"]["status"] == "error"
    assert again.client.get("/api/devices", token=house.admin).status == 200


def test_a_wrong_head_is_told_to_who_asked_only() -> None:
    house = House()
    assert house.ask(f"/api/audit/verify?head=1:{GENESIS}")["intact"] is False
    assert "audit" not in house.gate.client.get("/health").json["runtime"]["components"]


def test_a_mended_log_is_well_again() -> None:
    house = House()
    house.sql("DROP TRIGGER audit_is_not_changed", "UPDATE audit SET at_ms = at_ms + 1 WHERE seq = 2")
    house.ask("/api/audit/verify")
    house.sql("UPDATE audit SET at_ms = at_ms - 1 WHERE seq = 2")
    assert house.is_intact()
    assert house.gate.client.get("/health").json["runtime"]["components"]["audit"]["status"] == "ok"


def test_a_noted_head_shows_a_cut_off_end() -> None:
    house = House()
    noted = house.ask("/api/audit/head")["head"]
    house.sql("DROP TRIGGER audit_goes_from_the_front", f"DELETE FROM audit WHERE seq >= {house.before}")
    assert house.ask("/api/audit/verify")["intact"] is True
    verdict = house.ask(f"/api/audit/verify?head={noted}")
    assert (verdict["intact"], verdict["broken"]["seq"]) == (False, house.before)


# --- /api/audit


def test_pages_go_on_with_their_cursor() -> None:
    house = House()
    seen: list[int] = []
    page = house.ask("/api/audit?limit=2")
    while page["cursor"] is not None:
        seen += [entry["seq"] for entry in page["entries"]]
        page = house.ask(f"/api/audit?limit=2&cursor={page['cursor']}")
    seen += [entry["seq"] for entry in page["entries"]]
    assert seen == list(range(house.before, 0, -1))


@pytest.mark.parametrize("query", ["?action=nap", "?since=yesterday", "?cursor=x", "?limit=x", "/verify?head=x", f"/verify?head=1:{GENESIS[:-1]}"])
def test_nonsense_is_a_400(query: str) -> None:
    answer = House().gate.client.get(f"/api/audit{query}", peer="operator")
    check_common(answer)
    assert answer.status == 400


def test_since_and_action_filter() -> None:
    house = House()
    assert house.ask("/api/audit?since=2100-01-01T00:00:00Z")["entries"] == []
    assert {entry["action"] for entry in house.ask("/api/audit?since=0&action=device_paired")["entries"]} == {"device_paired"}


@pytest.mark.parametrize("path", ["/api/audit", "/api/audit/head", "/api/audit/verify"])
def test_only_administrators_look(path: str) -> None:
    house = House()
    others = house.gate.pair(scopes=[scope.value for scope in Scope if scope is not Scope.ADMIN])
    assert [house.send("GET", path, token=token).status for token in (None, others, house.admin)] == [401, 403, 200]
