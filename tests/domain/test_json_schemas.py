"""Which schemas of strangers may stand among an agent's tools (domain/json_schemas.py)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.domain.json_schemas import MOST_DEEP, is_object_schema


def nested(levels: int) -> object:
    value: object = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"properties": {"x": {"type": ["string", "null"], "enum": ["a", None]}, "y": True}, "required": ["x"], "additionalProperties": False},
        {"properties": {"x": {"anyOf": [{"type": "integer"}, {"$ref": "#/$defs/n"}]}}, "$defs": {"n": {"type": "array", "items": {}}}},
        {"properties": {"type": {"type": "string", "description": "a property may have any name"}}},
        {"x-ours": nested(MOST_DEEP - 2), "default": 99999999999999999999999999},
    ],
)
def test_a_schema_of_an_object_is_taken(more: dict[str, object]) -> None:
    assert is_object_schema({"type": "object", **more})


@pytest.mark.parametrize(
    "more",
    [
        {"type": "string"},
        {"type": ["object"]},
        {"properties": 5},
        {"properties": {"x": 5}},
        {"properties": {"x": {"type": "strange"}}},
        {"properties": {"x": {"type": [{}]}}},
        {"properties": {"x": {"items": {"properties": []}}}},
        {"additionalProperties": 1},
        {"required": [1]},
        {"required": "x"},
        {"anyOf": []},
        {"properties": {"x": {"enum": []}}},
        {"properties": {"x": {"description": 5}}},
        {"x-ours": nested(MOST_DEEP - 1)},
        {"x-ours": nested(5_000)},
    ],
)
def test_what_vendors_refuse_is_not(more: dict[str, object]) -> None:
    assert not is_object_schema({"type": "object", **more})


KEYWORDS = st.sampled_from(["type", "properties", "items", "anyOf", "required", "enum", "x"])
VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["object", "string", "x"]),
    lambda inner: st.lists(inner) | st.dictionaries(KEYWORDS, inner),
)


@given(st.dictionaries(KEYWORDS, VALUES))
def test_no_json_breaks_the_look(schema: dict[str, object]) -> None:
    if is_object_schema(schema):
        assert schema["type"] == "object"
        assert isinstance(schema.get("properties", {}), dict)
