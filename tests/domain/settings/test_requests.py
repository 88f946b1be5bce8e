"""What callers ask of the configuration, as edits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.errors import BadRequest, NotFound
from clawgate.domain.overlay import Change, at
from clawgate.domain.secret import Secret
from clawgate.domain.settings import Settings
from clawgate.domain.settings.edits import KEEP, Edit, Target, kept
from clawgate.domain.settings.requests import agent_edit, channels_edit, mcp_edit, model_edit, secrets_edit, table_value
from clawgate.domain.settings.schema import Kind, tables

LINQ = next(table for table in tables() if table.path == "channels_config.linq")
MCP = next(table for table in tables() if table.path == "mcp_servers.*")
texts = st.text(max_size=5)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts, lambda below: st.lists(below, max_size=2) | st.dictionaries(texts, below, max_size=2)
)
given_tables = st.dictionaries(st.sampled_from([key.name for key in (*LINQ.keys, *MCP.keys)]) | texts, values, max_size=5)


@given(given_tables)
def test_only_known_keys_come_through_and_no_secret_as_plain_text(given_: dict[str, object]) -> None:
    for spec in (LINQ, MCP):
        found = table_value(spec, given_)
        kinds = {key.name: key.kind for key in spec.keys}
        assert set(found) <= set(kinds)
        assert None not in found.values()
        assert not any(isinstance(value, str) for name, value in found.items() if kinds[name] is Kind.SECRET)
        for name, value in found.items():
            if kinds[name] is Kind.SECRETS and isinstance(value, dict):
                assert not any(isinstance(entry, str) for entry in value.values())


def test_secrets_left_out_or_empty_are_kept_and_null_clears() -> None:
    found = table_value(LINQ, {"api_token": "", "signing_secret": None, "from_phone": "+1", "nonsense": 1})
    assert found == {"api_token": KEEP, "from_phone": "+1"}
    assert table_value(LINQ, {"api_token": "t"}) == {"api_token": Secret("t"), "signing_secret": KEEP}


@given(st.dictionaries(texts, st.just(KEEP) | texts, max_size=4), st.dictionaries(texts, texts, max_size=4))
def test_what_is_kept_is_what_stood_there(wanted: dict[str, object], before: dict[str, object]) -> None:
    change = kept({"t": before}, Change(("t",), wanted))
    expected = {name: before.get(name) if value is KEEP else value for name, value in wanted.items()}
    assert change.value == {name: value for name, value in expected.items() if value is not None}


def test_nothing_is_kept_of_what_is_removed() -> None:
    assert kept({"t": {"a": 1}}, Change(("t",))) == Change(("t",))
    assert at({"t": {"a": 1}}, ("t", "a")) == 1


def test_what_is_not_there_cannot_be_removed() -> None:
    for make in (lambda: channels_edit(Settings(), {"linq": None}, ("linq",)), lambda: mcp_edit(Settings(), {"x": None})):
        with pytest.raises(NotFound):
            make()


def test_the_same_provider_keeps_its_key() -> None:
    settings = Settings(default_provider="moonshot", api_key=Secret("moonshot-key"))
    assert model_edit(settings, Target.OVERLAY, " Kimi ", "m", 0.0) == Edit(
        target=Target.OVERLAY, changes=(Change(("default_provider",), "Kimi"), Change(("default_model",), "m"), Change(("default_temperature",), 0.0))
    )


def test_another_provider_loses_key_and_url() -> None:
    settings = Settings(default_provider="openai", api_key=Secret("openai-key"), api_url="https://host")
    edit = model_edit(settings, Target.FILE, "gemini", None, None)
    assert edit.besides == (Change(("api_key",)), Change(("provider_api_keys", "openai"), Secret("openai-key")), Change(("api_url",)))


@given(texts | st.sampled_from(["sk-1", "https://h", " ", "hf_x"]))
def test_a_url_is_set_cleared_or_refused(url: str) -> None:
    try:
        (change,) = secrets_edit(None, url).changes
    except BadRequest:
        return
    assert change.value is None or str(change.value).lower().startswith(("http://", "https://"))


def test_too_many_or_too_large_files_are_refused() -> None:
    for files in ({f"{number}.md": "x" for number in range(33)}, {"x.md": "x" * 65_537}, {"x.md": "\ud800"}):
        with pytest.raises(BadRequest):
            agent_edit(None, files)
