"""The names under which channels' conversations and texts are kept. Source: rantaiclaw.md §7, zeroclaw.md A3."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.messages import conversation_key, memory_key


def test_plain_target_stands_as_it_is() -> None:
    assert conversation_key("whatsapp", "+491701234567") == "whatsapp:+491701234567"


def test_percent_and_colon_are_escaped() -> None:
    assert conversation_key("linq", "a:b%3A") == "linq:a%3Ab%253A"


@given(
    first=st.tuples(st.sampled_from(["a", "b"]), st.text("%:3A25x", max_size=8)), second=st.tuples(st.sampled_from(["a", "b"]), st.text("%:3A25x"))
)
def test_two_chats_never_share_a_key(first: tuple[str, str], second: tuple[str, str]) -> None:
    assert (conversation_key(*first) == conversation_key(*second)) == (first == second)


def test_memory_key_names_channel_sender_and_id() -> None:
    assert memory_key("whatsapp", "+123", "wamid.A") == "whatsapp_+123_wamid.A"
