"""Linq: reading and replying. Source: zeroclaw.md A3 and A6, rantaiclaw.md §7 and §21, construct-realtime.md §13."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import error
from twisted.web.iweb import IAgent

from clawgate.channels import linq_wire
from clawgate.channels.kinds import build_channels
from clawgate.domain.errors import BadRequest, GatewayError, Invalid, NotFound, SendRefused, SendUnavailable, SendUncertain
from clawgate.domain.messages import ChannelMessage
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import ChannelsSettings, LinqChannel, Settings
from clawgate.ports.channels import Channel
from clawgate.testing.case import TestCase
from clawgate.testing.channels import ChannelContract
from clawgate.testing.clock import ManualClock
from clawgate.testing.platforms import BrokenAgent, Platform, build, lost

NOW_MS = 1_800_000_000_123
NOBODY = BrokenAgent(None)
LINQ = LinqChannel(
    api_token=Secret("linq-api-token"), from_phone="+15550001111", signing_secret=Secret(" linq_secret "), allowed_senders=("+1234567890",)
)


def channel(agent: IAgent = NOBODY, clock: ManualClock | None = None, **changes: Any) -> Channel:
    return build(ChannelsSettings(linq=msgspec.structs.replace(LINQ, **changes)), agent, "linq", clock)


def without_gaps(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not ...}


def event(*values: str, **changes: Any) -> bytes:
    """An event of the flat shape; `...` leaves a field out; names with `top_` are the envelope's."""
    parts = [{"type": "text", "value": value} for value in values or ("Hello",)]
    data = {
        "chat_id": "chat-1",
        "from": "1234567890",
        "recipient_phone": "+15550001111",
        "is_from_me": False,
        "service": "iMessage",
        "message_id": "m-1",
        "message": {"id": "inner-1", "parts": parts},
    }
    envelope = {"api_version": "v3", "event_type": "message.received", "event_id": "e-1", "created_at": "2026-11-21T06:00:00Z"}
    top = {key.removeprefix("top_"): value for key, value in changes.items() if key.startswith("top_")}
    inner = {key: value for key, value in changes.items() if not key.startswith("top_")}
    return msgspec.json.encode(without_gaps({**envelope, "data": without_gaps({**data, **inner}), **top}))


def read(body: bytes, *allowed: str) -> tuple[ChannelMessage, ...]:
    return channel(allowed_senders=allowed or ("*",)).read(body, NOW_MS)


def texts(body: bytes, *allowed: str) -> list[str]:
    return [found.text for found in read(body, *allowed)]


class TestContract(ChannelContract):
    def make_channel(self, *, is_signing: bool = True) -> Channel:
        return channel() if is_signing else channel(signing_secret=None)

    def signed(self, body: bytes, now_seconds: int) -> Mapping[str, str]:
        signature = hmac.new(b"linq_secret", f"{now_seconds}.".encode() + body, hashlib.sha256).hexdigest()
        return {"x-webhook-timestamp": str(now_seconds), "x-webhook-signature": f"sha256={signature}"}


# --- reading ---------------------------------------------------------------------------------------------------------------------------


def test_message_is_read_with_its_chat_time_and_id() -> None:
    expected = ChannelMessage(sender="+1234567890", target="chat-1", text="Hello", message_id="m-1", sent_ms=1_795_240_800_000)
    assert read(event(), "+1234567890") == (expected,)


def test_newer_shape_is_read_alike() -> None:
    body = msgspec.json.encode(
        {
            "event_type": "message.received",
            "event_id": "e-2",
            "data": {
                "direction": "inbound",
                "sender_handle": {"handle": "+1234567890", "is_me": False},
                "chat": {"id": "chat-2"},
                "parts": [{"type": "text", "value": "Hi"}],
            },
        }
    )
    expected = ChannelMessage(sender="+1234567890", target="chat-2", text="Hi", message_id="e-2", sent_ms=NOW_MS)
    assert read(body) == (expected,)


def test_allowlist_is_exact_or_a_star_and_empty_denies_all() -> None:
    assert texts(event(), "+1234567890") == ["Hello"]
    assert texts(event(), "*") == ["Hello"]
    assert channel(allowed_senders=()).read(event(), NOW_MS) == ()
    for entry in ("1234567890", "+123", ""):
        assert texts(event(), entry) == []


@pytest.mark.parametrize(
    "changes",
    [{"is_from_me": True}, {"sender_handle": {"handle": "+1", "is_me": True}}, {"direction": "outbound"}],
    ids=lambda value: next(iter(value)),
)
def test_own_message_is_skipped(changes: dict[str, Any]) -> None:
    assert texts(event(**changes)) == []


@pytest.mark.parametrize("kind", ["message.sent", "message.delivered", "Message.Received", "", None, 5, ...])
def test_other_event_is_skipped(kind: object) -> None:
    assert texts(event(top_event_type=kind)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"top_data": ...},
        {"top_data": None},
        {"top_data": []},
        {"from": ...},
        {"from": 1234567890},
        {"from": ""},
        {"message": ...},
        {"message": None},
        {"message": {}},
        {"message": {"parts": None}},
        {"message": {"parts": []}},
        {"message": {"parts": [None, 1, "x", {}]}},
        {"message": {"parts": [{"type": "media", "url": "https://x/y.jpg", "mime_type": "image/jpeg"}]}},
        {"message": {"parts": [{"type": "text"}]}},
        {"message": {"parts": [{"type": "text", "value": ""}]}},
        {"message": {"parts": [{"type": "text", "value": " \n "}]}},
        {"message": {"parts": [{"type": "text", "value": 5}]}},
    ],
)
def test_payload_without_sender_or_text_is_skipped(changes: dict[str, Any]) -> None:
    assert texts(event(**changes)) == []


def test_text_parts_are_joined_by_line_breaks_and_media_left_out() -> None:
    parts = [
        {"type": "text", "value": "one"},
        {"type": "media", "url": "https://x/y.jpg", "mime_type": "image/jpeg", "value": "no"},
        {"type": "text", "value": ""},
        {"type": "text", "value": " two \n"},
    ]
    assert texts(event(message={"parts": parts})) == ["one\n two"]


def test_number_gets_its_plus_once() -> None:
    assert [read(event(**{"from": number}))[0].sender for number in ("1234567890", "+1234567890")] == ["+1234567890"] * 2


@pytest.mark.parametrize("chat", [..., "", None, 7])
def test_reply_goes_to_the_sender_without_a_chat(chat: object) -> None:
    assert read(event(chat_id=chat))[0].target == "+1234567890"


@pytest.mark.parametrize("stamp", [..., None, "", "yesterday", 1_700_000_000, "2026-11-21 06:00:00"])
def test_missing_or_invalid_time_is_now(stamp: object) -> None:
    assert read(event(top_created_at=stamp))[0].sent_ms == NOW_MS


def test_id_is_the_messages_then_the_inner_then_the_events_then_none() -> None:
    inner = {"parts": [{"type": "text", "value": "x"}]}
    found = [
        read(body)[0].message_id
        for body in (
            event(),
            event(message_id=...),
            event(message_id="", message={"id": "", **inner}),
            event(message_id=None, message=inner, top_event_id=...),
        )
    ]
    assert found == ["m-1", "inner-1", "e-1", None]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["text", "message.received"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["data", "message", "parts", "type", "value", "from", "chat", "id", "sender_handle", "handle"]), inner)
    ),
    max_leaves=25,
)


@given(data=JSON, created_at=JSON)
def test_any_json_is_read_without_an_error(data: object, created_at: object) -> None:
    payload = {"event_type": "message.received", "data": data, "created_at": created_at}
    for found in linq_wire.messages(payload, ("*",), NOW_MS):
        assert found.sender.startswith("+")
        assert found.text.strip()


def test_truncated_body_is_a_bad_request() -> None:
    whole = event()
    for length in range(len(whole)):
        with pytest.raises(BadRequest, match=r"^Invalid JSON payload$"):
            read(whole[:length])


def test_linq_is_configured_by_its_section_and_has_no_subscription_check() -> None:
    clock = ManualClock()
    built = build_channels(Settings(channels_config=ChannelsSettings(linq=LINQ)), clock.reactor, clock)  # type: ignore[arg-type]  # not connected
    assert list(built) == ["linq"]
    with pytest.raises(NotFound):
        built["linq"].handshake({"hub.challenge": "1"})
    with pytest.raises(Invalid, match=r"^channels_config\.linq\.api_base: "):
        channel(api_base="linq")


# --- replying --------------------------------------------------------------------------------------------------------------------------


class TestReplies(TestCase):
    def setUp(self) -> None:
        self.platform = Platform()
        self.clock = ManualClock()
        self.channel = channel(self.platform.agent, self.clock)

    def send(self, target: str = "chat-1") -> str:
        sent = self.channel.send(target, "Hi", "key")
        self.platform.agent.flush()
        return self.successResultOf(sent)

    def refusal(self, kind: type[GatewayError], agent: IAgent | None = None) -> GatewayError:
        sent = (channel(agent, self.clock) if agent else self.channel).send("chat-1", "Hi", "key")
        self.platform.agent.flush()
        problem = self.failureResultOf(sent, kind).value
        assert isinstance(problem, GatewayError)
        return problem

    def test_reply_goes_into_its_chat(self) -> None:
        self.platform.answer(200, b'{"message":{"id":"out-1"}}')
        assert self.send() == "out-1"
        (call,) = self.platform.calls
        assert (call.method, call.uri, call.host) == ("POST", "/api/partner/v3/chats/chat-1/messages", "api.linqapp.com")
        assert call.authorization == "Bearer linq-api-token"
        assert call.body == {"message": {"parts": [{"type": "text", "value": "Hi"}]}}

    def test_unknown_chat_is_opened(self) -> None:
        self.platform.answer(404)
        self.platform.answer(201, b'{"chat":{"id":"c","message":{"id":"out-2"}}}')
        assert self.send("+1234567890") == "out-2"
        assert [call.uri for call in self.platform.calls] == ["/api/partner/v3/chats/%2B1234567890/messages", "/api/partner/v3/chats"]
        assert self.platform.calls[1].body == {
            "from": "+15550001111",
            "to": ["+1234567890"],
            "message": {"parts": [{"type": "text", "value": "Hi"}]},
        }

    def test_hostile_chat_id_stays_one_path_segment(self) -> None:
        for target in ("../../admin", "a/b", "x?y=1#z", "%2e%2e", "a b\r\nHost: evil", "é", "\ud800", ";", "@evil.example"):
            self.platform.answer(200)
            self.send(target)
        for call in self.platform.calls:
            head, _, rest = call.uri.partition("/api/partner/v3/chats/")
            assert head == ""
            segment, _, tail = rest.partition("/")
            assert tail == "messages"
            assert segment.isascii()
            assert not set(segment) & set("/?# \r\n;@")
            assert call.host == "api.linqapp.com"

    def test_chat_id_that_would_climb_is_refused_unsent(self) -> None:
        for target in ("", ".", ".."):
            self.failureResultOf(self.channel.send(target, "Hi", "key"), SendRefused)
        assert self.platform.calls == []

    def test_receipt_is_found_where_it_may_be_and_never_required(self) -> None:
        answers = (b'{"data":{"message":{"id":"a"}}}', b'{"message_id":"b"}', b'{"data":{"message_id":"c"}}', b"", b"{}", b"[]", b"nope")
        for body in answers:
            self.platform.answer(202, body)
        assert [self.send() for _ in answers] == ["a", "b", "c", "", "", "", ""]

    def test_answers_map_to_what_they_prove(self) -> None:
        for status, kind in ((400, SendRefused), (401, SendRefused), (302, SendRefused), (429, SendUnavailable), (500, SendUncertain)):
            self.platform.answer(status)
            assert str(self.refusal(kind)) == f"Linq API error: {status}"

    def test_chat_that_cannot_be_opened_either_is_refused(self) -> None:
        self.platform.answer(404)
        self.platform.answer(404)
        assert str(self.refusal(SendRefused)) == "Linq API error: 404"
        assert len(self.platform.calls) == 2

    def test_lost_connections_map_to_what_they_prove(self) -> None:
        self.refusal(SendUnavailable, BrokenAgent(error.ConnectionRefusedError()))
        self.refusal(SendUncertain, BrokenAgent(lost(error.ConnectionLost())))

    def test_sends_are_not_repeated_by_themselves(self) -> None:
        assert (self.channel.retry_safe, self.channel.tolerance_seconds) == (False, 300)
