"""Whose limit a request counts against, and what nobody can forge (design §4.7–4.9; zeroclaw.md A1.6; construct-realtime.md §0.4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.caller import ALL_SCOPES, Caller, Scope, bucket, client_key, is_loopback, parse_address, parse_networks

LOOPBACK = parse_networks(("127.0.0.0/8", "::1"))
PROXIES = parse_networks(("127.0.0.0/8", "::1", "10.0.0.0/8", "2001:db8:ffff::/48"))
TABLE = [
    # peer, X-Forwarded-For, X-Real-IP, trusted, key
    ("203.0.113.5", None, None, (), "203.0.113.5"),
    ("203.0.113.5", "198.51.100.9", "198.51.100.8", (), "203.0.113.5"),
    ("203.0.113.5", "198.51.100.9", None, LOOPBACK, "203.0.113.5"),
    ("127.0.0.1", "198.51.100.9", None, (), "127.0.0.1"),
    ("127.0.0.1", "198.51.100.9", None, LOOPBACK, "198.51.100.9"),
    ("::1", "198.51.100.9", None, LOOPBACK, "198.51.100.9"),
    ("::ffff:127.0.0.1", "198.51.100.9", None, LOOPBACK, "198.51.100.9"),
    ("127.0.0.1", "6.6.6.6, 198.51.100.9", None, LOOPBACK, "198.51.100.9"),
    ("127.0.0.1", "6.6.6.6, 198.51.100.9, 10.0.0.2", None, PROXIES, "198.51.100.9"),
    ("127.0.0.1", "6.6.6.6, 198.51.100.9, 10.0.0.2", None, LOOPBACK, "10.0.0.2"),
    ("127.0.0.1", "10.0.0.3, 10.0.0.2", "198.51.100.8", PROXIES, "198.51.100.8"),
    ("127.0.0.1", "10.0.0.3", None, PROXIES, "127.0.0.1"),
    ("127.0.0.1", "garbage", None, LOOPBACK, "127.0.0.1"),
    ("127.0.0.1", "garbage, 203.0.113.9", None, LOOPBACK, "203.0.113.9"),
    ("127.0.0.1", "6.6.6.6, unknown", None, LOOPBACK, "127.0.0.1"),
    ("127.0.0.1", "6.6.6.6, unknown, 10.0.0.2", None, PROXIES, "127.0.0.1"),
    ("127.0.0.1", "198.51.100.9, ,", None, LOOPBACK, "198.51.100.9"),
    ("127.0.0.1", "garbage", "203.0.113.9", LOOPBACK, "203.0.113.9"),
    ("127.0.0.1", None, "203.0.113.9", LOOPBACK, "203.0.113.9"),
    ("127.0.0.1", "", "nonsense", LOOPBACK, "127.0.0.1"),
    ("127.0.0.1", '"203.0.113.9"', None, LOOPBACK, "203.0.113.9"),
    ("127.0.0.1", "203.0.113.9:4711", None, LOOPBACK, "203.0.113.9"),
    ("127.0.0.1", "203.0.113.9:http", None, LOOPBACK, "127.0.0.1"),
    ("127.0.0.1", "[2001:db8::7]:4711", None, LOOPBACK, "2001:db8::/64"),
    ("127.0.0.1", "[2001:db8::7]", None, LOOPBACK, "2001:db8::/64"),
    ("127.0.0.1", "[2001:db8::7]junk", None, LOOPBACK, "127.0.0.1"),
    ("127.0.0.1", "2001:db8:0:1::7", None, LOOPBACK, "2001:db8:0:1::/64"),
    ("127.0.0.1", "::ffff:203.0.113.9", None, LOOPBACK, "203.0.113.9"),
    ("2001:db8::1", None, None, (), "2001:db8::/64"),
    ("2001:db8:0:0:ffff::1", None, None, (), "2001:db8::/64"),
    ("2001:db8:ffff::1", "203.0.113.9", None, PROXIES, "203.0.113.9"),
    ("fe80::1%eth0", None, None, (), "fe80::/64"),
    ("::1", None, None, LOOPBACK, "::1"),
    ("", None, None, LOOPBACK, "unknown"),
    ("", "203.0.113.9", None, LOOPBACK, "unknown"),
    ("/run/clawgate.sock", "203.0.113.9", None, LOOPBACK, "unknown"),
]


@pytest.mark.parametrize(("peer", "forwarded", "real", "trusted", "key"), TABLE)
def test_client_key(peer: str, forwarded: str | None, real: str | None, trusted: tuple, key: str) -> None:  # type: ignore[type-arg] # networks
    assert client_key(peer, forwarded, real, trusted=trusted) == key


@given(st.text(max_size=60), st.text(max_size=60))
def test_an_untrusted_peer_cannot_choose_its_key(forwarded: str, real: str) -> None:
    assert client_key("203.0.113.5", forwarded, real, trusted=LOOPBACK) == "203.0.113.5"


@given(st.text(max_size=60))
def test_what_stands_left_of_the_proxys_word_is_ignored(forged: str) -> None:
    assert client_key("127.0.0.1", f"{forged}, 203.0.113.9", None, trusted=LOOPBACK) == "203.0.113.9"


@given(st.text(max_size=60))
def test_any_candidate_is_an_address_or_none(text: str) -> None:
    address = parse_address(text)
    assert address is None or parse_address(str(address)) == address


@pytest.mark.parametrize("length", range(1, 9))
def test_a_truncated_address_is_not_read_as_another_family(length: int) -> None:
    assert parse_address("[2001:db8::7]:4711"[:length]) is None


def test_hosts_of_one_64_share_a_bucket_and_others_do_not() -> None:
    keys = [bucket(parse_address(text)) for text in ("2001:db8::1", "2001:db8::ffff:ffff", "2001:db8:0:1::1")]
    assert keys == ["2001:db8::/64", "2001:db8::/64", "2001:db8:0:1::/64"]


@pytest.mark.parametrize(
    ("peer", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("localhost", False),
        ("", False),
    ],
)
def test_loopback_is_judged_by_address(peer: str, loopback: bool) -> None:
    assert is_loopback(peer) is loopback


def test_a_bad_network_is_refused() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        parse_networks(("10.0.0.0/8", "nonsense"))


def test_admin_does_not_imply_the_other_scopes() -> None:
    caller = Caller("device", frozenset({Scope.ADMIN}), "203.0.113.5")
    assert (caller.may(Scope.ADMIN), caller.may(Scope.CHAT), caller.sees_everything) == (True, False, True)


def test_a_full_credential_lists_every_scope() -> None:
    assert sorted(ALL_SCOPES) == ["admin", "approve", "chat", "read", "terminal", "write"]
    assert not Caller("d", ALL_SCOPES - {Scope.ADMIN}, "x").sees_everything
