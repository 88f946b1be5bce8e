from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed

from clawgate.agents.choose import build_backend, provider_of
from clawgate.agents.offline import MARK, OfflineBackend
from clawgate.agents.service import ServiceBackend
from clawgate.agents.unknown import UnknownBackend
from clawgate.domain.errors import AgentAuth, AgentContent, AgentProtocol, AgentUnavailable, Invalid, StoreUnavailable
from clawgate.domain.providers_catalog import BY_NAME, PROVIDERS
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import Settings
from clawgate.domain.turn import Completion, Prompt, Usage
from clawgate.ports.agents import AgentBackend
from clawgate.testing.agents import BackendContract, Hang, ListSink, Pieces, ScriptedAgent, prompt
from clawgate.testing.case import TestCase
from clawgate.testing.clock import ManualClock


class Notebook(msgspec.Struct):
    """Notes in a list."""

    texts: list[tuple[str, str]] = []
    problem: Exception | None = None

    def remember(self, text: str, principal: str) -> Deferred[None]:
        self.texts.append((text, principal))
        return succeed(None) if self.problem is None else fail(self.problem)

    def recall(self, words: str, principal: str) -> Deferred[list[str]]:
        return succeed([text for text, owner in reversed(self.texts) if words in text and owner == principal])


class Offline(TestCase):
    def setUp(self) -> None:
        self.notes = Notebook()
        self.backend = OfflineBackend(self.notes)

    def ask(self, text: str, principal: str = "p") -> str:
        sink = ListSink()
        completion = self.successResultOf(self.backend.run(prompt(text, principal=principal), sink))
        assert completion.text == sink.text
        assert len(sink.deltas) > 1
        return completion.text

    def test_every_answer_says_that_it_is_offline(self) -> None:
        for text in ("hello", "/help", "/echo a", "/remember b", "/recall b", "/nonsense", "", "  ", "/echo", "/recall", "/remember"):
            assert self.ask(text).startswith(MARK)

    def test_the_same_question_gets_the_same_answer(self) -> None:
        assert self.ask("hello") == self.ask("hello")
        assert "hello" in self.ask("hello")

    def test_echo_gives_the_text_back(self) -> None:
        assert self.ask("/echo  two  words ") == MARK + "two  words"

    def test_help_names_the_commands(self) -> None:
        for command in ("/help", "/echo", "/remember", "/recall"):
            assert command in self.ask("/help")

    def test_what_is_remembered_is_recalled_newest_first_by_its_owner(self) -> None:
        self.ask("/remember the red key")
        self.ask("/remember the blue key")
        assert self.ask("/recall key") == MARK + "I remember:\n- the blue key\n- the red key"
        assert "nothing about: key" in self.ask("/recall key", "somebody else")

    def test_notes_that_fail_are_unavailable(self) -> None:
        self.notes.problem = StoreUnavailable("disk full")
        self.failureResultOf(self.backend.run(prompt("/remember x"), ListSink()), AgentUnavailable)

    def test_without_notes_it_says_so(self) -> None:
        self.backend = OfflineBackend(None)
        for text in ("/remember x", "/recall x"):
            assert self.ask(text) == MARK + "Remembering is switched off."


class OfflineContract(BackendContract):
    __test__ = True

    def answering(self) -> AgentBackend:
        return OfflineBackend(Notebook())

    def hanging(self) -> AgentBackend | None:
        return None

    def settle(self) -> None: ...


class ScriptedContract(BackendContract):
    __test__ = True

    def answering(self) -> AgentBackend:
        return ScriptedAgent([Pieces(("a", "b"))])

    def hanging(self) -> AgentBackend:
        return ScriptedAgent([Hang(("a",))])

    def settle(self) -> None: ...


class ServiceContract(BackendContract):
    __test__ = True

    def answering(self) -> AgentBackend:
        return ServiceBackend(Answers("hello"))

    def hanging(self) -> AgentBackend:
        return ServiceBackend(Answers(Deferred()))

    def settle(self) -> None: ...


class Answers:
    """An embedder's object."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def answer(self, prompt: Prompt) -> Any:  # Any: some tests answer what nobody may
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


async def coroutine(answer: str) -> str:
    return await succeed(answer)


class Service(TestCase):
    def run_with(self, answer: object) -> Deferred[Completion]:
        return ServiceBackend(Answers(answer)).run(prompt(), ListSink())

    def test_text_a_completion_a_deferred_and_a_coroutine_are_answers(self) -> None:
        whole = Completion(text="x", model="mine", usage=Usage(1, 2))
        assert self.successResultOf(self.run_with("x")).text == "x"
        assert self.successResultOf(self.run_with(whole)) == whole
        assert self.successResultOf(self.run_with(succeed(whole))) == whole
        assert self.successResultOf(self.run_with(coroutine("y"))).text == "y"

    def test_its_agent_errors_are_kept_and_others_are_unavailable(self) -> None:
        self.failureResultOf(self.run_with(AgentContent("no")), AgentContent)
        self.failureResultOf(self.run_with(fail(AgentContent("no"))), AgentContent)
        for broken in (ZeroDivisionError("x"), fail(ZeroDivisionError("x"))):
            error = self.failureResultOf(self.run_with(broken), AgentUnavailable).value
            assert "ZeroDivisionError" in error.detail
        assert len(self.flushLoggedErrors(ZeroDivisionError)) == 2

    def test_anything_else_is_a_protocol_error(self) -> None:
        for answer in (None, 7, succeed(None)):
            self.failureResultOf(self.run_with(answer), AgentProtocol)


class Scripted(TestCase):
    def test_it_follows_its_list_and_repeats_the_last(self) -> None:
        agent = ScriptedAgent(["one", AgentContent("no"), Completion(text="three", model="m")])
        assert self.successResultOf(agent.run(prompt(), ListSink())).text == "one"
        self.failureResultOf(agent.run(prompt(), ListSink()), AgentContent)
        for _ in range(2):
            assert self.successResultOf(agent.run(prompt(), ListSink())).text == "three"
        assert agent.calls == 4

    def test_it_follows_a_function(self) -> None:
        agent = ScriptedAgent(lambda asked: asked.question.upper())
        assert self.successResultOf(agent.run(prompt("abc"), ListSink())).text == "ABC"

    def test_it_counts_what_runs_at_once_and_lets_go_in_order(self) -> None:
        agent = ScriptedAgent(is_held=True)
        runs = [agent.run(prompt(), ListSink()) for _ in range(3)]
        assert (agent.running, agent.most_running) == (3, 3)
        agent.release(1)
        self.successResultOf(runs[0])
        runs[1].cancel()
        self.failureResultOf(runs[1], CancelledError)
        agent.release()
        self.successResultOf(runs[2])
        assert (agent.running, agent.cancelled) == (0, 1)


def build(**fields: object) -> AgentBackend:
    clock = ManualClock()
    return build_backend(msgspec.structs.replace(Settings(), **fields), reactor=clock.reactor, clock=clock, notes=Notebook())


def _base(backend: AgentBackend) -> str:
    return str(backend.http._base)  # type: ignore[attr-defined]  # a VendorBackend


class Choosing(TestCase):
    def test_nothing_configured_is_offline(self) -> None:
        assert build().name == "offline"

    def test_every_known_vendor_is_built_and_names_a_model(self) -> None:
        for name, listed in BY_NAME.items():
            backend = build(default_provider=name, api_key=Secret("k"))
            assert (backend.name, bool(backend.default_model)) == (listed.id, True)
            assert isinstance(backend, UnknownBackend) == (not listed.can_answer)
        assert build(default_provider="OpenAI", default_model="special").default_model == "special"

    def test_the_first_provider_with_a_key_is_chosen(self) -> None:
        keys = (("mistral", Secret("")), ("groq", Secret("g")), ("openai", Secret("o")))
        assert build(provider_keys=keys).name == "groq"

    def test_a_key_by_itself_goes_only_to_the_vendor_it_certainly_belongs_to(self) -> None:
        assert build(api_key=Secret("sk-ant-x")).name == "anthropic"
        assert build(api_key=Secret("sk-or-v1-x")).name == "openrouter"
        assert build(api_key=Secret("something")).name == "offline"

    def test_a_remote_vendor_without_a_key_is_built_and_its_turns_name_the_remedy(self) -> None:
        for name, variable in (
            ("openai", "OPENAI_API_KEY"),
            ("kimi", "MOONSHOT_API_KEY"),
            ("gemini", "GEMINI_API_KEY"),
            ("anthropic", "ANTHROPIC_API_KEY"),
            ("xai", "XAI_API_KEY"),
        ):
            error = self.failureResultOf(build(default_provider=name).run(prompt(), ListSink()), AgentAuth).value
            assert variable in error.detail

    def test_a_provider_without_an_address_is_built_and_its_turns_name_the_remedy(self) -> None:
        unknown = [listed.id for listed in PROVIDERS if not listed.can_answer]
        assert unknown == ["openai-codex", "cloudflare", "kimi-code", "opencode", "bedrock", "copilot"]
        for name in unknown:
            backend = build(default_provider=name, api_key=Secret("k"), default_model="m")
            self.successResultOf(backend.start())
            error = self.failureResultOf(backend.run(prompt(), ListSink()), AgentUnavailable).value
            assert (backend.default_model, "custom:<base URL>" in error.detail, name in str(error)) == ("m", True, True)
            self.successResultOf(backend.stop())

    def test_the_address_of_the_settings_goes_before_the_vendors_own(self) -> None:
        url = "http://box.test:1/v1"
        for name in ("xai", "bedrock", "copilot", "ollama"):
            backend = build(default_provider=name, api_url=url + "/chat/completions", api_key=Secret("k"))
            assert (backend.name, backend.key, _base(backend)) == (name, Secret("k"), url)  # type: ignore[attr-defined]  # a VendorBackend
        assert _base(build(default_provider="anthropic", api_url=url)) == "http://box.test:1"
        assert _base(build(default_provider="gemini", api_url=url)) == url
        assert _base(build(default_provider="custom:http://h/v1", api_url=url)) == "http://h/v1"

    def test_a_provider_at_an_address_of_the_operators_needs_no_key(self) -> None:
        assert build(default_provider="cloudflare", api_url="http://box.test").key_remedy == ""  # type: ignore[attr-defined]  # a VendorBackend

    def test_ollama_as_other_projects_write_it_is_asked_in_openais_language(self) -> None:
        for url in ("http://box.test:11434", "http://box.test:11434/", "http://box.test:11434/api", "http://box.test:11434/v1"):
            assert _base(build(default_provider="ollama", api_url=url)) == "http://box.test:11434/v1"

    def test_the_key_of_an_alias_is_found(self) -> None:
        backend = build(default_provider="kimi", provider_keys=(("moonshot", Secret("k")),))
        assert backend.key == Secret("k")  # type: ignore[attr-defined]  # a VendorBackend

    def test_an_own_key_goes_before_the_environments(self) -> None:
        backend = build(default_provider="groq", api_key=Secret("mine"), provider_keys=(("groq", Secret("env")),))
        assert backend.key == Secret("mine")  # type: ignore[attr-defined]  # a VendorBackend

    def test_custom_urls_with_and_without_the_path(self) -> None:
        for url in ("http://h/v1", "http://h/v1/", "http://h/v1/chat/completions"):
            assert build(default_provider=f"custom:{url}").http._base == "http://h/v1"  # type: ignore[attr-defined]  # a VendorBackend
        for url in ("http://h", "http://h/v1", "http://h/v1/messages"):
            assert build(default_provider=f"anthropic-custom:{url}").http._base == "http://h"  # type: ignore[attr-defined]  # a VendorBackend

    def test_what_cannot_work_is_invalid_with_a_remedy(self) -> None:
        for provider in ("opnai", "custom:", "custom:ftp://x", "anthropic-custom:nowhere", "command:", "command:a 'b", "local:"):
            with pytest.raises(Invalid) as caught:
                build(default_provider=provider)
            assert (caught.value.path, bool(caught.value.remedy)) == ("default_provider", True)

    def test_a_command_is_split_like_a_shell_would(self) -> None:
        backend = build(default_provider="command:my-agent --name 'two words'")
        assert (backend.name, backend.default_model) == ("command", "my-agent")
        assert backend._argv == ["my-agent", "--name", "two words"]  # type: ignore[attr-defined]  # a CommandBackend

    def test_a_local_model_that_is_not_there_is_invalid_at_the_start(self) -> None:
        pytest.importorskip("xllamacpp")
        backend = build(default_provider="local:/nowhere/model.gguf")
        assert (backend.name, backend.default_model) == ("local", "model")
        assert "no file" in str(self.failureResultOf(backend.start(), Invalid).value)

    def test_an_embedders_object_goes_first_and_must_answer(self) -> None:
        clock = ManualClock()
        settings = Settings(default_provider="openai")
        assert build_backend(settings, reactor=clock.reactor, clock=clock, notes=None, service=Answers("x")).name == "service"
        with pytest.raises(Invalid, match="answer"):
            build_backend(settings, reactor=clock.reactor, clock=clock, notes=None, service=object())

    def test_an_argument_keeps_its_case_and_colons(self) -> None:
        assert provider_of(Settings(default_provider=" Custom:http://H:1/v1")) == "custom:http://H:1/v1"


def test_local_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Invalid, match=r"pip install clawgate\[local\]"):
        build(default_provider="local:/m.gguf")


def test_an_offline_or_http_backend_is_built_without_the_http_client_of_twisted() -> None:
    script = (
        "import sys; from clawgate.agents.choose import build_backend; from clawgate.domain.settings.model import Settings\n"
        "for p in ('offline', 'custom:http://h/v1'): build_backend(Settings(default_provider=p), reactor=None, clock=None, notes=None)\n"
        "sys.exit(bool({'twisted.web.client', 'OpenSSL', 'xllamacpp'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=60, check=False).returncode == 0
