"""WhatsApp: reading, subscribing, replying. Source: zeroclaw.md A3 and A6, rantaiclaw.md §7 and §21."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL
from treq.testing import RequestTraversalAgent
from twisted.internet import error
from twisted.internet.defer import CancelledError
from twisted.web.iweb import IAgent

from clawgate.channels import whatsapp_wire
from clawgate.channels.kinds import build_channels
from clawgate.domain.errors import BadRequest, Forbidden, GatewayError, Invalid, SendRefused, SendUnavailable, SendUncertain
from clawgate.domain.messages import ChannelMessage
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import ChannelsSettings, Settings, WhatsAppChannel
from clawgate.ports.channels import Channel
from clawgate.testing.case import TestCase
from clawgate.testing.channels import ChannelContract
from clawgate.testing.clock import ManualClock
from clawgate.testing.platforms import BrokenAgent, Platform, build, lost

NOW_MS = 1_800_000_000_123
TOKEN = "EAAGm0PX4ZCpsBAKZCtokentokentoken"
SETTINGS = ChannelsSettings(
    whatsapp=WhatsAppChannel(
        access_token=Secret(TOKEN),
        phone_number_id="10987654321",
        verify_token=Secret("my-verify-token"),
        app_secret=Secret(" app_secret\n"),
        allowed_numbers=("+1234567890",),
    )
)
NOBODY = BrokenAgent(None)


def channel(agent: IAgent = NOBODY, clock: ManualClock | None = None, **changes: Any) -> Channel:
    assert SETTINGS.whatsapp is not None
    return build(ChannelsSettings(whatsapp=msgspec.structs.replace(SETTINGS.whatsapp, **changes)), agent, "whatsapp", clock)


def message(**changes: Any) -> dict[str, Any]:
    plain = {"from": "1234567890", "id": "wamid.A", "timestamp": "1699999999", "type": "text", "text": {"body": "Hello"}}
    return {key: value for key, value in {**plain, **changes}.items() if value is not ...}


def payload(*messages: Any) -> bytes:
    value = {"messaging_product": "whatsapp", "messages": list(messages)}
    return msgspec.json.encode({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"value": value, "field": "messages"}]}]})


def read(body: bytes, *allowed: str) -> tuple[ChannelMessage, ...]:
    return channel(allowed_numbers=allowed or ("*",)).read(body, NOW_MS)


def texts(body: bytes, *allowed: str) -> list[str]:
    return [found.text for found in read(body, *allowed)]


class TestContract(ChannelContract):
    def make_channel(self, *, is_signing: bool = True) -> Channel:
        return channel() if is_signing else channel(app_secret=Secret("  "))

    def signed(self, body: bytes, now_seconds: int) -> Mapping[str, str]:
        return {"x-hub-signature-256": "sha256=" + hmac.new(b"app_secret", body, hashlib.sha256).hexdigest()}


# --- reading ---------------------------------------------------------------------------------------------------------------------------


def test_text_message_is_read_with_its_time_id_and_normalised_sender() -> None:
    expected = ChannelMessage(sender="+1234567890", target="+1234567890", text="Hello", message_id="wamid.A", sent_ms=1_699_999_999_000)
    assert read(payload(message()), "+1234567890") == (expected,)


def test_allowlist_is_exact_or_a_star_and_empty_denies_all() -> None:
    body = payload(message())
    assert texts(body, "+1234567890") == ["Hello"]
    assert texts(body, "*") == ["Hello"]
    assert channel(allowed_numbers=()).read(body, NOW_MS) == ()
    for entry in ("1234567890", "+123456789", "+12345678901", " +1234567890", "+1234567890 ", "**", ""):
        assert texts(body, entry) == []


def test_leading_plus_is_not_doubled_and_nothing_else_is_changed() -> None:
    assert read(payload(message(**{"from": "+49 170"})))[0].sender == "+49 170"
    assert read(payload(message(**{"from": "49-170"})))[0].sender == "+49-170"


@pytest.mark.parametrize("kind", ["image", "audio", "video", "document", "sticker", "location", "contacts", "reaction", "interactive"])
def test_message_without_text_is_skipped(kind: str) -> None:
    media = message(type=kind, text=..., **{kind: {"id": "media", "caption": "look"}})
    assert texts(payload(media, message())) == ["Hello"]


def test_type_field_is_not_looked_at() -> None:
    assert texts(payload(message(type="image"), message(type=...))) == ["Hello", "Hello"]


def test_several_messages_changes_and_entries_keep_their_order() -> None:
    def change(*names: str) -> dict[str, Any]:
        return {"value": {"messages": [message(text={"body": name}) for name in names]}}

    body = msgspec.json.encode({"entry": [{"changes": [change("1", "2"), change("3")]}, {"changes": [change("4")]}]})
    assert texts(body) == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"entry":null}',
        b'{"entry":"x"}',
        b'{"entry":{"changes":[]}}',
        b'{"entry":[]}',
        b'{"entry":[{}]}',
        b'{"entry":[7,null,"x",[]]}',
        b'{"entry":[{"changes":"x"}]}',
        b'{"entry":[{"changes":[]}]}',
        b'{"entry":[{"changes":[{}]}]}',
        b'{"entry":[{"changes":[{"value":null}]}]}',
        b'{"entry":[{"changes":[{"value":{"messages":"x"}}]}]}',
        b'{"entry":[{"changes":[{"value":{"messages":[]}}]}]}',
        b'{"entry":[{"changes":[{"value":{"messages":[null,1,"x",[]]}}]}]}',
        b'{"entry":[{"changes":[{"value":{"statuses":[{"id":"wamid.A","status":"read"}]}}]}]}',
    ],
)
def test_missing_or_mistyped_level_holds_nothing(body: bytes) -> None:
    assert read(body) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"from": ...},
        {"from": 1234567890},
        {"from": None},
        {"text": ...},
        {"text": None},
        {"text": "Hello"},
        {"text": {}},
        {"text": {"body": None}},
        {"text": {"body": 5}},
        {"text": {"body": ""}},
    ],
)
def test_message_without_sender_or_text_is_skipped_and_the_next_one_read(changes: dict[str, Any]) -> None:
    assert texts(payload(message(**changes), message(text={"body": "next"}))) == ["next"]


@pytest.mark.parametrize("text", [" ", " \n\t", "  Hello  ", "a\nb\r\nc", "Grüße 🦀 こんにちは", "<b>&\"'\\/\u0000", "x" * 10_000])
def test_text_is_kept_as_it_is(text: str) -> None:
    assert texts(payload(message(text={"body": text}))) == [text]


@pytest.mark.parametrize("stamp", [..., None, 1699999999, "", "soon", "-1", "1.5", "\u0661\u0662", str(2**64), "9" * 4000])
def test_invalid_or_missing_time_is_now(stamp: object) -> None:
    assert read(payload(message(timestamp=stamp)))[0].sent_ms == NOW_MS


@pytest.mark.parametrize("message_id", [..., None, "", 17])
def test_message_without_an_id_says_so(message_id: object) -> None:
    assert read(payload(message(id=message_id)))[0].message_id is None


def test_strangers_among_the_allowed_are_left_out() -> None:
    body = payload(message(), message(**{"from": "666", "text": {"body": "let me in"}}), message(text={"body": "again"}))
    assert texts(body, "+1234567890") == ["Hello", "again"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["entry", "changes", "value", "messages", "from", "text", "body", "timestamp", "id", "x"]), inner, max_size=4
        )
    ),
    max_leaves=25,
)


@given(payload=JSON)
def test_any_json_is_read_without_an_error(payload: object) -> None:
    for found in whatsapp_wire.messages(payload, ("*",), NOW_MS):
        assert found.sender.startswith("+")
        assert found.text


def test_truncated_body_is_a_bad_request_or_holds_nothing_wrong() -> None:
    whole = payload(message())
    for length in range(len(whole)):
        with pytest.raises(BadRequest, match=r"^Invalid JSON payload$"):
            read(whole[:length])


# --- subscribing -----------------------------------------------------------------------------------------------------------------------


def query(mode: str | None = "subscribe", token: str | None = "my-verify-token", challenge: str | None = "12345") -> dict[str, str]:
    values = {"hub.mode": mode, "hub.verify_token": token, "hub.challenge": challenge}
    return {key: value for key, value in values.items() if value is not None}


@pytest.mark.parametrize("challenge", ["12345", "", " <x> "])
def test_challenge_is_echoed_verbatim(challenge: str) -> None:
    assert channel().handshake(query(challenge=challenge)) == challenge


@pytest.mark.parametrize(
    "values",
    [{}, query(mode=None), query(mode="Subscribe"), query(mode="unsubscribe"), query(token=None), query(token=""), query(token="my-verify-token ")],
)
def test_other_mode_or_token_is_forbidden(values: dict[str, str]) -> None:
    with pytest.raises(Forbidden, match=r"^Forbidden$"):
        channel().handshake(values)


def test_known_token_without_a_challenge_is_a_bad_request() -> None:
    with pytest.raises(BadRequest, match=r"^Missing hub\.challenge$"):
        channel().handshake(query(challenge=None))


@pytest.mark.parametrize("blank", ["", "  "])
def test_blank_verify_token_matches_nobody(blank: str) -> None:
    with pytest.raises(Forbidden):
        channel(verify_token=Secret(blank)).handshake(query(token=blank))


# --- what is configured ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["access_token", "phone_number_id", "verify_token"])
def test_whatsapp_is_configured_when_all_three_values_are_there(missing: str) -> None:
    assert SETTINGS.whatsapp is not None
    without = ChannelsSettings(whatsapp=msgspec.structs.replace(SETTINGS.whatsapp, **{missing: None}))
    clock = ManualClock()
    built = build_channels(Settings(channels_config=without), clock.reactor, clock)  # type: ignore[arg-type]  # nothing is connected
    assert built == {}


def test_empty_values_count_as_present() -> None:
    empty = ChannelsSettings(whatsapp=WhatsAppChannel(access_token=Secret(""), phone_number_id="", verify_token=Secret("")))
    assert build(empty, NOBODY, "whatsapp").name == "whatsapp"


@pytest.mark.parametrize("url", ["", "graph.facebook.com", "ftp://x", "https://", "https://x/?a=b", "https://x\r\nHost: y", "http://[::1"])
def test_api_base_that_is_no_url_is_named(url: str) -> None:
    with pytest.raises(Invalid, match=r"^channels_config\.whatsapp\.api_base: "):
        channel(api_base=url)


# --- replying --------------------------------------------------------------------------------------------------------------------------


class TestReplies(TestCase):
    def setUp(self) -> None:
        self.platform = Platform()
        self.clock = ManualClock()
        self.channel = channel(self.platform.agent, self.clock)

    def send(self, text: str = "Hi", target: str = "+1234567890") -> str:
        sent = self.channel.send(target, text, "key")
        self.platform.agent.flush()
        assert self.clock.pending == 0
        return self.successResultOf(sent)

    def refusal(self, kind: type[GatewayError], agent: IAgent | None = None) -> GatewayError:
        sent = (channel(agent, self.clock) if agent else self.channel).send("+1", "Hi", "key")
        self.platform.agent.flush()
        problem = self.failureResultOf(sent, kind).value
        assert self.clock.pending == 0
        assert isinstance(problem, GatewayError)
        return problem

    def test_reply_is_the_contracts_call_and_its_receipt_the_wamid(self) -> None:
        self.platform.answer(200, b'{"messaging_product":"whatsapp","contacts":[{}],"messages":[{"id":"wamid.R"}]}')
        assert self.send("Grüße\n🦀") == "wamid.R"
        (call,) = self.platform.calls
        assert (call.method, call.uri, call.host) == ("POST", "/v18.0/10987654321/messages", "graph.facebook.com")
        assert (call.authorization, call.content_type) == (f"Bearer {TOKEN}", "application/json")
        assert call.body == {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": "1234567890",
            "type": "text",
            "text": {"preview_url": False, "body": "Grüße\n🦀"},
        }

    def test_taken_message_without_a_readable_receipt_is_taken(self) -> None:
        for body in (b"", b"ok", b"{}", b'{"messages":[]}', b'{"messages":[{"id":7}]}', b"[" * 70_000):
            self.platform.answer(200, body)
            assert self.send() == ""

    def test_lone_surrogate_of_a_model_does_not_stop_a_reply(self) -> None:
        self.platform.answer(200)
        self.send("a\ud800b")
        assert self.platform.calls[0].body["text"]["body"] == "a?b"

    def test_redirect_is_refused_and_not_followed(self) -> None:
        for status in (301, 302, 307, 308):
            self.platform.answer(status, b"", location="https://evil.example/")
            self.refusal(SendRefused)
        assert len(self.platform.calls) == 4

    def test_client_error_is_final_and_quotes_no_secret(self) -> None:
        body = b'{"error":{"message":"Malformed access token %b","code":190}}' % TOKEN.encode()
        for status in (400, 401, 403, 404):
            self.platform.answer(status, body)
            problem = self.refusal(SendRefused)
            assert str(problem) == f"WhatsApp API error: {status}"
            assert "Malformed access token" in problem.detail
            assert TOKEN not in problem.detail
            assert TOKEN[:12] not in problem.detail

    def test_throttling_is_worth_another_try(self) -> None:
        self.platform.answer(429, b"slow down", retry_after="17")
        self.platform.answer(429)
        self.platform.answer(503, b"", retry_after="Fri, 15 Jan 2027 08:01:00 GMT")
        self.platform.answer(400, b'{"error":{"code":131056}}')
        self.platform.answer(400, b'{"error":{"code":1,"is_transient":true}}')
        waits = [getattr(self.refusal(SendUnavailable), "retry_after_seconds", "missing") for _ in range(5)]
        assert waits == [17.0, None, 60.0, None, None]

    def test_server_error_is_uncertain(self) -> None:
        for status in (500, 502, 503, 504):
            self.platform.answer(status)
            self.refusal(SendUncertain)

    def test_no_connection_means_nothing_was_sent(self) -> None:
        verify_failed = SSL.Error([("SSL routines", "", "certificate verify failed")])
        for problem in (
            error.ConnectionRefusedError(),
            error.DNSLookupError(),
            error.TimeoutError(),
            error.NoRouteError(),
            lost(verify_failed),
        ):
            found = self.refusal(SendUnavailable, BrokenAgent(problem))
            assert str(found) == "WhatsApp cannot be reached"

    def test_connection_lost_after_the_request_is_uncertain(self) -> None:
        for problem in (lost(error.ConnectionDone()), lost(error.ConnectionLost()), lost(SSL.Error([("", "", "bad record mac")])), ValueError("?")):
            self.refusal(SendUncertain, BrokenAgent(problem))

    def test_no_answer_within_thirty_seconds_is_uncertain(self) -> None:
        for agent in (BrokenAgent(None), self.platform.agent):
            self.platform.answers.append(None)
            sent = channel(agent, self.clock).send("+1", "Hi", "key")
            self.platform.agent.flush()
            self.clock.advance(29.9)
            self.assertNoResult(sent)
            self.clock.advance(0.2)
            self.platform.agent.flush()
            self.failureResultOf(sent, SendUncertain)
            assert self.clock.pending == 0

    def test_cancelling_a_send_is_not_an_answer(self) -> None:
        sent = channel(BrokenAgent(None), self.clock).send("+1", "Hi", "key")
        sent.cancel()
        self.failureResultOf(sent, CancelledError)
        assert self.clock.pending == 0

    def test_huge_answer_is_cut(self) -> None:
        self.platform.answer(400, b"x" * 5_000_000)
        assert len(self.refusal(SendRefused).detail) <= 240

    def test_stop_is_harmless_before_and_after_a_send(self) -> None:
        assert self.successResultOf(self.channel.stop()) is None
        assert self.successResultOf(self.channel.stop()) is None


def test_agent_in_memory_is_the_real_one() -> None:
    assert isinstance(Platform().agent, RequestTraversalAgent)


def test_sends_are_not_repeated_by_themselves() -> None:
    assert channel().retry_safe is False
    assert channel().tolerance_seconds == 0
