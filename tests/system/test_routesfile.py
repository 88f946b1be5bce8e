"""webhook-routes.json: all of it or none. Source: rantaiclaw.md §8."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawgate.domain.errors import Invalid
from clawgate.domain.triggers import TriggerRoute
from clawgate.system.routesfile import parse_routes, read_routes

PATHS = st.text(max_size=6).map(lambda text: "p" + text)
ENTRIES = st.fixed_dictionaries({"path": PATHS, "skill": st.text(max_size=6), "message": st.text(max_size=9)}, optional={"extra": st.none()})


@settings(deadline=None)
@given(st.lists(ENTRIES, max_size=4))
def test_every_array_of_routes_is_read_and_no_truncation_of_it(entries: list[dict[str, str]]) -> None:
    raw = json.dumps(entries).encode()
    assert parse_routes("f", raw) == tuple(TriggerRoute(entry["path"], entry["skill"], entry["message"]) for entry in entries)
    for length in range(len(raw)):
        with pytest.raises(Invalid):
            parse_routes("f", raw[:length])


@given(st.binary(max_size=40) | st.recursive(st.none() | st.text(max_size=3), st.lists, max_leaves=4).map(lambda value: json.dumps(value).encode()))
def test_whatever_else_stands_there_is_refused_with_a_remedy(raw: bytes) -> None:
    if raw.strip() == b"[]":
        assert parse_routes("f", raw) == ()
        return
    with pytest.raises(Invalid) as refused:
        parse_routes("f", raw)
    assert (refused.value.path, bool(refused.value.problem), bool(refused.value.remedy)) == ("f", True, True)


def test_a_file_of_routes_that_may_not_be_read_is_invalid(tmp_path: Path) -> None:
    assert read_routes(str(tmp_path / "none.json")) is None
    with pytest.raises(Invalid):
        read_routes(str(tmp_path))
