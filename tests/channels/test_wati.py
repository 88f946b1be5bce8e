"""WATI: reading and replying. Source: design §4.19, construct-realtime.md §13, construct-rest.md (/wati)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.web.iweb import IAgent

from clawgate.channels import wati_wire
from clawgate.domain.errors import BadRequest, Invalid, NoSecret, NotFound, SendRefused, SendUncertain, Unauthenticated
from clawgate.domain.messages import ChannelMessage
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import ChannelsSettings, WatiChannel
from clawgate.ports.channels import Channel
from clawgate.testing.case import TestCase
from clawgate.testing.clock import ManualClock
from clawgate.testing.platforms import BrokenAgent, Platform, build

NOW_MS = 1_800_000_000_123
WATI = WatiChannel(
    api_token=Secret("wati-api"), api_url="https://wati.example/123", webhook_token=Secret(" hook-token "), allowed_numbers=("+4915112345",)
)


def channel(agent: IAgent | None = None, **changes: Any) -> Channel:
    return build(ChannelsSettings(wati=msgspec.structs.replace(WATI, **changes)), agent or BrokenAgent(None), "wati", ManualClock())


def event(**changes: Any) -> dict[str, Any]:
    """A message webhook; `...` leaves a field out."""
    whole = {
        "id": "637b",
        "created": "2026-11-21T06:00:00Z",
        "whatsappMessageId": "wamid.1",
        "conversationId": "c",
        "text": " Hello ",
        "type": "text",
        "timestamp": "1700000000",
        "owner": False,
        "eventType": "message",
        "waId": "4915112345",
        "senderName": "Ada",
    }
    return {name: value for name, value in (whole | changes).items() if value is not ...}


def read(payload: object, *allowed: str) -> tuple[ChannelMessage, ...]:
    return channel(allowed_numbers=allowed or ("*",)).read(msgspec.json.encode(payload), NOW_MS)


# --- the shared token ------------------------------------------------------------------------------------------------------------------


def check(headers: Mapping[str, str], query: Mapping[str, str], **changes: Any) -> str:
    return channel(**changes).verify(headers.get, b"{}", 0.0, query.get)


def test_token_is_taken_from_each_place_it_may_stand() -> None:
    assert check({"authorization": "Bearer hook-token"}, {}) == ""
    assert check({"authorization": "bearer hook-token"}, {}) == ""
    assert check({"x-webhook-token": "hook-token"}, {}) == ""
    assert check({}, {"token": "hook-token"}) == ""
    assert check({"authorization": "Bearer of-a-proxy"}, {"token": "hook-token"}) == ""


@pytest.mark.parametrize("token", ["", "hook-toke", "hook-token ", "HOOK-TOKEN", "\ud800"])
def test_another_token_is_refused_wherever_it_stands(token: str) -> None:
    for headers, query in (({"authorization": f"Bearer {token}"}, {}), ({"x-webhook-token": token}, {}), ({}, {"token": token})):
        with pytest.raises(Unauthenticated):
            check(headers, query)


def test_no_token_at_all_is_refused() -> None:
    for headers in ({}, {"authorization": "hook-token"}, {"authorization": "Basic hook-token"}):
        with pytest.raises(Unauthenticated):
            check(headers, {})


@pytest.mark.parametrize("secret", [None, Secret(""), Secret("  ")])
def test_without_a_token_of_ours_every_delivery_is_refused(secret: Secret | None) -> None:
    for token in ("", "  ", "None"):
        with pytest.raises(NoSecret):
            check({"x-webhook-token": token}, {"token": token}, webhook_token=secret)


# --- reading ---------------------------------------------------------------------------------------------------------------------------


def test_message_is_read_with_number_id_and_time() -> None:
    expected = ChannelMessage(sender="+4915112345", target="+4915112345", text="Hello", message_id="637b", sent_ms=1_700_000_000_000)
    assert read(event(), "+4915112345") == (expected,)


def test_other_names_of_the_fields_are_read_alike() -> None:
    payload = {"wa_id": "+49", "message": {"body": "Hi"}, "created": "2026-11-21T06:00:00Z", "whatsappMessageId": "w"}
    expected = ChannelMessage(sender="+49", target="+49", text="Hi", message_id="w", sent_ms=1_795_240_800_000)
    assert read(payload) == (expected,)


@pytest.mark.parametrize(
    "changes",
    [
        {"owner": True},
        {"owner": "true"},
        {"fromMe": True},
        {"from_me": 1},
        {"eventType": "sentMessageDELIVERED"},
        {"eventType": "sentMessageREAD"},
        {"eventType": "templateMessageSent"},
        {"eventType": 5},
        {"type": "image"},
        {"type": "reaction"},
        {"type": "audio"},
        {"text": "  "},
        {"text": None},
        {"waId": ...},
        {"waId": "123:456"},
        {"waId": 491},
    ],
    ids=str,
)
def test_what_is_no_text_of_a_customers_is_skipped(changes: dict[str, Any]) -> None:
    assert read(event(**changes)) == ()


@pytest.mark.parametrize(
    ("timestamp", "sent_ms"), [(1_700_000_000, 1_700_000_000_000), (1_700_000_000_001, 1_700_000_000_001), ("soon", 1_795_240_800_000)]
)
def test_time_is_seconds_or_milliseconds_or_when_it_was_created(timestamp: object, sent_ms: int) -> None:
    assert [found.sent_ms for found in read(event(timestamp=timestamp))] == [sent_ms]


def test_message_without_any_time_came_now() -> None:
    assert [found.sent_ms for found in read(event(timestamp=..., created=...))] == [NOW_MS]


def test_allowlist_is_exact_or_a_star_and_empty_denies_all() -> None:
    assert [len(read(event(), *allowed)) for allowed in (("+4915112345",), ("*",), ("4915112345",))] == [1, 1, 0]
    assert channel(allowed_numbers=()).read(msgspec.json.encode(event()), NOW_MS) == ()


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "body", "waId", "from", "type"]), inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(st.sampled_from([*event(), "from", "message"]), JSON, max_size=8))
def test_any_json_is_read_without_an_error(payload: dict[str, object]) -> None:
    for found in wati_wire.messages(payload, ("*",), NOW_MS):
        assert found.sender.startswith("+")
        assert found.text.strip()


def test_truncated_body_is_a_bad_request() -> None:
    whole = msgspec.json.encode(event())
    for length in range(len(whole)):
        with pytest.raises(BadRequest, match=r"^Invalid JSON payload$"):
            channel().read(whole[:length], NOW_MS)


def test_api_url_must_be_one_and_there_is_no_subscription_check() -> None:
    with pytest.raises(Invalid, match=r"^channels_config\.wati\.api_url: "):
        channel(api_url="wati")
    with pytest.raises(NotFound):
        channel().handshake({"hub.challenge": "1"})


# --- replying --------------------------------------------------------------------------------------------------------------------------


@given(st.text(max_size=9000))
def test_every_part_fits_into_a_url(text: str) -> None:
    for part in channel().split(text):
        assert len(part) <= 4096
        assert len(quote(part, safe="", errors="replace")) <= wati_wire.MAX_ENCODED_BYTES


def test_reply_in_another_script_is_split_finer() -> None:
    parts = channel().split("🦀" * 1000)
    assert ("".join(parts), len(parts) > 1) == ("🦀" * 1000, True)


class TestReplies(TestCase):
    def setUp(self) -> None:
        self.platform = Platform()

    def send(self, target: str = "+4915112345", text: str = "Hi & bye?", **changes: Any) -> str:
        sent = channel(self.platform.agent, **changes).send(target, text, "key")
        self.platform.agent.flush()
        return self.successResultOf(sent)

    def test_reply_goes_to_its_number(self) -> None:
        self.platform.answer(200, b'{"result":true,"message":{"whatsappMessageId":"wamid.R","id":"x"}}')
        assert self.send() == "wamid.R"
        (call,) = self.platform.calls
        assert (call.method, call.authorization, call.body) == ("POST", "Bearer wati-api", None)
        assert call.uri == "/123/api/v1/sendSessionMessage/4915112345?messageText=Hi%20%26%20bye%3F"

    def test_shared_account_names_its_tenant(self) -> None:
        self.platform.answer(200)
        self.send(tenant_id="t 1")
        assert unquote(self.platform.calls[0].uri.partition("?")[0]) == "/123/api/v1/sendSessionMessage/t 1:4915112345"

    def test_target_that_is_no_number_is_refused_unsent(self) -> None:
        for target in ("", "..", "../1", "+49/1", "1?x=y", "+" + "1" * 33):
            self.failureResultOf(channel(self.platform.agent).send(target, "Hi", "key"), SendRefused)
        assert self.platform.calls == []

    def test_refusal_in_a_200_is_one(self) -> None:
        for body in (b'{"result":false,"info":"Ticket has been expired."}', b'{"result":"error"}'):
            self.platform.answer(200, body)
            sent = channel(self.platform.agent).send("+49", "Hi", "key")
            self.platform.agent.flush()
            self.failureResultOf(sent, SendRefused)

    def test_answers_map_to_what_they_prove(self) -> None:
        for status, kind in ((401, SendRefused), (500, SendUncertain)):
            self.platform.answer(status)
            sent = channel(self.platform.agent).send("+49", "Hi", "key")
            self.platform.agent.flush()
            self.failureResultOf(sent, kind)

    def test_receipt_is_never_required(self) -> None:
        for body in (b"", b"[]", b"nope", b'{"result":"success"}'):
            self.platform.answer(200, body)
            assert self.send() == ""
