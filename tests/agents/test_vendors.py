from __future__ import annotations

import json
from typing import Any, NamedTuple

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from upstream_net import Scripted, Upstream, answer, chunk, client, recorded, recorded_answer, stream_head, streamed

from clawgate.agents.anthropic import anthropic_backend
from clawgate.agents.gemini import gemini_backend
from clawgate.agents.openai import openai_backend
from clawgate.agents.vendor import VendorBackend
from clawgate.agents.vendor_wire import Decoder, error_of, retry_after
from clawgate.domain import errors
from clawgate.domain.errors import AgentError, AgentProtocol
from clawgate.domain.secret import Secret
from clawgate.domain.sse import SseEvent, SseParser
from clawgate.domain.turn import Completion, Line, Prompt, Role, ToolCall, Usage
from clawgate.testing.agents import BackendContract, ListSink, prompt
from clawgate.testing.case import TestCase
from clawgate.testing.clock import ManualClock

KEY = Secret("sk-test-key-0123456789")


class Ran(NamedTuple):
    completion: Completion
    sink: ListSink


class Vendors(TestCase):
    def setUp(self) -> None:
        self.clock = ManualClock()
        self.upstream = Upstream()

    def backend(self, kind: str, key: Secret | None = KEY) -> VendorBackend:
        http = client(self.upstream.net, self.clock)
        if kind == "anthropic":
            return anthropic_backend(kind, http, self.clock, model="m", max_output_tokens=99, key=key, key_remedy="Set ANTHROPIC_API_KEY")
        build = gemini_backend if kind == "gemini" else openai_backend
        return build(kind, http, self.clock, model="m", key=key, key_remedy="Set A_KEY")

    def run_against(self, file: str, asked: Prompt | None = None) -> tuple[Deferred[Completion], ListSink]:
        self.upstream.on_request = recorded_answer(f"{file}.txt")
        kind = file.split("_")[0]
        sink = ListSink()
        running = self.backend(kind if kind in ("anthropic", "gemini") else "openai").run(asked or prompt(), sink)
        self.upstream.net.pump()
        return running, sink

    def ran(self, file: str, asked: Prompt | None = None) -> Ran:
        running, sink = self.run_against(file, asked)
        return Ran(self.successResultOf(running), sink)

    def failed(self, file: str) -> AgentError:
        error = self.failureResultOf(self.run_against(file)[0]).value
        assert isinstance(error, AgentError)
        return error

    def sent(self) -> tuple[str, dict[str, str], Any]:
        line, *headers = self.upstream.last.last_head.decode().split("\r\n")
        pairs = (header.partition(": ") for header in headers)
        return line, {name.lower(): value for name, _, value in pairs}, json.loads(self.upstream.last.last_body)


class Answers(Vendors):
    def test_openai_streams(self) -> None:
        ran = self.ran("openai_stream")
        assert ran.sink.deltas == ["Grüße", " 😀!"]
        assert ran.completion == Completion(text="Grüße 😀!", model="gpt-4.1-mini-2025-04-14", usage=Usage(9, 4))
        assert ran.sink.usages == [Usage(9, 4)]

    def test_openai_tool_calls_are_put_together_from_their_deltas(self) -> None:
        calls = (ToolCall("call_a", "weather", '{"city":"Bern"}'), ToolCall("call_b", "time", "{}"))
        ran = self.ran("openai_tools")
        assert ran.completion.tool_calls == calls
        assert ran.sink.tool_calls == list(calls)
        assert ran.completion.stop == "tool_calls"

    def test_openai_without_a_stream_is_read_whole(self) -> None:
        ran = self.ran("openai_whole")
        calls = (ToolCall("call_a", "weather", '{"city":"Bern"}'),)
        assert ran.completion == Completion(
            text="Hello there", model="gpt-4.1-mini-2025-04-14", usage=Usage(8, 7), stop="tool_calls", tool_calls=calls
        )
        assert ran.sink.deltas == ["Hello there"]
        assert ran.sink.tool_calls == list(calls)

    def test_content_in_parts_and_tool_calls_without_an_index_are_understood(self) -> None:
        ran = self.ran("mistral_parts")
        assert ran.completion.text == "Oui!"
        assert ran.sink.thoughts == []
        assert ran.completion.tool_calls == (ToolCall("abc", "f", '{"a": 1}'), ToolCall("def", "g", "{}"))
        assert ran.completion.usage == Usage(5, 4)

    def test_anthropic_streams_its_thoughts_beside_the_answer(self) -> None:
        ran = self.ran("anthropic_stream")
        assert ran.sink.deltas == ["Grüße", " dir"]
        assert ran.sink.thoughts == ["Let me see"]
        call = ToolCall("toolu_1", "weather", '{"city": "Bern"}')
        assert ran.completion == Completion(text="Grüße dir", model="claude-sonnet-4-6", usage=Usage(12, 25), stop="tool_calls", tool_calls=(call,))
        assert ran.sink.tool_calls == [call]
        assert ran.sink.usages[-1] == Usage(12, 25)

    def test_openai_reasoning_under_either_name_is_not_the_answer(self) -> None:
        for file in ("openai_reasoning", "openrouter_reasoning"):
            ran = self.ran(file)
            assert (ran.sink.thoughts, ran.sink.deltas) == (["Six times", " seven"], ["42"])
            assert ran.completion.text == "42"

    def test_reasoning_of_an_answer_that_does_not_stream_is_told_and_what_is_no_text_is_passed_over(self) -> None:
        for field, thoughts in ((b'"hm"', ["hm"]), (b'{"effort":1}', []), (b"null", []), (b'""', [])):
            body = b'{"choices":[{"message":{"content":"hi","reasoning":%s},"finish_reason":"stop"}]}' % field
            self.upstream.on_request = lambda server, body=body: server.say(answer(body))
            sink = ListSink()
            running = self.backend("openai").run(prompt(), sink)
            self.upstream.net.pump()
            assert (self.successResultOf(running).text, sink.thoughts) == ("hi", thoughts)

    def test_anthropic_without_a_stream_is_read_whole(self) -> None:
        ran = self.ran("anthropic_whole")
        call = ToolCall("toolu_9", "f", '{"a": 1}')
        assert ran.completion == Completion(text="Hello", model="claude-sonnet-4-6", usage=Usage(3, 6), stop="length", tool_calls=(call,))

    def test_gemini_streams_its_thoughts_beside_the_answer(self) -> None:
        ran = self.ran("gemini_stream")
        assert ran.sink.deltas == ["Grüße", " dir"]
        assert ran.sink.thoughts == ["pondering"]
        call = ToolCall("call_0", "weather", '{"city": "Bern"}')
        assert ran.completion == Completion(text="Grüße dir", model="gemini-2.5-flash", usage=Usage(6, 8), stop="tool_calls", tool_calls=(call,))

    def test_gemini_without_a_stream_is_read_whole(self) -> None:
        assert self.ran("gemini_whole").completion == Completion(text="Hello", model="gemini-2.5-flash", usage=Usage(2, 2), stop="length")

    def test_a_model_that_is_not_named_is_the_one_that_was_asked_for(self) -> None:
        body = b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}'
        self.upstream.on_request = lambda server: server.say(answer(body))
        running = self.backend("openai").run(prompt(model="special"), ListSink())
        self.upstream.net.pump()
        assert self.successResultOf(running).model == "special"


class Requests(Vendors):
    ASKED = Prompt(
        lines=(Line(Role.ASSISTANT, "Welcome"), Line(Role.USER, "a"), Line(Role.ASSISTANT, "b"), Line(Role.USER, "c")),
        system="Be brief",
        temperature=1.5,
        idempotency_key="item:1",
    )

    def test_openai(self) -> None:
        self.ran("openai_stream", self.ASKED)
        line, headers, body = self.sent()
        assert line == "POST /v1/chat/completions HTTP/1.1"
        assert headers["authorization"] == f"Bearer {KEY.reveal()}"
        assert (headers["idempotency-key"], headers["content-type"]) == ("item:1", "application/json")
        roles = [("system", "Be brief"), ("assistant", "Welcome"), ("user", "a"), ("assistant", "b"), ("user", "c")]
        assert body == {
            "model": "m",
            "messages": [{"role": role, "content": text} for role, text in roles],
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 1.5,
        }

    def test_openai_reasoning_models_are_not_told_a_temperature(self) -> None:
        for model in ("o3-mini", "gpt-5.1", "openai/gpt-5"):
            self.ran("openai_stream", msgspec.structs.replace(self.ASKED, model=model))
            assert "temperature" not in self.sent()[2]

    def test_anthropic_begins_with_the_user_and_its_temperature_ends_at_one(self) -> None:
        self.ran("anthropic_stream", self.ASKED)
        line, headers, body = self.sent()
        assert line == "POST /v1/v1/messages HTTP/1.1"
        assert (headers["x-api-key"], headers["anthropic-version"]) == (KEY.reveal(), "2023-06-01")
        assert body == {
            "model": "m",
            "max_tokens": 99,
            "system": "Be brief",
            "messages": [{"role": role, "content": text} for role, text in (("user", "a"), ("assistant", "b"), ("user", "c"))],
            "stream": True,
            "temperature": 1.0,
        }

    def test_gemini_and_a_model_name_cannot_leave_its_place_in_the_path(self) -> None:
        self.ran("gemini_stream", msgspec.structs.replace(self.ASKED, model="models/../x?y\r\n"))
        line, headers, body = self.sent()
        assert line == "POST /v1/models/..%2Fx%3Fy%0D%0A:streamGenerateContent?alt=sse HTTP/1.1"
        assert headers["x-goog-api-key"] == KEY.reveal()
        roles = [("model", "Welcome"), ("user", "a"), ("model", "b"), ("user", "c")]
        assert body == {
            "contents": [{"role": role, "parts": [{"text": text}]} for role, text in roles],
            "systemInstruction": {"parts": [{"text": "Be brief"}]},
            "generationConfig": {"temperature": 1.5},
        }

    def test_without_a_key_nothing_is_sent_and_the_remedy_is_named(self) -> None:
        for kind in ("openai", "anthropic", "gemini"):
            for key in (None, Secret(" ")):
                error = self.failureResultOf(self.backend(kind, key).run(prompt(), ListSink()), errors.AgentAuth).value
                assert "Set A" in error.detail
        assert self.upstream.net.ends == []


class Errors(Vendors):
    CASES = {
        "openai_401": errors.AgentAuth,
        "openai_429": errors.AgentRateLimited,
        "openai_400_length": errors.AgentBadRequest,
        "azure_400_content": errors.AgentContent,
        "openai_filtered": errors.AgentContent,
        "openrouter_midstream": errors.AgentOverloaded,
        "openrouter_402": errors.AgentAuth,
        "ollama_404": errors.AgentBadRequest,
        "html_502": errors.AgentOverloaded,
        "anthropic_midstream": errors.AgentOverloaded,
        "anthropic_529": errors.AgentOverloaded,
        "anthropic_refusal": errors.AgentContent,
        "gemini_blocked": errors.AgentContent,
        "gemini_safety": errors.AgentContent,
        "gemini_429": errors.AgentRateLimited,
        "gemini_400_key": errors.AgentAuth,
        "gemini_503": errors.AgentOverloaded,
    }

    def test_each_recorded_error_is_of_its_kind(self) -> None:
        assert {file: type(self.failed(file)) for file in self.CASES} == self.CASES

    def test_the_vendors_words_are_for_the_log_and_without_the_key(self) -> None:
        error = self.failed("openai_401")
        assert "Incorrect API key" in error.detail
        assert KEY.reveal() not in error.detail + str(error)
        assert "Incorrect" not in str(error)

    def test_what_a_vendor_asks_to_wait_is_kept(self) -> None:
        assert self.failed("openai_429").retry_after_seconds == 7
        assert self.failed("gemini_429").retry_after_seconds == 34.5

    def test_a_redirect_is_not_followed(self) -> None:
        self.upstream.on_request = lambda server: server.say(answer(b"", status="307 Moved", headers=("Location: http://evil.test/",)))
        running = self.backend("openai").run(prompt(), ListSink())
        self.upstream.net.pump()
        self.failureResultOf(running, AgentProtocol)
        assert len(self.upstream.net.ends) == 1

    def test_an_error_whose_body_hangs_is_told_soon(self) -> None:
        self.upstream.on_request = lambda server: server.say(b"HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\n{")
        running = self.backend("openai").run(prompt(), ListSink())
        self.upstream.net.pump()
        self.clock.advance(1)
        self.failureResultOf(running, errors.AgentOverloaded)

    def test_a_compressed_answer_is_a_protocol_error(self) -> None:
        self.upstream.on_request = lambda server: server.say(answer(b"x", headers=("Content-Encoding: gzip",)))
        running = self.backend("openai").run(prompt(), ListSink())
        self.upstream.net.pump()
        self.failureResultOf(running, AgentProtocol)

    def test_json_of_another_shape_is_a_protocol_error(self) -> None:
        for body in (b"", b"{", b"[]", b"null", b"{}", b'{"choices":[]}', b'{"choices":7}', b"[" * 100_000, b'"\xff"'):
            for kind in ("openai", "anthropic", "gemini"):
                self.upstream.on_request = lambda server, body=body: server.say(answer(body))
                running = self.backend(kind).run(prompt(), ListSink())
                self.upstream.net.pump()
                self.failureResultOf(running, AgentProtocol)


class Cuts(Vendors):
    """A cut stream is never taken as a whole answer."""

    def test_a_stream_that_ends_politely_before_its_end_marker_is_refused(self) -> None:
        marks = {"openai_stream": b'"finish_reason":"stop"', "anthropic_stream": b"message_stop", "gemini_stream": b"finishReason"}
        for file, mark in marks.items():
            body = recorded(f"{file}.txt").partition(b"\n\n")[2]
            before = body[: body.rindex(b"\n\n", 0, body.index(mark)) + 2]
            self.upstream.on_request = lambda server, cut=before: server.say(*streamed(cut))
            running = self.backend(file.split("_")[0]).run(prompt(), ListSink())
            self.upstream.net.pump()
            assert self.failureResultOf(running, AgentProtocol).value.retryable

    def test_cut_anywhere_it_is_an_error_or_the_whole_text(self) -> None:
        for kind in ("openai", "anthropic", "gemini"):
            body = recorded(f"{kind}_stream.txt").partition(b"\n\n")[2]
            whole = self.ran(f"{kind}_stream").completion
            for end in range(0, len(body), 13):
                found = decode_all(self.backend(kind).dialect.decoder(), SseParser().feed(body[:end]))
                assert found is None or (found.text, found.tool_calls) == (whole.text, whole.tool_calls)

    def test_a_stream_cut_by_its_connection_is_unavailable(self) -> None:
        def cut(server: Scripted) -> None:
            server.say(stream_head(), chunk(b'data: {"choices":[{"delta":{"content":"Half"}}]}\n\n'))
            server.hang_up()

        self.upstream.on_request = cut
        sink = ListSink()
        running = self.backend("openai").run(prompt(), sink)
        self.upstream.net.pump()
        self.failureResultOf(running, errors.AgentUnavailable)
        assert sink.deltas == ["Half"]

    def test_a_sink_that_fails_ends_the_call(self) -> None:
        class Broken(ListSink):
            def delta(self, text: str) -> None:
                raise ZeroDivisionError

        self.upstream.on_request = lambda server: server.say(stream_head(), chunk(b'data: {"choices":[{"delta":{"content":"Half"}}]}\n\n'))
        running = self.backend("openai").run(prompt(), Broken())
        self.upstream.net.pump()
        self.failureResultOf(running, ZeroDivisionError)
        assert self.upstream.net.open == []


def decode_all(decoder: Decoder, events: list[SseEvent]) -> Completion | None:
    try:
        for event in events:
            decoder.event(event)
        return decoder.completion()
    except AgentProtocol:
        return None


class OpenAIContract(BackendContract):
    __test__ = True

    def setUp(self) -> None:
        self.clock = ManualClock()
        self.upstream = Upstream(recorded_answer("openai_stream.txt"))

    def answering(self) -> VendorBackend:
        return openai_backend("openai", client(self.upstream.net, self.clock), self.clock, model="m")

    def hanging(self) -> VendorBackend:
        self.upstream.on_request = lambda server: server.say(*streamed(recorded("openai_stream.txt").partition(b"\n\n")[2])[:-8])
        return self.answering()

    def settle(self) -> None:
        self.upstream.net.pump()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 600) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("choices", "delta", "message", "content", "tool_calls", "function", "index", "type", "error", "code", "usage", "finish_reason"),
                    *("candidates", "parts", "text", "details", "retryDelay", "content_block", "model", "stop_reason", "promptFeedback", "status"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150)
@given(st.lists(JSON, max_size=4))
def test_any_json_in_a_stream_is_an_answer_or_an_agent_error(values: list[object]) -> None:
    case = Vendors()
    case.setUp()
    for kind in ("openai", "anthropic", "gemini"):
        decoder = case.backend(kind).dialect.decoder()
        try:
            for value in values:
                tuple(decoder.event(SseEvent(json.dumps(value))))
            assert isinstance(decoder.completion(), Completion)
        except AgentError:
            pass


@given(st.integers(0, 999), JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40))
def test_any_error_body_is_an_agent_error_fit_for_a_log_line(status: int, body: bytes) -> None:
    error = error_of(status, body)
    assert isinstance(error, AgentError)
    assert error.detail.isprintable() or all(ord(letter) > 31 for letter in error.detail)
    assert len(error.detail) <= 500


def test_retry_after_is_seconds_or_a_date_or_exact_milliseconds() -> None:
    now = 1_790_000_000.0
    assert retry_after("7", None, now) == 7
    assert retry_after("7", "250", now) == 0.25
    assert retry_after("Mon, 21 Sep 2026 14:13:30 GMT", None, now) == 10
    assert retry_after("Mon, 21 Sep 2020 14:13:30 GMT", None, now) == 0
    assert retry_after("999999999999", None, now) == 86_400
    for nonsense in (None, "", "soon", "-1", "nan", "1e9", "٣"):
        assert retry_after(nonsense, None, now) is None
