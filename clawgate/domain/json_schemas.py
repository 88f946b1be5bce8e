"""Whether a JSON Schema that a stranger wrote may stand among the tools of a prompt. Ring: domain. Source: construct-realtime.md §5; JSON Schema 2020-12.

Vendors refuse a whole request, everybody's turn with it, for one tool whose schema is none. Looked at are the keywords that say what arguments look like; a
keyword that is not known here may say anything, but for how deep it goes.
"""

from __future__ import annotations

from collections.abc import Mapping

MOST_DEEP = 32
"""Lists and objects within each other."""
_TYPES = frozenset(("string", "number", "integer", "boolean", "object", "array", "null"))


def is_object_schema(schema: Mapping[str, object]) -> bool:
    """Whether this describes an object, as the arguments of a tool are one."""
    return schema.get("type") == "object" and _is_shallow(schema, MOST_DEEP) and _is_schema(schema)


def _is_shallow(value: object, left: int) -> bool:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else None
    return inner is None or (left > 0 and all(_is_shallow(part, left - 1) for part in inner))


def _is_schema(schema: object) -> bool:
    if not isinstance(schema, Mapping):
        return isinstance(schema, bool)
    return all(_is_sound(keyword, value) for keyword, value in schema.items())


def _is_sound(keyword: str, value: object) -> bool:
    match keyword:
        case "type":
            return all(isinstance(name, str) and name in _TYPES for name in (value if isinstance(value, list) else [value]))
        case "properties" | "$defs" | "definitions" | "patternProperties":
            return isinstance(value, Mapping) and all(map(_is_schema, value.values()))
        case "items" | "additionalProperties" | "not":
            return _is_schema(value)
        case "anyOf" | "oneOf" | "allOf" | "prefixItems":
            return isinstance(value, list) and bool(value) and all(map(_is_schema, value))
        case "required":
            return isinstance(value, list) and all(isinstance(name, str) for name in value)
        case "enum":
            return isinstance(value, list) and bool(value)
        case "description" | "title":
            return isinstance(value, str)
    return True
