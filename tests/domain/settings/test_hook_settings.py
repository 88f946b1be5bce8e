"""`[hooks.NAME]`: what is read, what cannot work, and what `clawgate check` says. Source: webhook-signatures.md §1; design §4.3, §4.13."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from clawgate.domain.errors import Invalid, InvalidSettings
from clawgate.domain.secret import Secret
from clawgate.domain.settings import Settings
from clawgate.domain.settings.changes import Changes, changes
from clawgate.domain.settings.findings import Facts, Severity, findings
from clawgate.domain.settings.hooks import options_of, template_of
from clawgate.domain.settings.masking import masked
from clawgate.domain.settings.model import GatewaySettings, HookSettings
from clawgate.domain.settings.parse import build, clear_text_secrets
from clawgate.domain.signing.registry import SCHEMES
from clawgate.domain.signing.scheme import Algorithm, Encoding, KeyType, Options

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
GOOD = {"verify": "github", "secrets": [SECRET], "message": "{action}"}


def read(hook: object, environ: dict[str, str] | None = None, **options: Any) -> Settings:  # Any: as `build` has them
    return build({"hooks": {"ci": hook}}, environ=environ or {}, dotenv={}, config_path="", state_dir="", **options)


def refused(hook: object, **options: Any) -> str:  # Any: as `read`
    with pytest.raises(InvalidSettings) as refusal:
        read(hook, **options)
    return str(refusal.value)


def found(**hook: object) -> dict[str, tuple[Severity, str]]:
    settings = read({**GOOD, **hook})
    return {one.id: (one.severity, one.path) for one in findings(settings, Facts()) if one.path.startswith("hooks.")}


def test_a_hook_needs_no_more_than_scheme_secrets_and_message() -> None:
    hook = read(GOOD).hooks["ci"]
    assert hook == HookSettings(verify="github", secrets=(Secret(SECRET),), message="{action}")
    assert (hook.respond, hook.rate_limit_per_minute, hook.max_body_bytes) == ("async", 60, 65_536)


def test_secrets_come_from_variables_files_and_the_text() -> None:
    hook = {**GOOD, "secrets": ["env:NEW_SECRET", "file:old.txt", " as it is "]}
    built = read(hook, {"NEW_SECRET": "from the environment"}, resolve=lambda path, text: f"from {text} for {path}")
    assert [secret.reveal() for secret in built.hooks["ci"].secrets] == ["from the environment", "from file:old.txt for hooks.ci.secrets", "as it is"]


def test_a_secret_that_cannot_be_read_is_named() -> None:
    def unreadable(path: str, text: str) -> str:
        raise Invalid(path, "the file /x does not exist or is empty", "Write the secret into it")

    assert 'hooks.ci.secrets: the variable "GONE" is not set or blank' in refused({**GOOD, "secrets": ["env:GONE"]})
    assert "hooks.ci.secrets: the file /x does not exist" in refused({**GOOD, "secrets": ["file:/x"]}, resolve=unreadable)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"verify": "gihtub"}, 'hooks.ci.verify: no scheme of signatures is called "gihtub"'),
        ({"respond": "later"}, 'hooks.ci.respond: is "later"'),
        ({"max_body_bytes": 1024 * 1024 + 1}, "hooks.ci.max_body_bytes: is 1048577"),
        ({"max_body_bytes": 0}, "hooks.ci.max_body_bytes: is 0"),
        ({"rate_limit_per_minute": -1}, "hooks.ci.rate_limit_per_minute: is -1"),
        ({"tolerance_secs": 86_401}, "hooks.ci.tolerance_secs: is 86401"),
        ({"url": "example.com/hook"}, "hooks.ci.url: is not an http or https URL"),
        ({"fields": {"repo": "repository/name"}}, "hooks.ci.fields.repo: is no JSON pointer"),
        ({"fields": {"repo": 3}}, "hooks.ci.fields: is a table and must be a table of texts"),
        ({"fields": "/a"}, 'Write a table of quoted texts, such as fields = { NAME = "…" }'),
        ({"header": "x signature"}, "hooks.ci.header: is no name of a header"),
        ({"encoding": "text"}, 'hooks.ci.encoding: is "text"'),
        ({"algorithm": "md5"}, 'hooks.ci.algorithm: is "md5"'),
        ({"key_type": "rsa"}, 'hooks.ci.key_type: is "rsa"'),
    ],
)
def test_what_cannot_work_is_named_with_its_remedy(changed: dict[str, object], says: str) -> None:
    assert says in refused({**GOOD, **changed})


def test_every_scheme_is_named_where_one_is_unknown() -> None:
    assert ", ".join(SCHEMES) in refused({**GOOD, "verify": "x"})


@pytest.mark.parametrize("written", [SECRET, [SECRET, 3], {"a": SECRET}], ids=["text", "mixed", "table"])
def test_secrets_that_are_no_list_are_refused_and_not_shown(written: object) -> None:
    text = refused({**GOOD, "secrets": written})
    assert "must be a list of secrets" in text
    assert SECRET not in text


def test_a_hook_without_a_scheme_or_with_a_bad_name_is_refused() -> None:
    assert "hooks.ci.verify: is missing" in refused({"secrets": [SECRET]})
    with pytest.raises(InvalidSettings, match=r"hooks\.a/b: is no name"):
        build({"hooks": {"a/b": GOOD}}, environ={}, dotenv={}, config_path="", state_dir="")


@pytest.mark.parametrize(
    ("hooks", "unknown", "read"),
    [
        ({"enabled": True, "builtin": {"command_logger": False}}, ("hooks.enabled", "hooks.builtin"), []),
        ([{"id": 1}], ("hooks",), []),
        ("on", ("hooks",), []),
        ({"enabled": True, "ci": GOOD}, ("hooks.enabled",), ["ci"]),
    ],
    ids=["switches", "list", "text", "beside ours"],
)
def test_what_other_projects_mean_by_hooks_is_kept_and_not_read(hooks: object, unknown: tuple[str, ...], read: list[str]) -> None:
    settings = build({"hooks": hooks}, environ={}, dotenv={}, config_path="", state_dir="")
    assert (settings.unknown, list(settings.hooks)) == (unknown, read)


def test_no_secret_of_a_hook_is_shown() -> None:
    settings = read({**GOOD, "verify_token": "chosen at the platform"})
    shown = str(masked(settings))
    assert SECRET not in shown + repr(settings)
    assert "chosen" not in shown + repr(settings)


def test_every_key_of_a_hook_is_live() -> None:
    old, new = read(GOOD), read({**GOOD, "secrets": ["another"], "url": "https://x.example"})
    assert changes(old, new) == Changes(live=("hooks.ci.secrets", "hooks.ci.url"))
    assert changes(msgspec.structs.replace(old, hooks={}), old) == Changes(live=("hooks.ci",))


def test_options_and_templates_are_what_the_hook_says() -> None:
    hook = HookSettings(verify="stripe", message="m", conversation="c", fields={"a": "/a"})
    assert options_of(hook).tolerance_seconds == SCHEMES["stripe"].tolerance_seconds == 300
    said = {"header": "X-Sig", "encoding": "base64", "algorithm": "SHA512", "key_encoding": "hex", "key_type": "ed25519", "tolerance_secs": 60}
    options = options_of(read({**GOOD, "verify": "hmac", **said}).hooks["ci"])
    expected = Options(
        tolerance_seconds=60,
        header="x-sig",
        encoding=Encoding.BASE64,
        algorithm=Algorithm.SHA512,
        key_encoding=Encoding.HEX,
        key_type=KeyType.ED25519,
    )
    assert options == expected
    assert (template_of(hook).message, template_of(hook).conversation, template_of(hook).fields) == ("m", "c", {"a": "/a"})


def test_the_defaults_are_those_of_the_verifiers() -> None:
    hook = HookSettings(verify="hmac")
    assert options_of(hook) == Options(tolerance_seconds=SCHEMES["hmac"].tolerance_seconds)


# --- clawgate check ------------------------------------------------------------------------------------------------------------------------


def test_a_good_hook_has_nothing_to_say() -> None:
    assert found() == {}


@pytest.mark.parametrize("secrets", [[], [""], ["  "]])
def test_check_names_a_hook_without_a_usable_secret(secrets: list[str]) -> None:
    assert found(secrets=secrets)["CG070"] == (Severity.ERROR, "hooks.ci.secrets")


def test_check_names_a_hook_that_asks_nothing() -> None:
    assert found(message=" ")["CG071"] == (Severity.ERROR, "hooks.ci.message")
    assert found(message="", fields={"a": "/a"}) == {}


def test_check_names_a_hook_without_a_limit_and_one_whose_url_is_signed() -> None:
    assert found(rate_limit_per_minute=0)["CG072"] == (Severity.WARNING, "hooks.ci.rate_limit_per_minute")
    assert found(verify="twilio")["CG073"] == (Severity.INFO, "hooks.ci.url")
    assert found(verify="twilio", url="https://x.example/hooks/ci") == {}


def test_check_names_weak_and_short_secrets_of_hooks() -> None:
    assert found(secrets=[SECRET, "changeme"])["CG020"] == (Severity.ERROR, "hooks.ci.secrets")
    assert found(secrets=["short one"])["CG020"] == (Severity.WARNING, "hooks.ci.secrets")


def test_check_names_secrets_of_hooks_in_clear_text() -> None:
    document: dict[str, object] = {"hooks": {"a": {"secrets": ["file:x", "env:Y", "enc2:00"]}, "b": {"secrets": ["file:x", SECRET]}, "c": 3}}
    assert clear_text_secrets(document) == ("hooks.b.secrets",)
    assert clear_text_secrets({"hooks": "x"}) == ()


def test_hooks_leave_the_rest_as_it_is() -> None:
    assert read(GOOD).gateway == GatewaySettings()
