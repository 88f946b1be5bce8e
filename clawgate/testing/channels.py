"""A channel without a platform, and what every channel has to keep. Ring: testing; implements `ports.channels`."""

# ruff: noqa: D102 - a test's name is its description
from __future__ import annotations

from collections.abc import Mapping

import msgspec
from twisted.internet.defer import Deferred, fail, succeed

from clawgate.domain import onboarding
from clawgate.domain.errors import BadRequest, Forbidden, NoSecret, NotFound, SendError, Unauthenticated
from clawgate.domain.messages import ChannelMessage
from clawgate.domain.secret import Secret
from clawgate.domain.signing.primitives import from_hex, require_hmac, symmetric_keys
from clawgate.ports.channels import Channel, HeaderLookup, QueryLookup, no_query


class Sent(msgspec.Struct, frozen=True):
    """One part as it was handed over."""

    target: str
    text: str
    idempotency_key: str


class RecordingChannel:
    """Remembers what is sent and fails when told to.

    Its deliveries are JSON arrays of `{"sender", "text", "id"?, "target"?}`, signed with hex HMAC-SHA256 in `X-Recording-Signature`.

    Attributes:
        allowed: whose messages are read; everybody's to begin with.
        sent: every part that was taken, in order.
        failures: errors of the next sends, first one first; an empty list means success.
        waiting: sends that hang while `holds` is on, each to be fired by the test.
    """

    def __init__(self, name: str = "recording", *, secret: str = "secret", retry_safe: bool = False, cap_chars: int = 4096) -> None:
        self.name, self.title, self.retry_safe, self.tolerance_seconds = name, name.title(), retry_safe, 0
        self.allowed: tuple[str, ...] = ("*",)
        self.sent: list[Sent] = []
        self.failures: list[SendError] = []
        self.waiting: list[Deferred[str]] = []
        self.holds, self.stopped = False, False
        self._secrets, self._cap_chars = (Secret(secret),), cap_chars

    def verify(self, header: HeaderLookup, body: bytes, now_seconds: float, query: QueryLookup = no_query) -> str:
        """Checks the signature. Raises Unauthenticated."""
        require_hmac(symmetric_keys(self._secrets), body, [from_hex(header("x-recording-signature") or "")])
        return ""

    def handshake(self, query: Mapping[str, str]) -> str:
        """It has none."""
        raise NotFound(f"{self.title} has no subscription check")

    def read(self, body: bytes, now_ms: int) -> tuple[ChannelMessage, ...]:
        """The messages of the array; entries without sender or text are skipped."""
        try:
            entries = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BadRequest("Invalid JSON payload") from None
        found = [_message(entry, now_ms) for entry in entries] if isinstance(entries, list) else []
        return tuple(message for message in found if message is not None and self._is_heard(message))

    def _is_heard(self, message: ChannelMessage) -> bool:
        return "*" in self.allowed or message.sender in self.allowed or onboarding.parse(message.text) is not None

    def split(self, text: str) -> tuple[str, ...]:
        """Pieces of `cap_chars`, cut anywhere."""
        return tuple(text[at : at + self._cap_chars] for at in range(0, len(text), self._cap_chars))

    def send(self, target: str, text: str, idempotency_key: str) -> Deferred[str]:
        """Fails with the next of `failures`, hangs while `holds` is on, else records; the receipt counts up from "receipt-1"."""
        if self.failures:
            return fail(self.failures.pop(0))
        self.sent.append(Sent(target, text, idempotency_key))
        if self.holds:
            self.waiting.append(Deferred())
            return self.waiting[-1]
        return succeed(f"receipt-{len(self.sent)}")

    def stop(self) -> Deferred[None]:
        """Notes that it was stopped."""
        self.stopped = True
        return succeed(None)


def _message(entry: object, now_ms: int) -> ChannelMessage | None:
    if not isinstance(entry, dict) or not {"sender", "text"} <= entry.keys():
        return None
    target = entry.get("target") or entry["sender"]
    return ChannelMessage(sender=entry["sender"], target=target, text=entry["text"], message_id=entry.get("id"), sent_ms=now_ms)


class ChannelContract:
    """What holds for every channel; a suite inherits it and says how its channel is made and how a delivery is signed."""

    def make_channel(self, *, is_signing: bool = True) -> Channel:
        """A channel; with `is_signing` off, one without a usable signing secret."""
        raise NotImplementedError

    def signed(self, body: bytes, now_seconds: int) -> Mapping[str, str]:
        """The headers, in lower case, of a genuine delivery at `now_seconds`."""
        raise NotImplementedError

    def test_genuine_delivery_is_accepted(self) -> None:
        headers = self.signed(b"{}", 1_700_000_000)
        self.make_channel().verify(headers.get, b"{}", 1_700_000_000.5)

    def test_unsigned_delivery_is_refused(self) -> None:
        assert _refusal(self.make_channel(), {}, b"{}") is not None

    def test_another_body_under_the_same_signature_is_refused(self) -> None:
        assert _refusal(self.make_channel(), self.signed(b"{}", 1_700_000_000), b"{ }") is not None

    def test_without_a_secret_every_delivery_is_refused(self) -> None:
        headers = self.signed(b"{}", 1_700_000_000)
        assert isinstance(_refusal(self.make_channel(is_signing=False), headers, b"{}"), NoSecret)

    def test_body_that_is_no_json_is_a_bad_request(self) -> None:
        problems = [_complaint(self.make_channel(), body) for body in (b"", b"{", b'"\xff"', b"[" * 70_000)]
        assert problems == ["Invalid JSON payload"] * 4

    def test_json_of_another_shape_holds_no_messages(self) -> None:
        for body in (b"{}", b"[]", b"null", b"1", b'"text"', b'{"data":[]}', b'{"entry":{}}'):
            assert self.make_channel().read(body, 0) == ()

    def test_handshake_never_succeeds_without_its_token(self) -> None:
        try:
            self.make_channel().handshake({})
        except (Forbidden, BadRequest, NotFound):
            return
        raise AssertionError("the handshake was answered")

    def test_short_reply_is_one_part_and_a_long_one_several(self) -> None:
        channel = self.make_channel()
        assert channel.split("hello") == ("hello",)
        assert len(channel.split("word " * 8000)) > 1
        assert channel.split("") == ()


def _refusal(channel: Channel, headers: Mapping[str, str], body: bytes) -> Unauthenticated | NoSecret | None:
    try:
        channel.verify(headers.get, body, 1_700_000_000)
    except (Unauthenticated, NoSecret) as problem:
        return problem
    return None


def _complaint(channel: Channel, body: bytes) -> str:
    try:
        channel.read(body, 0)
    except BadRequest as problem:
        return str(problem)
    return ""
