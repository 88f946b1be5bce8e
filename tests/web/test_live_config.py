"""`/config/*`: seen, patched, refused (rantaiclaw.md §15)."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clawgate.domain.caller import Scope
from clawgate.domain.errors import AgentUnavailable, Conflict, Unavailable
from clawgate.domain.secret import Secret
from clawgate.domain.settings import Settings
from clawgate.domain.settings.model import AgentSettings, ChannelsSettings, LinqChannel, McpServer
from clawgate.ports.channels import Channel
from clawgate.testing.agents import ScriptedAgent
from clawgate.testing.channels import RecordingChannel
from clawgate.testing.gateway import MemoryGateway, Response
from tests.web.gate import check_common, without_scope

CANARY = "canary-0123456789abcdef"
LINQ = LinqChannel(api_token=Secret(CANARY), from_phone="+1", signing_secret=Secret(CANARY))
SETTINGS = Settings(
    default_provider="offline",
    default_model="first",
    api_key=Secret(CANARY),
    agent=AgentSettings(system_prompt="be kind"),
    mcp_servers={"files": McpServer(command="files", env={"PLAIN_NAME": Secret(CANARY)})},
    channels_config=ChannelsSettings(linq=LINQ),
)
ROUTES = [
    ("GET", "/config"),
    ("GET", "/config/channels"),
    ("GET", "/config/mcp-servers"),
    *(("PATCH", f"/config/{name}") for name in ("channels", "mcp-servers", "model", "tools", "agent")),
]
UNAUTHORIZED = {"ok": False, "error": "Unauthorized — pair first via POST /pair"}


class Unstartable(ScriptedAgent):
    """A backend that cannot start."""

    def start(self) -> object:  # type: ignore[override]  # raises before there is a Deferred
        raise AgentUnavailable("no such host")


class Live:
    """A gateway whose agents and channels follow the settings; what was built is kept."""

    def __init__(self, settings: Settings = SETTINGS, before: MemoryGateway | None = None) -> None:
        self.agents: dict[str, ScriptedAgent] = {}
        self.built: list[RecordingChannel] = []
        self.is_broken = False
        edges = {"build_backend": self.backend, "build_channels": self.channels}
        self.gate = MemoryGateway(settings, agent=self.backend(settings), channels=self.channels(settings), edges=edges)
        self.token = self.gate.pair()

    def backend(self, settings: Settings) -> ScriptedAgent:
        if self.is_broken:
            return Unstartable()
        agent = ScriptedAgent([f"says {settings.default_model}"], default_model=settings.default_model)
        return self.agents.setdefault(settings.default_model, agent)

    def channels(self, settings: Settings) -> dict[str, Channel]:
        names = [name for name in ("linq", "wati") if getattr(settings.channels_config, name) is not None]
        found = {name: RecordingChannel(name) for name in names}
        self.built += found.values()
        return dict(found)

    def ask(self, method: str, path: str, body: object = b"") -> Response:
        answer = self.gate.client.request(method, path, body, token=self.token)  # type: ignore[arg-type]  # bytes or an object
        check_common(answer)
        return answer

    def patch(self, what: str, **body: object) -> Response:
        return self.ask("PATCH", f"/config/{what}", body)

    def state(self) -> tuple[object, ...]:
        """Configuration, files and components, to be compared."""
        live, config = self.gate.gateway.live, self.gate.config
        served = {name: self.ask("GET", f"/config/{name}").json for name in ("channels", "mcp-servers")}
        answer = self.ask("POST", "/webhook", {"message": "who?"}).json
        return live.settings, config.base, config.above, dict(config.files), served, answer

    def says(self) -> str:
        return str(self.ask("POST", "/webhook", {"message": "hi"}).json["response"])


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_stranger_gets_the_envelope(method: str, path: str) -> None:
    gate = Live().gate
    answers = [gate.client.request(method, path, b"{", token=token) for token in (None, "wrong")]
    assert [(answer.status, answer.json) for answer in answers] == [(401, UNAUTHORIZED)] * 2


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_config_is_for_administrators(method: str, path: str) -> None:
    gate = Live().gate
    answer = gate.client.request(method, path, {}, token=without_scope(gate, Scope.ADMIN))
    assert (answer.status, answer.json["ok"]) == (403, False)


def test_the_whole_configuration_is_shown_without_its_secrets() -> None:
    answer = Live().ask("GET", "/config")
    assert CANARY.encode() not in answer.body
    shown = answer.json["applied"]
    assert (shown["default_model"], shown["agent"]["system_prompt"], shown["channels_config"]["linq"]["from_phone"]) == ("first", "be kind", "+1")
    assert shown["mcp_servers"]["files"]["env"] == {"PLAIN_NAME": ""}


def test_a_patched_model_answers_the_next_turn_and_after_a_restart() -> None:
    live = Live()
    assert live.says() == "says first"
    answer = live.patch("model", model="second", temperature=0.1)
    applied = {"default_model": "second", "default_temperature": 0.1}
    assert answer.json == {"ok": True, "applied": applied, "live": ["default_model", "default_temperature"], "restart": []}
    assert live.says() == "says second"
    assert live.gate.config.base["default_model"] == "first"
    assert live.gate.restart(kill=True).settings.default_model == "second"


def test_another_provider_does_not_get_the_old_ones_key() -> None:
    live = Live(msgspec.structs.replace(SETTINGS, default_provider="openai"))
    assert live.patch("model", provider="Anthropic").json["applied"] == {"default_provider": "anthropic"}
    assert live.gate.gateway.live.settings.api_key is None
    assert live.patch("model", provider="openai").status == 200
    assert live.gate.gateway.live.settings.api_key == Secret(CANARY)


def test_a_turn_under_way_ends_with_the_model_it_began_with() -> None:
    live = Live()
    live.agents["first"].is_held = True
    pending = live.gate.client.begin("POST", "/webhook", {"message": "hi"}, token=live.token)
    assert live.patch("model", model="second").status == 200
    assert live.agents["first"].is_started
    live.agents["first"].release()
    live.gate.pump()
    assert pending.response.json["response"] == "says first"
    assert not live.agents["first"].is_started


def test_a_model_that_cannot_start_changes_nothing() -> None:
    live = Live()
    before = live.state()
    live.is_broken = True
    answer = live.patch("model", model="second")
    assert (answer.status, answer.json) == (200, {"ok": False, "errors": {"default_provider": "no such host"}})
    assert live.state() == before


def test_values_that_cannot_work_change_nothing_and_are_named() -> None:
    live = Live()
    before = live.state()
    answer = live.patch("model", provider="nobody", model="second", temperature=9)
    assert (answer.status, set(answer.json["errors"])) == (400, {"default_provider", "default_temperature"})
    assert live.state() == before


@pytest.mark.parametrize(("problem", "status"), [(OSError("disk full"), 503), (Conflict("config.toml changed since it was read"), 409)])
def test_what_cannot_be_written_changes_nothing(problem: OSError | Conflict, status: int) -> None:
    live = Live()
    before = live.state()
    live.gate.config.problem = problem
    for what, body in (("model", {"model": "second"}), ("channels", {"linq": None}), ("mcp-servers", {"files": None, "more": {"command": "x"}})):
        assert (live.patch(what, **body).status, what) == (status, what)
    assert live.patch("agent", system_prompt="x").json["ok"] is False
    live.gate.clock.advance(1)
    assert live.state() == before


def test_a_channel_comes_changes_and_goes_while_running_and_stays_gone() -> None:
    live = Live()
    assert live.ask("GET", "/config/channels").json["applied"] == {"linq": {"status": "Running"}}
    assert live.patch("channels", wati={"api_token": CANARY}).json == {
        "ok": True,
        "applied": ["wati"],
        "live": ["channels_config.wati"],
        "restart": [],
    }
    assert sorted(live.ask("GET", "/config/channels").json["applied"]) == ["linq", "wati"]
    first = live.built[0]
    assert live.patch("channels", linq={"from_phone": "+2", "signing_secret": ""}).json["live"] == ["channels_config.linq.from_phone"]
    linq = live.gate.gateway.live.settings.channels_config.linq
    assert linq == msgspec.structs.replace(LINQ, from_phone="+2")
    assert first.stopped
    assert live.patch("channels", linq=None).json["applied"] == ["linq"]
    assert live.gate.client.post("/linq", b"{}").status == 404
    assert live.gate.restart(kill=True).settings.channels_config.linq is None


def test_an_equal_channel_is_left_as_it_is() -> None:
    live = Live()
    channel = live.gate.gateway.live.parts[0].channels["linq"]  # type: ignore[attr-defined]  # the part of channels
    assert live.patch("channels", linq={"from_phone": "+1", "api_token": CANARY}).json["live"] == []
    assert live.gate.gateway.live.parts[0].channels["linq"] is channel  # type: ignore[attr-defined]  # as above


def test_an_unknown_channel_is_refused_with_those_there_are() -> None:
    answer = Live().patch("channels", linq=None, telegram={"bot_token": CANARY})
    assert answer.status == 400
    assert answer.json["error"] == "Unknown channel type 'telegram'. Supported: whatsapp, linq, nextcloud_talk, wati"


def test_removing_what_is_not_there_is_a_404() -> None:
    live = Live()
    assert live.patch("channels", wati=None).json == {"ok": False, "error": "Channel 'wati' not found"}
    assert (live.patch("mcp-servers", x=None).status, live.patch("mcp-servers", x=None).json["error"]) == (404, "MCP server 'x' not found")


def test_a_channel_that_lacks_a_key_is_named() -> None:
    live = Live()
    before = live.state()
    answer = live.patch("channels", wati={}, linq=None)
    assert (answer.status, list(answer.json["errors"])) == (400, ["wati"])
    assert live.state() == before


def test_servers_are_started_before_the_answer_and_ended_after_it() -> None:
    live = Live()
    live.gate.pump()
    answer = live.patch("mcp-servers", more={"command": "more", "env": {"KEY": CANARY}}, files=None)
    assert (answer.status, answer.json["applied"]) == (200, ["more", "files"])
    live.gate.pump()
    assert live.ask("GET", "/config/mcp-servers").json["applied"] == {"more": {"status": "Running"}}
    assert live.gate.gateway.live.settings.mcp_servers == {"more": McpServer(command="more", env={"KEY": Secret(CANARY)})}


def test_a_server_that_does_not_start_is_named_and_nothing_is_applied() -> None:
    live = Live()
    before = live.state()
    live.gate.mcp.problem = Unavailable("no such program")
    pending = live.gate.client.begin("PATCH", "/config/mcp-servers", {"more": {"command": "more"}, "files": None}, token=live.token)
    live.gate.clock.advance(1)
    assert (pending.response.status, pending.response.json["ok"], list(pending.response.json["errors"])) == (200, False, ["more"])
    live.gate.mcp.problem = None
    live.gate.clock.advance(10)
    assert live.state() == before


def test_a_changed_server_that_does_not_start_is_brought_back() -> None:
    live = Live()
    before = live.state()
    live.gate.mcp.problem = Unavailable("no such program")
    pending = live.gate.client.begin("PATCH", "/config/mcp-servers", {"files": {"command": "other"}}, token=live.token)
    live.gate.clock.advance(1)
    assert list(pending.response.json["errors"]) == ["files"]
    live.gate.mcp.problem = None
    live.gate.clock.advance(10)
    assert live.state() == before


def test_an_eleventh_server_is_refused() -> None:
    live = Live()
    answer = live.patch("mcp-servers", **{f"s{number}": {"command": "x"} for number in range(10)})
    assert (answer.status, set(answer.json["errors"].values())) == (200, {"MCP server limit reached (max 10)"})


def test_the_tenth_mcp_server_makes_room_for_another_in_one_change() -> None:
    live = Live()
    live.patch("mcp-servers", **{f"s{number}": {"command": "x"} for number in range(9)})
    answer = live.patch("mcp-servers", s0=None, more={"command": "x"})
    assert (answer.json["ok"], sorted(answer.json["applied"])) == (True, ["more", "s0"])
    running = live.ask("GET", "/config/mcp-servers").json["applied"]
    assert (len(running), {state["status"] for state in running.values()}) == (10, {"Running"})


def test_what_made_room_is_back_when_its_successor_does_not_start() -> None:
    live = Live()
    live.patch("mcp-servers", **{f"s{number}": {"command": "x"} for number in range(9)})
    live.gate.mcp.problem = Unavailable("no such program")
    pending = live.gate.client.begin("PATCH", "/config/mcp-servers", {"more": {"command": "more"}, "s0": None}, token=live.token)
    for _ in range(30):
        live.gate.clock.advance(1)
    assert pending.response.json["ok"] is False
    live.gate.mcp.problem = None
    for _ in range(70):
        live.gate.clock.advance(1)
    assert sorted(live.ask("GET", "/config/mcp-servers").json["applied"]) == ["files", *(f"s{number}" for number in range(9))]


def test_tools_that_run_unasked_are_replaced() -> None:
    live = Live()
    answer = live.patch("tools", auto_approve=["a", "b"])
    assert answer.json == {"ok": True, "applied": {"auto_approve": ["a", "b"]}, "live": ["autonomy.auto_approve"], "restart": []}
    assert live.gate.config.above["autonomy"] == {"auto_approve": ["a", "b"]}


def test_new_instructions_are_in_force_and_in_the_workspace() -> None:
    live = Live()
    answer = live.patch("agent", system_prompt="be brief", workspace_files={"notes/a.md": "A"})
    assert answer.json["applied"] == {"system_prompt": True, "workspace_files": ["notes/a.md"]}
    assert live.gate.config.files == {"SYSTEM_PROMPT.md": "be brief", "notes/a.md": "A"}
    live.says()
    assert "be brief" in live.agents["first"].prompts[-1].system


@pytest.mark.parametrize(
    ("path", "error"),
    [("../x", "Path traversal not allowed"), ("a/../../x", "Path traversal not allowed"), ("/etc/passwd", "Absolute path not allowed")],
)
def test_paths_that_leave_the_workspace_are_refused(path: str, error: str) -> None:
    live = Live()
    before = live.state()
    answer = live.patch("agent", system_prompt="evil", workspace_files={"ok.md": "x", path: "evil"})
    assert (answer.status, answer.json) == (400, {"ok": False, "error": error})
    assert live.state() == before


@pytest.mark.parametrize("what", ["channels", "mcp-servers", "model", "tools", "agent"])
def test_an_empty_patch_is_nothing_to_do(what: str) -> None:
    live = Live()
    answer = live.patch(what)
    assert (answer.status, answer.json["ok"], bool(answer.json["applied"])) == (200, True, False)
    assert live.gate.config.above == {}


@pytest.mark.parametrize("what", ["channels", "mcp-servers", "model", "tools", "agent"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b'"x"', b"null", b'{"linq":1,"model":1,"auto_approve":1,"system_prompt":1}', b"\xff"])
def test_odd_bodies_are_refused_in_the_envelope(what: str, body: bytes) -> None:
    live = Live()
    answer = live.gate.client.request("PATCH", f"/config/{what}", body, token=live.token, headers={"Content-Type": "application/json"})
    assert (answer.status, answer.json["ok"]) == (400, False)
    assert live.gate.config.writes == 0


def test_a_change_is_told_by_paths_alone() -> None:
    live = Live()
    live.patch("channels", wati={"api_token": CANARY})
    (event,) = [event for event in live.gate.gateway.events.recent() if event.kind == "config_changed"]
    assert event.data == {"live": ["channels_config.wati"], "restart": []}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda below: st.lists(below, max_size=2) | st.dictionaries(st.text(max_size=4), below, max_size=2),
    max_leaves=4,
)
NAMES = ("linq", "wati", "files", "new", "provider", "model", "temperature", "auto_approve", "system_prompt", "workspace_files")
FIELDS = ("api_token", "from_phone", "allowed_senders", "command", "args", "env", "url", "read_only_tools")


@given(
    st.sampled_from(["channels", "mcp-servers", "model", "tools", "agent"]),
    st.dictionaries(st.sampled_from(NAMES), json_values | st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=3), max_size=3),
)
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_no_body_breaks_the_gateway(what: str, body: dict[str, object]) -> None:
    answer = FUZZED.gate.client.request("PATCH", f"/config/{what}", body, token=FUZZED.token)
    assert answer.status in (200, 400, 404), answer
    assert answer.json["ok"] is (answer.status == 200 and "errors" not in answer.json)


FUZZED = Live(msgspec.structs.replace(SETTINGS, gateway=msgspec.structs.replace(SETTINGS.gateway, api_rate_limit_per_minute=0)))
