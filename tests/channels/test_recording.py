"""The fake channel keeps the contract of the real ones."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from clawgate.domain.errors import SendUnavailable
from clawgate.ports.channels import Channel
from clawgate.testing.case import TestCase
from clawgate.testing.channels import ChannelContract, RecordingChannel, Sent


class TestContract(ChannelContract):
    def make_channel(self, *, is_signing: bool = True) -> Channel:
        return RecordingChannel(secret="secret" if is_signing else " ")

    def signed(self, body: bytes, now_seconds: int) -> Mapping[str, str]:
        return {"x-recording-signature": hmac.new(b"secret", body, hashlib.sha256).hexdigest()}


class TestRecording(TestCase):
    def test_messages_are_read_and_sends_are_recorded(self) -> None:
        channel = RecordingChannel()
        (message,) = channel.read(b'[{"sender":"+1","text":"Hi","id":"a"},{"text":"no sender"},3]', 5)
        assert (message.sender, message.target, message.text, message.message_id, message.sent_ms) == ("+1", "+1", "Hi", "a", 5)
        assert self.successResultOf(channel.send("+1", "Hello", "k")) == "receipt-1"
        assert channel.sent == [Sent("+1", "Hello", "k")]

    def test_told_failure_comes_once_and_nothing_was_sent(self) -> None:
        channel = RecordingChannel()
        channel.failures.append(SendUnavailable("down"))
        self.failureResultOf(channel.send("+1", "Hello", "k"), SendUnavailable)
        assert channel.sent == []
        assert self.successResultOf(channel.send("+1", "Hello", "k")) == "receipt-1"

    def test_held_send_waits_for_the_test(self) -> None:
        channel = RecordingChannel()
        channel.holds = True
        sent = channel.send("+1", "Hello", "k")
        self.assertNoResult(sent)
        channel.waiting[0].callback("late")
        assert self.successResultOf(sent) == "late"
