"""Nextcloud Talk: reading and replying. Source: rantaiclaw.md §7 and §21, design §4.19, webhook-signatures.md §1.1 and §1.2."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.web.iweb import IAgent

from clawgate.channels import nextcloud_talk_wire
from clawgate.domain.errors import BadRequest, Invalid, NoSecret, NotFound, SendRefused, SendUncertain, Unauthenticated
from clawgate.domain.messages import ChannelMessage
from clawgate.domain.secret import Secret
from clawgate.domain.settings.model import ChannelsSettings, NextcloudTalkChannel
from clawgate.ports.channels import Channel
from clawgate.testing.case import TestCase
from clawgate.testing.channels import ChannelContract
from clawgate.testing.clock import ManualClock
from clawgate.testing.platforms import BrokenAgent, Platform, build

NOW_MS = 1_800_000_000_123
SECRET = b"nextcloud_secret"
OURS = NextcloudTalkChannel(
    base_url="https://cloud.example/nc/", app_token=Secret("app-token"), webhook_secret=Secret(" nextcloud_secret "), allowed_users=("ada",)
)


def channel(agent: IAgent | None = None, clock: ManualClock | None = None, **changes: Any) -> Channel:
    settings = ChannelsSettings(nextcloud_talk=msgspec.structs.replace(OURS, **changes))
    return build(settings, agent or BrokenAgent(None), "nextcloud_talk", clock)


def read(payload: object, *allowed: str) -> tuple[ChannelMessage, ...]:
    return channel(allowed_users=allowed or ("*",)).read(msgspec.json.encode(payload), NOW_MS)


def activity(text: str = "Hello", **changes: Any) -> dict[str, Any]:
    """A bot's event; dotted names reach inside."""
    content = {"message": text, "parameters": changes.pop("parameters", {})}
    event: dict[str, Any] = {
        "type": "Create",
        "actor": {"type": "Person", "id": "users/ada", "name": "Ada"},
        "object": {"type": "Note", "id": "1567", "name": "message", "content": msgspec.json.encode(content).decode(), "mediaType": "text/markdown"},
        "target": {"type": "Collection", "id": "n3xtc10ud", "name": "world"},
    }
    for path, value in changes.items():
        table, _, key = path.rpartition("__")
        (event[table] if table else event)[key] = value
    return event


def plain(**changes: Any) -> dict[str, Any]:
    """The older event."""
    message = {"id": 42, "token": "room", "actorType": "users", "actorId": "ada", "message": " Hello ", "timestamp": 1_700_000_000}
    return {"type": "message", "object": {"token": "room1"}, "message": message | changes}


class TestContract(ChannelContract):
    def make_channel(self, *, is_signing: bool = True) -> Channel:
        return channel() if is_signing else channel(webhook_secret=None)

    def signed(self, body: bytes, now_seconds: int) -> Mapping[str, str]:
        random = "r" * 64
        signature = hmac.new(SECRET, random.encode() + body, hashlib.sha256).hexdigest()
        return {"x-nextcloud-talk-random": random, "x-nextcloud-talk-signature": signature}


# --- the signature ---------------------------------------------------------------------------------------------------------------------


def check(random: str | None, signature: str | None, body: bytes = b'{"type":"Create"}', secret: str = "secret") -> str:
    headers = {"x-nextcloud-talk-random": random, "x-nextcloud-talk-signature": signature}
    return channel(webhook_secret=Secret(secret)).verify(headers.get, body, 0.0)


VECTOR = "9b7431b42ebe322f98961a567460ff35851f042254609f56b592d7f7ca0220ab"


def test_vector_of_nextcloud_verifies_and_the_random_is_the_nonce() -> None:
    random = "r" * 64
    for signature in (VECTOR, VECTOR.upper(), f"sha256={VECTOR}", f" {VECTOR} "):
        assert check(random, signature) == random
    assert check(f" {random} ", VECTOR) == random


@pytest.mark.parametrize("random", [None, "", "  ", "r" * 63, "s" * 64])
def test_another_random_or_none_is_refused(random: str | None) -> None:
    with pytest.raises(Unauthenticated):
        check(random, VECTOR)


@pytest.mark.parametrize("signature", [None, "", "sha256=", VECTOR[:-1], VECTOR + "0", "md5=" + VECTOR, "0" * 64])
def test_another_signature_or_none_is_refused(signature: str | None) -> None:
    with pytest.raises(Unauthenticated):
        check("r" * 64, signature)


def test_blank_secret_refuses_what_is_signed_with_it() -> None:
    signature = hmac.new(b"", b"r" * 64, hashlib.sha256).hexdigest()
    with pytest.raises(NoSecret):
        check("r" * 64, signature, b"", secret="  ")


@given(headers=st.tuples(st.text(max_size=80), st.text(max_size=80)))
def test_hostile_headers_are_refused_and_nothing_else_is_raised(headers: tuple[str, str]) -> None:
    with pytest.raises(Unauthenticated):
        check(*headers)


# --- a bot's payload -------------------------------------------------------------------------------------------------------------------


def test_note_of_a_person_is_read_and_answered_as_the_bot() -> None:
    expected = ChannelMessage(sender="ada", target="bot:n3xtc10ud", text="Hello", message_id="1567", sent_ms=NOW_MS)
    assert read(activity(), "ada") == (expected,)


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "Activity"},
        {"type": "Join"},
        {"type": "Leave"},
        {"type": "Like"},
        {"type": "Undo"},
        {"actor__type": "Application"},
        {"actor__id": "bots/bot-1"},
        {"actor__id": "users/"},
        {"actor__id": 7},
        {"object__type": "Reaction"},
        {"object__name": "user_added"},
        {"object__content": "{"},
        {"object__content": '{"message":7}'},
        {"object__content": '{"message":"  "}'},
        {"target__id": " "},
        {"target__id": "a:b"},
        {"target": None},
    ],
    ids=str,
)
def test_everything_else_a_bot_is_told_means_nothing(changes: dict[str, Any]) -> None:
    assert read(activity(**changes)) == ()


def test_mentions_are_read_as_people_saw_them() -> None:
    parameters = {"mention-user1": {"type": "user", "id": "bob", "name": "Bob B"}, "file": {"type": "file", "name": "a.txt"}}
    (found,) = read(activity("ask {mention-user1} about {file} and {other}", parameters=parameters))
    assert found.text == "ask @Bob B about a.txt and {other}"


def test_guests_and_strangers_from_elsewhere_do_not_pass_for_users() -> None:
    for kind in ("guests", "federated_users", "emails"):
        assert read(activity(actor__id=f"{kind}/ada"), "ada") == ()
        assert [found.sender for found in read(activity(actor__id=f"{kind}/ada"), f"{kind}/ada")] == [f"{kind}/ada"]


# --- the older payload -----------------------------------------------------------------------------------------------------------------


def test_older_message_is_read_with_room_id_and_time() -> None:
    expected = ChannelMessage(sender="ada", target="room1", text="Hello", message_id="42", sent_ms=1_700_000_000_000)
    assert read(plain(), "ada") == (expected,)


def test_room_may_stand_in_the_message_and_the_actor_above_it() -> None:
    event = {"message": {"token": "room2", "message": "Hi"}, "actorType": "users", "actorId": "ada"}
    (found,) = read(event, "ada")
    assert (found.target, found.sender, found.message_id) == ("room2", "ada", None)


@pytest.mark.parametrize(
    "event",
    [
        plain() | {"type": "reaction"},
        plain() | {"type": 7},
        plain(actorType="bots"),
        plain(actorId=""),
        plain(messageType="command"),
        plain(systemMessage="call_started"),
        plain(message="  "),
        plain() | {"message": []},
        {"type": "message"},
        {"type": "message", "message": {"message": "Hi", "actorId": "ada"}},
    ],
)
def test_what_nobody_wrote_is_skipped(event: dict[str, Any]) -> None:
    assert read(event) == ()


@pytest.mark.parametrize(
    ("timestamp", "sent_ms"),
    [(1_700_000_000_001, 1_700_000_000_001), ("1700000000", 1_700_000_000_000), ("soon", NOW_MS), (None, NOW_MS), (True, NOW_MS), (-5, NOW_MS)],
)
def test_time_is_seconds_or_milliseconds_or_now(timestamp: object, sent_ms: int) -> None:
    assert [found.sent_ms for found in read(plain(timestamp=timestamp))] == [sent_ms]


def test_type_is_read_in_any_case_and_may_be_missing() -> None:
    assert len(read(plain() | {"type": "MESSAGE"})) == 1
    event = plain()
    del event["type"]
    assert len(read(event)) == 1


def test_allowlist_is_exact_or_a_star_and_empty_denies_all() -> None:
    assert [len(read(plain(), *allowed)) for allowed in (("ada",), ("*",), ("bob",), ("Ada",))] == [1, 1, 0, 0]
    assert channel(allowed_users=()).read(msgspec.json.encode(plain()), NOW_MS) == ()


def test_strangers_pairing_command_is_read_and_nothing_else_of_theirs() -> None:
    assert [found.text for found in read(activity("/bind ABCD-2345"), "bob")] == ["/bind ABCD-2345"]
    assert read(activity("bind ABCD-2345"), "bob") == ()


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "id", "token", "message", "actorId", "actorType", "content", "name", "timestamp"]), inner, max_size=5
        )
    ),
    max_leaves=20,
)


@given(actor=JSON, note=JSON, target=JSON, message=JSON)
def test_any_json_is_read_without_an_error(actor: object, note: object, target: object, message: object) -> None:
    for payload in ({"type": "Create", "actor": actor, "object": note, "target": target}, {"object": target, "message": message}):
        for found in nextcloud_talk_wire.messages(payload, ("*",), NOW_MS):
            assert found.sender
            assert found.text.strip()


def test_truncated_body_is_a_bad_request() -> None:
    whole = msgspec.json.encode(activity())
    for length in range(len(whole)):
        with pytest.raises(BadRequest, match=r"^Invalid JSON payload$"):
            channel().read(whole[:length], NOW_MS)


def test_base_url_must_be_one_and_there_is_no_subscription_check() -> None:
    with pytest.raises(Invalid, match=r"^channels_config\.nextcloud_talk\.base_url: "):
        channel(base_url="cloud")
    with pytest.raises(NotFound):
        channel().handshake({})


# --- replying --------------------------------------------------------------------------------------------------------------------------


class TestReplies(TestCase):
    def setUp(self) -> None:
        self.platform = Platform()
        self.channel = channel(self.platform.agent, ManualClock())

    def send(self, target: str, text: str = "Hi ü", key: str = "key") -> str:
        sent = self.channel.send(target, text, key)
        self.platform.agent.flush()
        return self.successResultOf(sent)

    def test_bots_reply_is_signed_over_random_and_text_alone(self) -> None:
        self.platform.answer(201)
        self.platform.answer(201)
        assert [self.send("bot:n3xt", key=key) for key in ("a", "b")] == ["", ""]
        first, second = self.platform.calls
        assert first.uri == "/nc/ocs/v2.php/apps/spreed/api/v1/bot/n3xt/message?format=json"
        assert (first.body, first.authorization, first.headers["ocs-apirequest"]) == ({"message": "Hi ü"}, "", "true")
        random = first.headers["x-nextcloud-talk-bot-random"]
        expected = hmac.new(SECRET, (random + "Hi ü").encode(), hashlib.sha256).hexdigest()
        assert (first.headers["x-nextcloud-talk-bot-signature"], len(random)) == (expected, 64)
        assert random != second.headers["x-nextcloud-talk-bot-random"]

    def test_older_reply_goes_into_the_chat_with_the_app_token(self) -> None:
        self.platform.answer(201, b'{"ocs":{"data":{"id":99}}}')
        assert self.send("room1") == "99"
        (call,) = self.platform.calls
        assert (call.uri, call.authorization) == ("/nc/ocs/v2.php/apps/spreed/api/v1/chat/room1?format=json", "Bearer app-token")
        assert (call.headers["ocs-apirequest"], call.headers["accept"]) == ("true", "application/json")
        assert "x-nextcloud-talk-bot-random" not in call.headers

    def test_hostile_room_stays_one_path_segment(self) -> None:
        for target in ("../../admin", "bot:a/b", "x?y=1#z", "a b\r\nHost: evil"):
            self.platform.answer(201)
            self.send(target)
        for call in self.platform.calls:
            assert call.uri.split("?")[0].count("/") == (10 if "/bot/" in call.uri else 9)
            assert call.host == "cloud.example"

    def test_room_that_would_climb_is_refused_unsent(self) -> None:
        for target in ("", ".", "bot:", "bot:.."):
            self.failureResultOf(self.channel.send(target, "Hi", "key"), SendRefused)
        assert self.platform.calls == []

    def test_bot_without_its_secret_sends_nothing(self) -> None:
        own = channel(self.platform.agent, webhook_secret=None)
        self.failureResultOf(own.send("bot:room", "Hi", "key"), SendRefused)
        assert self.platform.calls == []

    def test_answers_map_to_what_they_prove(self) -> None:
        for status, kind in ((401, SendRefused), (413, SendRefused), (500, SendUncertain)):
            self.platform.answer(status)
            sent = self.channel.send("room", "Hi", "key")
            self.platform.agent.flush()
            self.failureResultOf(sent, kind)

    def test_long_reply_is_split_at_32000_characters(self) -> None:
        assert [len(part) for part in self.channel.split("x" * 70_000)] == [32_000, 32_000, 6_000]
