"""Addresses that strangers' URLs may not lead to."""

from __future__ import annotations

import pytest

from clawgate.domain.egress import is_far

NEAR = [
    "127.0.0.1",
    "127.8.9.1",
    "0.0.0.0",
    "10.0.0.7",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "fec0::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:a9fe:a9fe",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a00:1::",
    "::127.0.0.1",
    "192.0.0.192",
    "::ffff:192.0.0.192",
    "64:ff9b::c000:c0",
    "168.63.129.16",
    "192.88.99.1",
    "64:ff9b:1::808:808",
    "64:ff9b:1:a00:0:100:808:808",
    "3fff::1",
    "5f00::1",
    "localhost",
    "1",
    "0x7f.1",
    "127.1",
]
FAR = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700::1111", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", NEAR)
def test_what_is_not_on_the_public_internet_is_near(address: str) -> None:
    assert not is_far(address)


@pytest.mark.parametrize("address", FAR)
def test_what_is_on_it_is_far(address: str) -> None:
    assert is_far(address)
