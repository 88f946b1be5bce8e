"""`[subscriptions.NAME]`: what is read, what is refused, and what `clawgate check` says."""

from __future__ import annotations

from typing import Any

import pytest

from clawgate.domain.errors import InvalidSettings
from clawgate.domain.settings import Settings
from clawgate.domain.settings.changes import Changes, changes
from clawgate.domain.settings.findings import Facts, Severity, findings
from clawgate.domain.settings.masking import masked
from clawgate.domain.settings.parse import build, clear_text_secrets
from clawgate.domain.settings.subscriptions import is_near, wishes
from clawgate.domain.subscriptions import OUTCOMES, Wish

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_plJ3nmyCDGBKInavdOK15jsl"
GOOD: dict[str, object] = {"url": "https://ops.example/in?x=1", "secret": SECRET}


def read(said: dict[str, object] | None = None, **options: Any) -> Settings:  # Any: options of `build`
    own = GOOD if said is None else said
    given: dict[str, Any] = {"environ": {}, "dotenv": {}, "config_path": "", "state_dir": ""} | options  # Any: as above
    return build({"subscriptions": {"ops": own}}, **given)


def found(**said: object) -> dict[str, tuple[Severity, str]]:
    return {one.id: (one.severity, one.path) for one in findings(read(GOOD | said), Facts()) if one.path.startswith("subscriptions.")}


def test_defaults_are_those_of_a_careful_operator() -> None:
    own = read().subscriptions["ops"]
    assert (own.events, own.enabled, own.include_answer, own.timeout_secs, own.allow_private, own.max_queued) == (
        ("message_*",),
        True,
        False,
        20,
        False,
        10_000,
    )


@pytest.mark.parametrize("secret", [SECRET, "env:OPS", ["env:OPS"]])
def test_one_secret_is_a_text_or_a_list_and_may_stand_elsewhere(secret: object) -> None:
    own = read(GOOD | {"secret": secret}, environ={"OPS": SECRET}).subscriptions["ops"]
    assert [one.reveal() for one in own.secret] == [SECRET]


@pytest.mark.parametrize("place", ["env:PLACE", "https://ops.example/in/key"])
def test_the_url_is_a_secret_and_may_stand_elsewhere(place: str) -> None:
    settings = read(GOOD | {"url": place}, environ={"PLACE": "https://ops.example/in/key"})
    assert settings.subscriptions["ops"].url.reveal() == "https://ops.example/in/key"
    assert masked(settings)["subscriptions"]["ops"]["url"] == ""  # type: ignore[index]  # JSON values


def test_several_secrets_are_a_list() -> None:
    own = read(GOOD | {"secret": [SECRET, "file:/old"]}, resolve=lambda path, text: OTHER).subscriptions["ops"]
    assert [one.reveal() for one in own.secret] == [SECRET, OTHER]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"url": "https://ops.example"}, r"subscriptions\.ops\.secret: is missing"),
        ({"secret": SECRET}, r"subscriptions\.ops\.url: is missing"),
        (GOOD | {"secret": "env:NOWHERE"}, r"subscriptions\.ops\.secret: the variable"),
        (GOOD | {"secret": 5}, r"subscriptions\.ops\.secret: is a number and must be a list of secrets"),
        (GOOD | {"url": "ops.example"}, r"subscriptions\.ops\.url: is not an http or https URL"),
        (GOOD | {"url": "https://u:p@ops.example"}, r"subscriptions\.ops\.url: has a user"),
        (GOOD | {"url": "https://ops.example/#x"}, r"subscriptions\.ops\.url: has a user"),
        (GOOD | {"timeout_secs": 31}, r"subscriptions\.ops\.timeout_secs: is 31"),
        (GOOD | {"timeout_secs": 0}, r"subscriptions\.ops\.timeout_secs: is 0"),
        (GOOD | {"max_queued": 0}, r"subscriptions\.ops\.max_queued: is 0"),
    ],
)
def test_what_cannot_work_is_refused(said: dict[str, object], why: str) -> None:
    with pytest.raises(InvalidSettings, match=why):
        read(said)


def test_more_than_32_are_refused() -> None:
    with pytest.raises(InvalidSettings, match="subscriptions: has more than 32"):
        build({"subscriptions": {f"s{number}": GOOD for number in range(33)}}, environ={}, dotenv={}, config_path="", state_dir="")


def test_what_is_asked_for_follows_from_it() -> None:
    settings = build(
        {"subscriptions": {"a": GOOD, "b": GOOD | {"enabled": False, "include_answer": True, "max_queued": 7}}},
        environ={},
        dotenv={},
        config_path="",
        state_dir="",
    )
    assert wishes(settings.subscriptions) == {"a": Wish(frozenset(OUTCOMES), False, 10_000), "b": Wish(frozenset(), True, 7)}


def test_every_key_is_taken_up_while_running() -> None:
    assert changes(build({}, environ={}, dotenv={}, config_path="", state_dir=""), read()) == Changes(live=("subscriptions.ops",))
    assert changes(read(), read(GOOD | {"secret": OTHER, "events": ["*"]})) == Changes(live=("subscriptions.ops.secret", "subscriptions.ops.events"))


@pytest.mark.parametrize(("secret", "is_clear"), [(SECRET, True), ([SECRET], True), ("env:OPS", False), (["enc2:00"], False)])
def test_secrets_in_clear_text_are_found(secret: object, is_clear: bool) -> None:
    assert clear_text_secrets({"subscriptions": {"ops": {"secret": secret}}}) == (("subscriptions.ops.secret",) if is_clear else ())


@pytest.mark.parametrize("secret", ["", [], "hunter2", [SECRET, "hunter2"]])
def test_a_secret_that_cannot_sign_is_found_and_not_repeated(secret: object) -> None:
    said = [one for one in findings(read(GOOD | {"secret": secret}), Facts()) if one.id == "CG084"]
    assert [(one.severity, one.path) for one in said] == [(Severity.ERROR, "subscriptions.ops.secret")]
    assert "hunter2" not in said[0].text


def test_a_good_one_has_no_findings() -> None:
    assert found() == {}


def test_findings_name_what_would_not_get_through_or_be_read_on_the_way() -> None:
    assert found(url="http://ops.example/")["CG080"] == (Severity.ERROR, "subscriptions.ops.url")
    assert found(url="https://10.0.0.7/")["CG081"] == (Severity.ERROR, "subscriptions.ops.url")
    assert found(url="http://localhost:8000/", allow_private=True) == {}
    assert found(events=["message_*", "mesage_done"])["CG082"] == (Severity.WARNING, "subscriptions.ops.events")
    assert found(enabled=False)["CG083"] == (Severity.INFO, "subscriptions.ops.enabled")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://ops.example/", False),
        ("http://[::1]/", True),
        ("http://printer.local/", True),
        ("http://8.8.8.8/", False),
        ("http://a.internal./", True),
    ],
)
def test_hosts_that_are_never_outside_are_known(url: str, expected: bool) -> None:
    assert is_near(url) is expected
