"""Vendors' lists of models: requests, answers, keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from upstream_net import Scripted, Upstream, answer, client

from clawgate.agents.catalog import VendorCatalog
from clawgate.agents.catalog_wire import MOST_MODELS, names, request
from clawgate.agents.choose import provider_of
from clawgate.domain.errors import AgentAuth, AgentBadRequest, AgentError, AgentProtocol, AgentRateLimited, AgentUnavailable
from clawgate.domain.providers_catalog import PROVIDERS, Listing
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import Settings
from clawgate.testing.case import TestCase
from clawgate.testing.clock import ManualClock

GROQ = Settings(default_provider="groq", api_key=Secret("sk-groq"))


class Asking(TestCase):
    def setUp(self) -> None:
        self.clock = ManualClock()
        self.bases: list[str] = []

    def ask(self, provider: str, settings: Settings, body: bytes = b'{"data":[]}', status: str = "200 OK") -> Deferred[tuple[str, ...]]:
        self.upstream = Upstream(lambda server: server.say(answer(body, status=status)))

        def http(base: str) -> object:
            self.bases.append(base)
            return client(self.upstream.net, self.clock, base_url=base)

        asked = VendorCatalog(lambda: settings, http, provider_of).models(provider)  # type: ignore[arg-type]  # HttpClient, whose get is checked below
        self.upstream.net.pump()
        return asked

    def head(self) -> str:
        last: Scripted = self.upstream.last
        return last.last_head.decode().lower()

    def test_answer_is_the_sorted_names(self) -> None:
        asked = self.ask("groq", GROQ, b'{"data":[{"id":"b"},{"id":"a"},{"id":"b"}]}')
        assert self.successResultOf(asked) == ("a", "b")
        assert self.head().startswith("get /openai/v1/models http/1.1")
        assert "authorization: bearer sk-groq" in self.head()

    def test_key_of_the_chosen_provider_goes_to_no_other(self) -> None:
        self.failureResultOf(self.ask("openai", GROQ), AgentAuth)
        self.successResultOf(self.ask("openrouter", GROQ))
        assert "sk-groq" not in self.head()

    def test_each_vendor_gets_its_own_key_in_its_own_header(self) -> None:
        settings = Settings(provider_keys=(("anthropic", Secret("sk-a")), ("gemini", Secret("g"))))
        self.successResultOf(self.ask("anthropic", settings))
        assert "x-api-key: sk-a" in self.head()
        self.successResultOf(self.ask("gemini", settings, b'{"models":[{"name":"models/gemini-x"}]}'))
        assert "x-goog-api-key: g" in self.head()
        assert "key=" not in self.head().partition("\r\n")[0]

    def test_address_of_the_settings_is_the_chosen_providers_alone(self) -> None:
        settings = Settings(default_provider="ollama", api_url="http://box.test:1/v1/")
        self.successResultOf(self.ask("ollama", settings))
        self.successResultOf(self.ask("lmstudio", settings))
        assert self.bases == ["http://box.test:1/v1", "http://localhost:1234/v1"]

    def test_vendor_without_a_list_is_not_asked(self) -> None:
        for provider in ("bedrock", "perplexity"):
            self.failureResultOf(self.ask(provider, GROQ), AgentBadRequest)
        assert self.bases == []

    def test_refusal_is_its_error_without_the_key(self) -> None:
        failure = self.failureResultOf(self.ask("groq", GROQ, b'{"error":{"message":"bad sk-groq"}}', "401 No"), AgentAuth)
        assert "sk-groq" not in failure.value.detail
        self.failureResultOf(self.ask("groq", GROQ, b"{}", "429 No"), AgentRateLimited)
        self.failureResultOf(self.ask("groq", GROQ, b"<html>"), AgentProtocol)

    def test_nobody_there_is_an_error_of_the_agents(self) -> None:
        settings, clock = GROQ, self.clock
        net = Upstream().net
        net.server = None
        catalog = VendorCatalog(lambda: settings, lambda base: client(net, clock, base_url=base), provider_of)
        self.failureResultOf(catalog.models("groq"), AgentUnavailable)


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.id)
def test_every_row_can_be_asked_or_says_that_it_cannot(provider: object) -> None:
    from clawgate.domain.providers_catalog import Provider

    assert isinstance(provider, Provider)
    assert provider.listing is Listing.NONE or provider.base_url.startswith("http")
    path, _ = request(provider.listing, "k")
    assert path.startswith("/")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"data":[{"id":"x"}]}', ("x",)),
        (b'[{"id":"x"},{"id":"y"}]', ("x", "y")),
        (b'{"models":[{"name":"models/gemini"}]}', ("gemini",)),
        (b'{"data":[1,null,{"id":3},{"id":""},{"id":"a\\nb"}]}', ()),
    ],
)
def test_names_are_read_from_every_shape(body: bytes, expected: tuple[str, ...]) -> None:
    assert names(body) == expected


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b'{"data":{}}', b"1", b"<html>"])
def test_what_is_no_list_is_an_error(body: bytes) -> None:
    with pytest.raises(AgentProtocol):
        names(body)


def test_list_is_cut() -> None:
    body = b"[" + b",".join(b'{"id":"m%d"}' % number for number in range(MOST_MODELS + 9)) + b"]"
    assert len(names(body)) == MOST_MODELS


@given(st.binary())
def test_any_bytes_are_names_or_an_agent_error(body: bytes) -> None:
    try:
        assert all(names(body))
    except AgentError:
        pass


def test_truncated_list_is_an_error() -> None:
    whole = b'{"data":[{"id":"x"}]}'
    for length in range(len(whole)):
        with pytest.raises(AgentProtocol):
            names(whole[:length])
