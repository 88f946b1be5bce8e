"""Deliveries that are almost genuine, of every scheme from one table. Source: webhook-signatures.md §1; advisories.md §3.1."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator

import pytest

from clawgate.domain.errors import NoSecret, Unauthenticated
from clawgate.domain.signing.primitives import MAX_SIGNATURES
from clawgate.domain.signing.registry import SCHEMES
from clawgate.domain.signing.scheme import Delivery
from tests.domain.signing_cases import CASES, NOW, Case, changed, without

TOKENS = {"gitlab", "telegram"}
TIMED = {case.scheme for case in CASES.values() if case.is_timed}
LISTS = {case.scheme for case in CASES.values() if case.separator}
BASE64 = {case.scheme for case in CASES.values() if case.encoding == "base64"}
HEX = {case.scheme for case in CASES.values() if case.encoding == "hex"}
RELAXED = {"linq", "nextcloud-talk"}
ODD_STAMPS = ["", "now", "1e9", f"{NOW}.0", f"+{NOW}", "-1", "0", f"0{NOW}", f"{NOW}a", hex(NOW), "\u0661" * 10, "9" * 13, "9" * 5000, "null", "true"]
ODD_IN_HEADERS = [f" {NOW}", f"{NOW} ", f"{NOW}\n", f"{NOW}, {NOW}", f"{NOW},{NOW}"]


def flipped(raw: bytes, bit: int) -> bytes:
    found = bytearray(raw)
    found[bit // 8] ^= 1 << bit % 8
    return bytes(found)


def other_bodies(case: Case) -> Iterator[Delivery]:
    genuine = case.delivery()
    if not case.is_token:
        yield from (changed(genuine, body=flipped(genuine.body, bit)) for bit in range(len(genuine.body) * 8))
        bodies = (b"", genuine.body[:-1], genuine.body[1:], genuine.body + b"\n", b" " + genuine.body, genuine.body + b"\0", genuine.body * 2)
        yield from (changed(genuine, body=body) for body in bodies)


def flipped_signatures(case: Case) -> Iterator[Delivery]:
    if case.is_token:
        return
    raw = case.raw(case.delivery())
    for other in (*(flipped(raw, bit) for bit in range(0, len(raw) * 8, 7)), raw[::-1], bytes(len(raw)), b"\xff" * len(raw)):
        yield case.with_text(case.spelled(other))


def lengths(case: Case) -> Iterator[Delivery]:
    text = case.cut(case.delivery())[1]
    if case.encoding:
        raw = case.raw(case.delivery())
        for other in (b"", raw[:1], raw[:-1], raw[1:], raw + b"\0", raw * 2, raw[:20], raw[:16]):
            if other != raw:
                yield case.with_text(case.spelled(other))
    for other_text in ("", text[:-1], text[1:], text[: len(text) // 2], text * 2, text + "0", text + "00", text + "=", text * 500):
        yield case.with_text(other_text)


def spellings(case: Case) -> Iterator[Delivery]:
    """Other texts of the very same bytes, or of the same token."""
    text = case.cut(case.delivery())[1]
    middle = len(text) // 2
    for blank in (" ", "\t", "\n", "\r\n", "\0", "\u00a0"):
        yield case.with_text(text[:middle] + blank + text[middle:])
    for blank in ("\n", "\r\n", "\0", "\u00a0", "\x0b", "\udcff"):
        yield case.with_text(text + blank)
        yield case.with_text(blank + text)
    for around in ('"{}"', "<{}>", ":{}:", "hex:{}", "sha1={}", "\ufeff{}"):
        yield case.with_text(around.format(text))


def base64_variants(case: Case) -> Iterator[Delivery]:
    if case.encoding != "base64":
        return
    raw = case.raw(case.delivery())
    text = case.spelled(raw)
    bare = text.rstrip("=")
    url_safe = base64.urlsafe_b64encode(raw).decode()
    others = {
        url_safe,
        url_safe.rstrip("="),
        bare,
        bare + "=" * 4,
        text + "==",
        "=" + text,
        raw.hex(),
        base64.b32encode(raw).decode(),
        text.swapcase(),
    }
    if bare != text:  # the last character holds bits that are dropped
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        others.add(bare[:-1] + alphabet[alphabet.index(bare[-1]) ^ 1] + text[len(bare) :])
    assert len(others - {text}) >= 6
    yield from (case.with_text(other) for other in sorted(others - {text}))


def hex_variants(case: Case) -> Iterator[Delivery]:
    if case.encoding != "hex":
        return
    raw = case.raw(case.delivery())
    spaced = [raw.hex(":"), raw.hex(" "), raw.hex("-"), "0x" + raw.hex(), raw.hex() + "h"]
    foreign = [base64.b64encode(raw).decode(), raw.hex()[:-1] + "g", "\u0660" * len(raw.hex()), "".join(f"%{byte:02x}" for byte in raw)]
    yield from (case.with_text(text) for text in spaced + foreign)


def prefixes(case: Case) -> Iterator[Delivery]:
    genuine = case.delivery()
    before, text, after = case.cut(genuine)
    if before:
        others = {before.upper(), before.swapcase(), before.title(), before[:-1], before + before, "x" + before, before + " "}
        if case.scheme not in RELAXED:
            others |= {""}
        yield from (changed(genuine, {case.header: other + text + after}) for other in others - {before})


def missing_headers(case: Case) -> Iterator[Delivery]:
    genuine = case.delivery()
    for name in genuine.headers:
        if name != "content-type":
            yield without(genuine, name)
            yield from (changed(genuine, {name: text}) for text in ("", " ", "\t", ",", "="))


def doubled_headers(case: Case) -> Iterator[Delivery]:
    """A line twice, as they are joined."""
    genuine = case.delivery()
    for name, value in genuine.headers.items():
        if name == case.header and case.separator == " ":
            continue  # of a list of signatures one may be malformed
        if name != "content-type":
            yield changed(genuine, {name: f"{value}, {value}"})
            yield changed(genuine, {name: f"{value},{value}"})
        if name not in ("content-type", "stripe-signature"):  # an empty item of Stripe's is none
            yield changed(genuine, {name: f"{value}, "})
            yield changed(genuine, {name: f", {value}"})


def several_signatures(case: Case) -> Iterator[Delivery]:
    """Wrong ones only, too many with the right one among them, and any list where one signature is due."""
    if not case.encoding:
        return
    text = case.cut(case.delivery())[1]
    wrong = case.spelled(bytes(len(case.raw(case.delivery()))))
    mark = case.cut(case.delivery())[0] if case.separator == " " else ""
    if case.separator:
        yield case.with_text(f"{wrong}{case.separator}{mark}{wrong}")
        yield case.with_text(f"{case.separator}{mark}".join([wrong] * MAX_SIGNATURES + [text]))
    else:
        yield from (case.with_text(between.join(pair)) for between in (",", ", ", " ", ";") for pair in ((wrong, text), (text, wrong), (text, text)))


def stale(case: Case) -> Iterator[Delivery]:
    if case.is_timed:
        yield from (case.delivery(str(NOW + offset)) for offset in (-301, 301, -86_400, 86_400, -NOW + 1, NOW))


def odd_stamps(case: Case) -> Iterator[Delivery]:
    """Signed as they stand: the sender is genuine and its clock is not."""
    if case.is_timed:
        yield from (case.delivery(stamp) for stamp in ODD_STAMPS + (ODD_IN_HEADERS if case.scheme != "linear" else []))


def moved_stamps(case: Case) -> Iterator[Delivery]:
    """The signature of one moment under another one."""
    for offset in (-1, 1, 10):
        if case.is_timed:
            before, _, after = case.cut(case.delivery(str(NOW + offset)))
            yield changed(case.delivery(str(NOW + offset)), {case.header: before + case.cut(case.delivery())[1] + after})


NearMiss = Callable[[Case], Iterator[Delivery]]
# The schemes that each kind exists for; every other one is named by what it lacks.
KINDS: dict[NearMiss, set[str]] = {
    other_bodies: set(SCHEMES) - {"telegram"},
    flipped_signatures: set(SCHEMES) - {"telegram"},
    lengths: set(SCHEMES),
    spellings: set(SCHEMES),
    base64_variants: BASE64,
    hex_variants: HEX,
    prefixes: {case.scheme for case in CASES.values() if not case.pattern.startswith("()")},
    missing_headers: set(SCHEMES),
    doubled_headers: set(SCHEMES),
    several_signatures: set(SCHEMES) - {"telegram"},
    stale: TIMED,
    odd_stamps: TIMED,
    moved_stamps: TIMED,
}
EVERY_CASE = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])


@EVERY_KIND
@EVERY_CASE
def test_what_is_almost_genuine_is_refused(case: Case, kind: NearMiss) -> None:
    case.verify(case.delivery())
    taken = []
    for near_miss in kind(case):
        try:
            taken.append((near_miss, case.verify(near_miss)))
        except Unauthenticated:
            continue
    assert taken == []


@EVERY_KIND
def test_every_scheme_has_near_misses_of_each_kind(kind: NearMiss) -> None:
    assert {case.scheme for case in CASES.values() if next(kind(case), None)} == KINDS[kind]


def test_every_scheme_is_signed_in_one_encoding_or_is_a_token() -> None:
    assert set(SCHEMES) == BASE64 | HEX | TOKENS


@EVERY_CASE
@pytest.mark.parametrize("offset", [-300, -1, 0, 1, 300])
def test_time_at_the_edge_of_the_tolerance_is_taken(case: Case, offset: int) -> None:
    verified = case.verify(case.delivery(str(NOW + offset)))
    assert verified.sent_at == (NOW + offset if case.is_timed else None)


@EVERY_CASE
def test_tolerance_is_what_the_options_say(case: Case) -> None:
    if case.is_timed:
        case.verify(case.delivery(str(NOW - 20)), tolerance_seconds=20)
        with pytest.raises(Unauthenticated, match="tolerance"):
            case.verify(case.delivery(str(NOW - 20)), tolerance_seconds=19)


@EVERY_CASE
@pytest.mark.parametrize("secrets", [("",), (" ",), ("\t\n", "")])
def test_blank_secret_refuses_everything(case: Case, secrets: tuple[str, ...]) -> None:
    with pytest.raises(NoSecret):
        case.verify(case.delivery(), *secrets)
    with pytest.raises(NoSecret):
        SCHEMES[case.scheme].verify(case.delivery(), (), case.options, NOW)


@EVERY_CASE
@pytest.mark.parametrize("secret", ["", " "])
def test_blank_secret_signs_nothing(case: Case, secret: str) -> None:
    forged = case.sign(secret, case.body, str(NOW))
    with pytest.raises(NoSecret):
        case.verify(forged, secret)
    with pytest.raises(Unauthenticated):
        case.verify(forged, secret, case.known(case.secret))


@EVERY_CASE
def test_any_of_several_secrets_may_have_signed_and_a_removed_one_may_not(case: Case) -> None:
    new, old = case.known(case.secret), case.known(case.other)
    assert case.verify(case.delivery(), old, new) == case.verify(case.delivery(), new, old)
    with pytest.raises(Unauthenticated):
        case.verify(case.delivery(), old)


@EVERY_CASE
def test_upper_case_hexadecimal_digits_are_the_same_delivery(case: Case) -> None:
    if case.encoding == "hex":
        upper = case.with_text(case.cut(case.delivery())[1].upper())
        assert upper != case.delivery()
        assert case.verify(upper) == case.verify(case.delivery())


@EVERY_CASE
def test_right_signature_among_wrong_ones_is_the_same_delivery(case: Case) -> None:
    if case.separator:
        before, text, _ = case.cut(case.delivery())
        wrong, mark = case.spelled(bytes(len(case.raw(case.delivery())))), before if case.separator == " " else ""
        for texts in ((wrong, text), (text, wrong), (text, text)):
            assert case.verify(case.with_text(f"{case.separator}{mark}".join(texts))) == case.verify(case.delivery())


@EVERY_CASE
def test_another_body_and_another_time_are_another_delivery(case: Case) -> None:
    first = case.verify(case.delivery())
    other = case.sign(case.secret, case.body.replace(b"hello", b"hallo").replace(b"7", b"8").replace(b"evt_1", b"evt_2"), str(NOW))
    assert case.verify(other).digest != first.digest
    if case.is_timed:
        assert case.verify(case.delivery(str(NOW + 1))).digest != first.digest


@EVERY_CASE
def test_an_error_tells_neither_secret_nor_signature(case: Case) -> None:
    text = case.cut(case.delivery())[1]
    near_miss = case.with_text("x" + text)
    with pytest.raises(Unauthenticated) as caught:
        case.verify(near_miss)
    told = str(caught.value) + caught.value.detail
    assert not re.search(re.escape(text[:12]), told)
    assert case.known(case.secret) not in told
