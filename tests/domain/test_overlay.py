"""The overlay over config.toml: entries, tombstones, and what a later edit of the file does to them (design §4.11)."""

from __future__ import annotations

import pytest
import tomli
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain import overlay
from clawgate.domain.errors import Invalid
from clawgate.domain.overlay import TABLE, Change, Path, at, changed, effective, merged, path_of, pruned, text_of, without

MODEL, LINQ = ("default_model",), ("channels_config", "linq")
BASE: dict[str, object] = {"default_model": "a", "gateway": {"port": 1}, "channels_config": {"linq": {"from_phone": "+1", "api_token": "t"}}}

names = st.text('ab."\\ ä\n', min_size=1, max_size=4)
paths = st.lists(names, min_size=1, max_size=3).map(tuple)
leaves = st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3) | st.lists(st.integers(0, 3), max_size=2)
values = leaves.filter(lambda value: value is not None) | st.dictionaries(names, st.integers(0, 3), min_size=1, max_size=2)
documents = st.recursive(
    st.dictionaries(names, leaves.filter(lambda value: value is not None), max_size=3),
    lambda below: st.dictionaries(names, below | st.integers(0, 3), max_size=3),
    max_leaves=6,
)


def test_an_entry_stands_above_the_file() -> None:
    assert effective(BASE, changed(BASE, {}, [Change(MODEL, "b")])) == BASE | {"default_model": "b"}


def test_a_tombstone_removes_what_the_file_says() -> None:
    over = changed(BASE, {}, [Change(LINQ)])
    assert over[TABLE] == {"removed": ["channels_config.linq"], "seen": {"channels_config.linq": overlay.fingerprint(BASE, LINQ)}}
    assert at(effective(BASE, over), LINQ) is None


def test_an_entry_that_is_a_table_replaces_the_files_whole() -> None:
    over = changed(BASE, {}, [Change(LINQ, {"from_phone": "+2"})])
    assert at(effective(BASE, over), LINQ) == {"from_phone": "+2"}


def test_what_was_written_by_hand_is_merged_and_stays() -> None:
    over = {"channels_config": {"linq": {"from_phone": "+2"}}}
    assert at(effective(BASE, over), LINQ) == {"from_phone": "+2", "api_token": "t"}
    assert pruned(BASE | {"channels_config": {}}, over) == over


def test_a_later_change_of_the_file_drops_the_entry_and_only_that() -> None:
    over = changed(BASE, {}, [Change(MODEL, "b"), Change(LINQ)])
    after = BASE | {"default_model": "c"}
    assert effective(after, over)["default_model"] == "c"
    assert at(effective(after, over), LINQ) is None
    assert pruned(after, over) == changed(BASE, {}, [Change(LINQ)])


def test_a_removed_table_that_is_changed_in_the_file_is_back() -> None:
    over = changed(BASE, {}, [Change(LINQ)])
    after = merged(BASE, {"channels_config": {"linq": {"from_phone": "+3"}}})
    assert at(effective(after, over), LINQ) == {"from_phone": "+3", "api_token": "t"}


def test_a_key_that_the_file_did_not_have_and_now_has_drops_the_entry() -> None:
    over = changed({}, {}, [Change(MODEL, "b")])
    assert effective({"default_model": "c"}, over) == {"default_model": "c"}


def test_changes_elsewhere_in_the_file_drop_nothing() -> None:
    over = changed(BASE, {}, [Change(MODEL, "b")])
    assert effective(BASE | {"gateway": {"port": 2}}, over)["default_model"] == "b"


def test_saying_what_the_file_says_needs_no_entry() -> None:
    over = changed(BASE, {}, [Change(MODEL, "b"), Change(LINQ)])
    assert changed(BASE, over, [Change(MODEL, "a"), Change(LINQ, at(BASE, LINQ))]) == {}


def test_the_last_of_several_changes_stands() -> None:
    over = changed(BASE, changed(BASE, {}, [Change(LINQ)]), [Change(LINQ, {"from_phone": "+9"})])
    assert at(effective(BASE, over), LINQ) == {"from_phone": "+9"}
    assert "removed" not in dict(over[TABLE])  # type: ignore[call-overload]  # a table


def test_order_and_spacing_of_the_file_do_not_count() -> None:
    one, two = (tomli.loads(text) for text in ("[t]\na = 1\nb = 2", "[t]\nb=2\n# c\na=1"))
    assert overlay.fingerprint(one, ("t",)) == overlay.fingerprint(two, ("t",))
    assert overlay.fingerprint(one, ("t",)) != overlay.fingerprint({"t": {"a": 1, "b": 3}}, ("t",))


@pytest.mark.parametrize(
    "own",
    [1, {"removed": 1}, {"removed": [1]}, {"removed": [""]}, {"removed": ["a..b"]}, {"seen": []}, {"seen": {"a": 1}}, {"seen": {'"': "x"}}],
)
def test_a_broken_table_is_an_error_with_a_remedy(own: object) -> None:
    with pytest.raises(Invalid) as caught:
        effective(BASE, {TABLE: own})
    assert caught.value.path.startswith(TABLE)
    assert "delete the file" in caught.value.remedy


@given(paths)
def test_paths_survive_being_written(path: Path) -> None:
    assert path_of(text_of(path)) == path
    assert tomlkit.parse(f"{text_of(path)} = 1") is not None


@given(st.text('ab."\\', max_size=8))
def test_any_text_is_a_path_or_none(text: str) -> None:
    path = path_of(text)
    assert path == () or path_of(text_of(path)) == path


@given(documents, st.lists(st.builds(Change, paths, values | st.none()), min_size=1, max_size=1))
def test_a_change_holds_and_touches_nothing_else(base: dict[str, object], changes: list[Change]) -> None:
    (change,) = changes
    over = tomli.loads(tomlkit.dumps(changed(base, {}, changes)))
    assert at(effective(base, over), change.path) == change.value
    for name in set(base) - {change.path[0]}:
        assert effective(base, over)[name] == base[name]


@given(documents, paths, values, values)
def test_the_files_later_word_counts(base: dict[str, object], path: Path, said: object, later: object) -> None:
    over = changed(base, {}, [Change(path, said)])
    after = merged(base, {})
    overlay.put(after, path, later)
    expected = later if overlay.fingerprint(after, path) != overlay.fingerprint(base, path) else said
    assert at(effective(after, over), path) == expected


@given(documents, paths, values)
def test_taking_a_change_back_leaves_nothing(base: dict[str, object], path: Path, said: object) -> None:
    assert without(changed(base, {}, [Change(path, said)]), [path]) == {}
